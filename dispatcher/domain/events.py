"""Session-termination events: what ended, why, and whom it concerns.

An event for one session carries ``sid``; one that carries ``sub`` alone ends all the user's
sessions. Its *initiator* says why. Initiators are an open set: an unknown one is accepted, counted,
and reaches only the applications in mode ``all``.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import NewType, assert_never

from dispatcher.domain.value_objects import value_object

EventId = NewType("EventId", str)
SourceName = NewType("SourceName", str)
ClientId = NewType("ClientId", str)
Sub = NewType("Sub", str)
Sid = NewType("Sid", str)
Initiator = NewType("Initiator", str)

RP_LOGOUT = Initiator("rp-logout")
IDP_LOGOUT = Initiator("idp-logout")

KNOWN_INITIATORS: tuple[Initiator, ...] = (
    RP_LOGOUT,
    IDP_LOGOUT,
    Initiator("password-changed"),
    Initiator("session-expired"),
    Initiator("session-revoked"),
    Initiator("account-deleted"),
    Initiator("email-identifier-changed"),
    Initiator("mfa-phone-unenrolled"),
    Initiator("account-deactivated"),
    Initiator("profile-changed"),
)

_INITIATOR = re.compile(r"[a-z][a-z0-9-]{0,63}")
# sid: the syntax of an OAuth client_id (Back-Channel Logout 1.0 section 2.1; RFC 6749 A.1).
IDENTIFIER_RULE = "1 to 255 printable ASCII characters"
_PRINTABLE_ASCII = re.compile(r"[\x20-\x7e]{1,255}")

NO_METADATA: Mapping[str, str] = MappingProxyType({})


def is_initiator(text: str) -> bool:
    """Whether *text* has the form of an initiator's name."""
    return _INITIATOR.fullmatch(text) is not None


def is_identifier(text: str) -> bool:
    """Whether *text* may be an ``id``, ``sid``, ``client_id`` or ``sub``: 1-255 printable ASCII.

    For ``sub`` OpenID Connect Core asks for at most 255 ASCII characters; control characters are
    refused there too.
    """
    return _PRINTABLE_ASCII.fullmatch(text) is not None


class Audience(StrEnum):
    """Who is meant where an event does not name its applications."""

    SESSION = "session"
    """The applications that the session registry knows in the session."""
    SUBSCRIBERS = "subscribers"
    """Every application that subscribes, for sources that know neither clients nor sessions."""


class EventState(StrEnum):
    """Where an event stands."""

    ACCEPTED = "accepted"
    MATCHED = "matched"
    UNMATCHED = "unmatched"


class UnmatchedReason(StrEnum):
    """Why an event has nobody to tell."""

    NO_PARTICIPANTS = "no_participants"
    NO_SUBSCRIBER = "no_subscriber"


EVENT_TRANSITIONS: Mapping[EventState, frozenset[EventState]] = {
    EventState.ACCEPTED: frozenset({EventState.MATCHED, EventState.UNMATCHED}),
    EventState.UNMATCHED: frozenset({EventState.MATCHED}),
    EventState.MATCHED: frozenset(),
}
"""Which state may follow which; unmatched → matched is a late join."""


@value_object(frozen=True, slots=True)
class Participant:
    """An application that took part in a session, and the ``sub`` that it knows the user by."""

    client_id: ClientId
    sub: Sub | None = None


@value_object(frozen=True, slots=True, kw_only=True)
class LogoutEvent:
    """One session-termination event, as its source told it.

    ``event_id`` and ``received_at`` are ours, and ``default_audience`` is the source's setting;
    everything else is the source's own word.
    """

    source: SourceName
    id: str
    initiator: Initiator
    sub: Sub | None = None
    sid: Sid | None = None
    clients: tuple[Participant, ...] | None = None
    audience: Audience | None = None
    default_audience: Audience = Audience.SESSION
    except_sids: tuple[Sid, ...] = ()
    session_metadata: Mapping[str, str] = field(default_factory=lambda: NO_METADATA)
    occurred_at: datetime | None = None
    received_at: datetime
    event_id: EventId = EventId("")

    @property
    def user_wide(self) -> bool:
        """Whether all of the user's sessions ended, not one."""
        return self.sid is None

    @property
    def reaches_subscribers(self) -> bool:
        """Whether every subscriber is meant, since neither event nor source knows the session."""
        return (self.audience or self.default_audience) is Audience.SUBSCRIBERS

    @property
    def ended_at(self) -> datetime:
        """When the session ended, as far as is known (the token's ``toe``, RFC 8417)."""
        return self.occurred_at or self.received_at


@value_object(frozen=True, slots=True, kw_only=True)
class SessionJoined:
    """The source's word that a user logged in to applications in a session."""

    source: SourceName
    id: str
    sid: Sid
    sub: Sub
    clients: tuple[Participant, ...]
    session_metadata: Mapping[str, str] = field(default_factory=lambda: NO_METADATA)
    occurred_at: datetime | None = None
    expires_at: datetime | None = None
    received_at: datetime


Intake = LogoutEvent | SessionJoined
"""What a source may send."""


@value_object(frozen=True, slots=True)
class Receipt:
    """What is on disk about one intake: its id, our event's id, and whether it was there before."""

    id: str
    event_id: EventId
    repeated: bool


def fingerprint(intake: Intake) -> str:
    """Digest of what an intake says, ``occurred_at`` and the time of receipt aside.

    Two intakes with the same source and id are the same event if their digests are equal.
    """
    told: dict[str, object] = {
        "type": type(intake).__name__,
        "sub": intake.sub,
        "sid": intake.sid,
        "clients": _participants(intake.clients),
        "session_metadata": dict(sorted(intake.session_metadata.items())),
    }
    match intake:
        case LogoutEvent():
            told |= {
                "initiator": intake.initiator,
                "audience": intake.audience,
                "except_sids": sorted(intake.except_sids),
            }
        case SessionJoined():
            told["expires_at"] = str(intake.expires_at and intake.expires_at.astimezone(UTC))
        case _:
            assert_never(intake)
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _participants(clients: tuple[Participant, ...] | None) -> list[list[str | None]] | None:
    """Return whom an intake names, in any order; of one named twice, the first name counts."""
    if clients is None:
        return None
    ordered = sorted(clients, key=lambda client: client.client_id)
    return [[client.client_id, client.sub] for client in ordered]
