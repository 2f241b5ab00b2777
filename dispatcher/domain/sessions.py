"""The session registry: who joined what, so that an event can find whom to tell.

The registry never makes events, and ``expires_at`` is only information: a session is kept, ended or
not, until the latest of expiry, last join and end, plus its retention, since ``session-expired``
always comes after the expiry.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime

from dispatcher.domain.events import (
    NO_METADATA,
    ClientId,
    EventId,
    LogoutEvent,
    SessionJoined,
    Sid,
    Sub,
)
from dispatcher.domain.value_objects import value_object


@value_object(frozen=True, slots=True)
class Joined:
    """One application's part in one session; ``sub`` is what that application knows the user by."""

    client_id: ClientId
    sid: Sid
    sub: Sub
    joined_at: datetime


@value_object(frozen=True, slots=True, kw_only=True)
class Session:
    """One session of the OP, as far as its sources have told it."""

    sid: Sid
    sub: Sub
    clients: tuple[Joined, ...]
    session_metadata: Mapping[str, str] = field(default_factory=lambda: NO_METADATA)
    created_at: datetime
    expires_at: datetime | None = None
    ended_at: datetime | None = None
    ended_by: EventId | None = None


@value_object(frozen=True, slots=True, kw_only=True)
class Known:
    """What the registry knows of an event's scope at the moment of matching.

    ``joined`` are the applications of the session (or of all the user's sessions) that had joined
    when the event was accepted; ``late`` those whose join came afterwards and belongs to it.
    """

    sub: Sub | None = None
    joined: Sequence[Joined] = ()
    late: Sequence[Joined] = ()
    session_metadata: Mapping[str, str] = field(default_factory=lambda: NO_METADATA)


def ends_late_join(event: LogoutEvent, join: SessionJoined) -> bool:
    """Whether *event*, accepted before *join* came, ends what *join* tells of.

    By ``sid`` always: that session is over. A user-wide end reaches a later join only if the join
    says itself that it happened before; else it may be the user's next login.
    """
    if not event.user_wide:
        return event.sid == join.sid
    if event.sub != join.sub or join.sid in event.except_sids:
        return False
    return join.occurred_at is not None and join.occurred_at < event.ended_at
