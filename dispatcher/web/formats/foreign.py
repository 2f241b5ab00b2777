"""What others tell in their own words, put into ours: the part that their formats share.

They tell of everything that happens, mostly of what ends no session; they will not send again what
is refused, or send it for ever. So what is of no use is passed over and counted, never refused.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeGuard

from dispatcher.domain.errors import Fault, InvalidEvent
from dispatcher.domain.events import (
    NO_METADATA,
    ClientId,
    Initiator,
    Intake,
    LogoutEvent,
    Participant,
    SessionJoined,
    Sid,
    Sub,
    is_identifier,
)
from dispatcher.domain.reading import parse_moment
from dispatcher.domain.sources import PassedOver
from dispatcher.web.formats.told import Webhook

JsonObject = Mapping[str, object]


def entries_of(document: object) -> Sequence[JsonObject]:
    """Return the objects of an array, or the one object; raise InvalidEvent for anything else."""
    if isinstance(document, dict):
        return [document]
    if not isinstance(document, list):
        raise InvalidEvent([Fault("", "must be a JSON object, or an array of them")])
    entries = [entry for entry in document if isinstance(entry, dict)]
    if len(entries) < len(document):
        index = next(at for at, entry in enumerate(document) if not isinstance(entry, dict))
        raise InvalidEvent([Fault(f"[{index}]", "must be a JSON object")])
    return entries


def inside(document: object, *path: str) -> object:
    """Return what lies at *path* in nested objects; None where there is nothing."""
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def epoch(value: object, *, per_second: int = 1) -> datetime | None:
    """Return the moment that a number of seconds (or of parts of one) since 1970 is, or None."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return datetime.fromtimestamp(value / per_second, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def moment(value: object) -> datetime | None:
    """Return the moment that an RFC 3339 text names, or None."""
    return parse_moment(value) if isinstance(value, str) else None


def user_ended(
    webhook: Webhook,
    event_id: object,
    initiator: Initiator,
    *,
    sub: object,
    at: datetime | None = None,
) -> Intake | PassedOver:
    """Return the end of all of a user's sessions."""
    if sub in _ABSENT:
        return PassedOver.NO_SUBJECT
    if not _known(event_id) or not _known(sub):
        return PassedOver.UNUSABLE
    return LogoutEvent(
        source=webhook.source.name,
        id=event_id,
        initiator=initiator,
        sub=Sub(sub),
        default_audience=webhook.source.audience,
        occurred_at=at,
        received_at=webhook.received_at,
    )


def session_ended(
    webhook: Webhook,
    event_id: object,
    initiator: Initiator,
    *,
    sid: object,
    sub: object,
    at: datetime | None = None,
    metadata: Mapping[str, str] = NO_METADATA,
) -> Intake | PassedOver:
    """Return the end of one session; without its sid there is none, for it would end all."""
    if sid in _ABSENT:
        return PassedOver.NO_SUBJECT
    if not (_known(event_id) and _known(sid) and (sub in _ABSENT or _known(sub))):
        return PassedOver.UNUSABLE
    return LogoutEvent(
        source=webhook.source.name,
        id=event_id,
        initiator=initiator,
        sid=Sid(sid),
        sub=Sub(sub) if _known(sub) else None,
        default_audience=webhook.source.audience,
        session_metadata=metadata,
        occurred_at=at,
        received_at=webhook.received_at,
    )


def session_joined(
    webhook: Webhook,
    event_id: object,
    *,
    sid: object,
    sub: object,
    client_id: object,
    at: datetime | None = None,
) -> Intake | PassedOver:
    """Return a login at one application; one without a session is none that could be ended."""
    if sid in _ABSENT or sub in _ABSENT or client_id in _ABSENT:
        return PassedOver.ENDS_NOTHING
    if not (_known(event_id) and _known(sid) and _known(sub) and _known(client_id)):
        return PassedOver.UNUSABLE
    return SessionJoined(
        source=webhook.source.name,
        id=event_id,
        sid=Sid(sid),
        sub=Sub(sub),
        clients=(Participant(ClientId(client_id)),),
        occurred_at=at,
        received_at=webhook.received_at,
    )


_ABSENT = (None, "")


def _known(value: object) -> TypeGuard[str]:
    """Whether *value* can be an identifier here."""
    return isinstance(value, str) and is_identifier(value)
