"""Things of the domain, so that a test says only what it is about."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from dispatcher.domain.applications import Application, LogoutDelivery, Mode
from dispatcher.domain.deliveries import (
    Acknowledged,
    Attempt,
    Cause,
    Delivery,
    Move,
    Outcome,
    Reason,
    Refused,
    Settled,
    Settlement,
    Unreachable,
)
from dispatcher.domain.events import (
    Audience,
    ClientId,
    Initiator,
    LogoutEvent,
    Participant,
    SessionJoined,
    Sid,
    SourceName,
    Sub,
)
from tests.kit.clock import NOON

_ids = count(1)
UNREACHABLE = Unreachable(cause=Cause.STATUS, status=503, excerpt=b"later")


def an_event(
    *,
    id: str | None = None,  # noqa: A002 - an event's own word
    source: str = "op",
    initiator: str = "rp-logout",
    sub: str | None = "alice",
    sid: str | None = None,
    clients: Sequence[str] | None = None,
    audience: Audience | None = None,
    except_sids: Sequence[str] = (),
    session_metadata: Mapping[str, str] | None = None,
    occurred_at: datetime | None = None,
    received_at: datetime = NOON,
) -> LogoutEvent:
    """Return a session-termination event; user-wide unless it is given a *sid*."""
    return LogoutEvent(
        source=SourceName(source),
        id=id or f"event-{next(_ids)}",
        initiator=Initiator(initiator),
        sub=None if sub is None else Sub(sub),
        sid=None if sid is None else Sid(sid),
        clients=None if clients is None else _participants(clients),
        audience=audience,
        except_sids=tuple(map(Sid, except_sids)),
        session_metadata=session_metadata or {},
        occurred_at=occurred_at,
        received_at=received_at,
    )


def a_join(
    *clients: str,
    id: str | None = None,  # noqa: A002 - a join's own word
    source: str = "op",
    sid: str = "s1",
    sub: str = "alice",
    session_metadata: Mapping[str, str] | None = None,
    occurred_at: datetime | None = None,
    expires_at: datetime | None = None,
    received_at: datetime = NOON,
) -> SessionJoined:
    """Return the word that a user logged in to *clients* in a session."""
    return SessionJoined(
        source=SourceName(source),
        id=id or f"join-{next(_ids)}",
        sid=Sid(sid),
        sub=Sub(sub),
        clients=_participants(clients or ("shop",)),
        session_metadata=session_metadata or {},
        occurred_at=occurred_at,
        expires_at=expires_at,
        received_at=received_at,
    )


def _participants(clients: Sequence[str]) -> tuple[Participant, ...]:
    return tuple(Participant(ClientId(client)) for client in clients)


def an_application(
    client_id: str = "shop",
    *,
    urls: Sequence[str] | None = None,
    mode: str = "all",
    max_in_flight: int = 16,
    **more: Any,
) -> Application:
    """Return an application that is told of everything at one URI."""
    urls = (f"https://{client_id}.example/bcl",) if urls is None else tuple(urls)
    return Application(
        client_id=ClientId(client_id),
        name=client_id,
        document={"client_id": client_id, "oidc_logout": {"backchannel_logout_urls": list(urls)}},
        urls=tuple(urls),
        mode=Mode(mode),
        delivery=LogoutDelivery(max_in_flight=max_in_flight),
        **more,
    )


def acknowledged(delivery: Delivery, *, at: datetime = NOON) -> Settled:
    """Return that *delivery* was acknowledged."""
    return _settled(delivery, Acknowledged(status=200), Settlement(move=Move.ACKNOWLEDGED), at)


def put_off(
    delivery: Delivery,
    *,
    until: datetime,
    outcome: Outcome | None = None,
    at: datetime = NOON,
) -> Settled:
    """Return that *delivery* is to be tried again; by default it was answered 503."""
    answered = outcome or UNREACHABLE
    return _settled(delivery, answered, Settlement(move=Move.PUT_OFF, due_at=until), at)


def gave_up(delivery: Delivery, *, at: datetime = NOON) -> Settled:
    """Return that *delivery* was refused for good."""
    failed = Settlement(move=Move.GAVE_UP, reason=Reason.REFUSED)
    return _settled(delivery, Refused(status=400, excerpt=b"no"), failed, at)


def called_off(delivery: Delivery, reason: Reason = Reason.UNSUBSCRIBED) -> Settled:
    """Return that *delivery* was called off without an attempt."""
    return Settled(delivery, None, Settlement(move=Move.CALLED_OFF, reason=reason))


def given_back(delivery: Delivery, *, now: datetime = NOON) -> Settled:
    """Return that *delivery* is handed back untried."""
    return Settled(delivery, None, Settlement(move=Move.RELEASED, due_at=now))


def _settled(delivery: Delivery, outcome: Outcome, settlement: Settlement, at: datetime) -> Settled:
    attempt = Attempt(
        started_at=at,
        duration=timedelta(milliseconds=20),
        outcome=outcome,
        jti=f"jti-{next(_ids)}",
        kid="kid-1",
    )
    return Settled(delivery, attempt, settlement)
