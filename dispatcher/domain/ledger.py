"""What is recorded, as people read it: events, deliveries and their attempts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from dispatcher.domain.deliveries import DeliveryId, DeliveryState, OutcomeKind, Reason
from dispatcher.domain.events import (
    ClientId,
    EventId,
    EventState,
    Initiator,
    LogoutEvent,
    Sid,
    Sub,
    UnmatchedReason,
)
from dispatcher.domain.lanes import LaneState

MOST_PER_PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """One attempt of a delivery; ``error`` is a coded cause, with what is known of it."""

    number: int
    started_at: datetime
    duration: timedelta
    outcome: OutcomeKind
    status: int | None = None
    error: str | None = None
    jti: str | None = None
    kid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRecord:
    """One delivery as it stands; ``attempts`` holds the first 5 and the last 20."""

    id: DeliveryId
    event_id: EventId
    client_id: ClientId
    uri: str
    sid: Sid | None
    initiator: Initiator
    state: DeliveryState
    reason: Reason | None
    attempt_count: int
    due_at: datetime | None
    created_at: datetime
    settled_at: datetime | None
    attempts: tuple[AttemptRecord, ...] = ()
    excerpt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """One event as it stands."""

    event: LogoutEvent
    state: EventState
    reason: UnmatchedReason | None
    unknown_clients: tuple[ClientId, ...] = ()
    deliveries: tuple[DeliveryRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events are asked for, newest first; ``before`` is the last one already seen."""

    initiator: Initiator | None = None
    sub: Sub | None = None
    sid: Sid | None = None
    state: EventState | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: EventId | None = None
    take: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFilter:
    """Which deliveries are asked for, newest first; ``before`` is the last one already seen.

    ``parked`` asks for those that are pending on a lane that is not open.
    """

    client_id: ClientId | None = None
    state: DeliveryState | None = None
    parked: bool = False
    event_id: EventId | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: DeliveryId | None = None
    take: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneRecord:
    """One application's lane as it stands."""

    client_id: ClientId
    state: LaneState
    pending: int
    in_flight: int
    oldest_pending_at: datetime | None
    next_probe_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """How much is waiting: deliveries by state, the oldest untold, and the lanes not open."""

    deliveries: Mapping[DeliveryState, int]
    oldest_pending: Mapping[ClientId, datetime]
    closed_lanes: Mapping[ClientId, LaneState]
    events_accepted: int
