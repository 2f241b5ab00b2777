"""What has been recorded, as it is read from a store for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from dispatcher.domain.deliveries import DeliveryState, OutcomeKind, Reason
from dispatcher.domain.events import NO_METADATA, ClientId, EventState, UnmatchedReason
from dispatcher.domain.lanes import Lane, LaneState
from dispatcher.domain.ledger import (
    AttemptRecord,
    DeliveryRecord,
    Depth,
    EventRecord,
    LaneRecord,
)
from dispatcher.domain.sessions import Joined, Session
from dispatcher.stored.lanes import STATES, lane_of
from dispatcher.stored.rows import delivery_id, event_id, event_of
from dispatcher.stored.values import maybe_moment, moment, span, unpacked

DELIVERY_COLUMNS = """
    delivery.number, delivery.event, delivery.client_id, delivery.uri, delivery.sid,
    event.initiator, delivery.state, delivery.reason, delivery.attempt_count, delivery.due_at,
    delivery.created_at, delivery.settled_at, delivery.excerpt
"""
"""What ``delivery_record`` reads, in its order."""
SESSION_COLUMNS = "sid, sub, session_metadata, created_at, expires_at, ended_at, ended_by"
"""What ``session_of`` reads, in its order."""


def event_record(row: Sequence[Any], deliveries: tuple[DeliveryRecord, ...]) -> EventRecord:
    """Return the event in a row that ends with its state, its reason and its unknown clients."""
    state, reason, unknown_clients = row[-3:]
    return EventRecord(
        event=event_of(row),
        state=EventState(state),
        reason=reason and UnmatchedReason(reason),
        unknown_clients=tuple(unpacked(unknown_clients, ())),
        deliveries=deliveries,
    )


def delivery_record(row: Sequence[Any], attempts: tuple[AttemptRecord, ...]) -> DeliveryRecord:
    """Return the delivery in a row of ``DELIVERY_COLUMNS``."""
    number, event, client_id, uri, sid, initiator, state, reason, attempt_count, *rest = row
    due_at, created_at, settled_at, excerpt = rest
    return DeliveryRecord(
        id=delivery_id(number),
        event_id=event_id(event),
        client_id=client_id,
        uri=uri,
        sid=sid,
        initiator=initiator,
        state=DeliveryState(state),
        reason=reason and Reason(reason),
        attempt_count=attempt_count,
        due_at=moment(due_at) if state == DeliveryState.PENDING else None,
        created_at=moment(created_at),
        settled_at=maybe_moment(settled_at),
        attempts=attempts,
        excerpt=excerpt,
    )


def attempt_record(row: Sequence[Any]) -> AttemptRecord:
    """Return the attempt in a row: its number, start, duration, outcome and what came with it."""
    number, started_at, duration, outcome, status, error, jti, kid = row
    return AttemptRecord(
        number=number,
        started_at=moment(started_at),
        duration=span(duration),
        outcome=OutcomeKind(outcome),
        status=status,
        error=error,
        jti=jti,
        kid=kid,
    )


def lane_record(
    client_id: str, pending: int, in_flight: int, oldest: int | None, breaker: str | None
) -> LaneRecord:
    """Return the lane that was stored; *oldest* is when the first that it is owed was made."""
    lane = Lane() if breaker is None else lane_of(breaker)
    return LaneRecord(
        client_id=ClientId(client_id),
        state=lane.state,
        pending=pending,
        in_flight=in_flight,
        oldest_pending_at=maybe_moment(oldest),
        next_probe_at=lane.next_probe_at if lane.state is LaneState.PARKED else None,
    )


def depth_of(
    counts: Sequence[int],
    *,
    oldest: Mapping[str, int],
    closed: Mapping[str, str],
    accepted: int,
) -> Depth:
    """Return how much is waiting: *counts* by ``STATES``; *oldest* and *closed* by client_id."""
    return Depth(
        deliveries=dict(zip(STATES, counts, strict=True)),
        oldest_pending={ClientId(name): moment(created_at) for name, created_at in oldest.items()},
        closed_lanes={ClientId(name): LaneState(state) for name, state in closed.items()},
        events_accepted=accepted,
    )


def session_of(row: Sequence[Any], clients: tuple[Joined, ...]) -> Session:
    """Return the session in a row of ``SESSION_COLUMNS``, with its *clients*."""
    sid, sub, session_metadata, created_at, expires_at, ended_at, ended_by = row
    return Session(
        sid=sid,
        sub=sub,
        clients=clients,
        session_metadata=unpacked(session_metadata, NO_METADATA),
        created_at=moment(created_at),
        expires_at=maybe_moment(expires_at),
        ended_at=maybe_moment(ended_at),
        ended_by=None if ended_by is None else event_id(ended_by),
    )
