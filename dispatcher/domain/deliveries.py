"""Deliveries: one event for one application's URI, until it is delivered or an operator is told.

What an application's server did with a logout token is an ``Outcome``, a value; ``decide`` turns it
into a ``Settlement``; the store writes that down. Doing and deciding stay apart, and everything
that moves a delivery from one state to another is in ``TRANSITIONS``.
"""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType, assert_never

from dispatcher.domain.events import NO_METADATA, ClientId, EventId, Initiator, Sid, Sub
from dispatcher.domain.retry import RetryPolicy
from dispatcher.domain.value_objects import value_object

DeliveryId = NewType("DeliveryId", str)
LeaseId = NewType("LeaseId", int)

EXCERPT_BYTES = 1024
"""How much of the latest answer's body is kept for people to read."""
FIRST_ATTEMPTS_KEPT, LAST_ATTEMPTS_KEPT = 5, 20


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    IN_FLIGHT = "in_flight"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def settled(self) -> bool:
        """Whether nothing more happens unless a person asks for it."""
        return self not in {DeliveryState.PENDING, DeliveryState.IN_FLIGHT}


class Move(StrEnum):
    """What can happen to a delivery."""

    CLAIMED = "claimed"
    LEASE_RAN_OUT = "lease_ran_out"
    RELEASED = "released"
    ACKNOWLEDGED = "acknowledged"
    PUT_OFF = "put_off"
    GAVE_UP = "gave_up"
    CALLED_OFF = "called_off"
    RETRIED = "retried"


TRANSITIONS: Mapping[DeliveryState, Mapping[Move, DeliveryState]] = {
    DeliveryState.PENDING: {
        Move.CLAIMED: DeliveryState.IN_FLIGHT,
        Move.CALLED_OFF: DeliveryState.CANCELLED,
    },
    DeliveryState.IN_FLIGHT: {
        Move.LEASE_RAN_OUT: DeliveryState.IN_FLIGHT,
        Move.RELEASED: DeliveryState.PENDING,
        Move.ACKNOWLEDGED: DeliveryState.DELIVERED,
        Move.PUT_OFF: DeliveryState.PENDING,
        Move.GAVE_UP: DeliveryState.FAILED,
        Move.CALLED_OFF: DeliveryState.CANCELLED,
    },
    DeliveryState.DELIVERED: {},
    DeliveryState.FAILED: {Move.RETRIED: DeliveryState.PENDING},
    DeliveryState.CANCELLED: {Move.RETRIED: DeliveryState.PENDING},
}


class Reason(StrEnum):
    """Why a delivery failed or was cancelled."""

    REFUSED = "refused"
    HORIZON = "horizon"
    SID_REQUIRED = "sid_required"
    SUB_REQUIRED = "sub_required"
    UNSUBSCRIBED = "unsubscribed"
    NO_URI = "no_uri"
    APPLICATION_DELETED = "application_deleted"
    SUPERSEDED = "superseded"


class Retrial(StrEnum):
    """What comes of asking for a delivery once more."""

    RETRIED = "retried"
    UNKNOWN = "unknown"
    NOT_OVER = "not_over"
    """It is delivered, or still under way."""
    ENDS_EXCEPTED = "ends_excepted"
    """A token without ``sid`` would end the sessions that its event leaves be."""


def retrial_of(
    state: DeliveryState, reason: Reason | None, *, sid: Sid | None, excepts: bool
) -> Retrial:
    """Return whether a person may have a delivery tried again.

    *excepts* says whether its event has ``except_sids``. Such a delivery that has no ``sid`` was
    born failed since no token could tell it truly; nothing that is mended since changes that.
    """
    if Move.RETRIED not in TRANSITIONS[state]:
        return Retrial.NOT_OVER
    if reason is Reason.SID_REQUIRED and sid is None and excepts:
        return Retrial.ENDS_EXCEPTED
    return Retrial.RETRIED


class Cause(StrEnum):
    """What stood in the way of an attempt."""

    STATUS = "status"
    DNS = "dns"
    BLOCKED = "blocked"
    CONNECT = "connect"
    TLS = "tls"
    CERTIFICATE = "certificate"
    TIMEOUT = "timeout"
    PROTOCOL = "protocol"
    STALE = "stale"
    """A kept connection had ended meanwhile, which tells nothing of the application."""
    SIGNER = "signer"
    LEASE = "lease"
    INTERNAL = "internal"


SLOW_CAUSES = frozenset({Cause.CERTIFICATE, Cause.BLOCKED})
"""What only a person mends: alerted at once, and tried at the schedule's slow tail."""


@value_object(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """The application ended the session: 200 or 204; ``flagged`` where it was another 2xx."""

    status: int
    flagged: bool = False
    excerpt: bytes = b""


@value_object(frozen=True, slots=True, kw_only=True)
class Refused:
    """The application will not: 3xx, 501, or 4xx except 408, 425 and 429."""

    status: int
    excerpt: bytes = b""


@value_object(frozen=True, slots=True, kw_only=True)
class Unreachable:
    """The application could not be told this time, and may be later."""

    cause: Cause
    detail: str = ""
    status: int | None = None
    retry_after: timedelta | None = None
    excerpt: bytes = b""


@value_object(frozen=True, slots=True, kw_only=True)
class Withheld:
    """A fault of ours kept the token back: it costs the application nothing."""

    cause: Cause
    detail: str = ""


Outcome = Acknowledged | Refused | Unreachable | Withheld


class OutcomeKind(StrEnum):
    """An outcome's name, as it is stored and shown."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    WITHHELD = "withheld"


def kind_of(outcome: Outcome) -> OutcomeKind:
    """Return the name of *outcome*."""
    match outcome:
        case Acknowledged():
            return OutcomeKind.ACKNOWLEDGED
        case Refused():
            return OutcomeKind.REFUSED
        case Unreachable():
            return OutcomeKind.UNREACHABLE
        case Withheld():
            return OutcomeKind.WITHHELD
        case _:
            assert_never(outcome)


@value_object(frozen=True, slots=True, kw_only=True)
class NewDelivery:
    """One delivery that an event owes; born ``failed`` where no token could tell it truly."""

    client_id: ClientId
    uri: str
    sub: Sub | None
    sid: Sid | None
    failed: Reason | None = None


@value_object(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A delivery lent to us until its lease ends.

    ``attempt_count`` counts every attempt; ``tries`` and ``refusals`` only those since
    ``started_at``, which is its creation or the last time that a person asked for it again.
    ``ended_at`` is set where the event is user-wide.
    """

    id: DeliveryId
    event_id: EventId
    client_id: ClientId
    uri: str
    sub: Sub | None
    sid: Sid | None
    initiator: Initiator
    ended_at: datetime | None = None
    session_metadata: Mapping[str, str] = field(default_factory=lambda: NO_METADATA)
    created_at: datetime
    started_at: datetime
    attempt_count: int = 0
    tries: int = 0
    refusals: int = 0
    lease: LeaseId = LeaseId(0)
    lease_until: datetime


@value_object(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One POST, or what kept us from it, as it is recorded."""

    started_at: datetime
    duration: timedelta
    outcome: Outcome
    jti: str | None = None
    kid: str | None = None


@value_object(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What becomes of a delivery; ``due_at`` only where it is pending again."""

    move: Move
    due_at: datetime | None = None
    reason: Reason | None = None

    @property
    def state(self) -> DeliveryState:
        """The state that a delivery in flight goes to."""
        return TRANSITIONS[DeliveryState.IN_FLIGHT][self.move]


@value_object(frozen=True, slots=True)
class Settled:
    """What became of a delivery: the attempt to record (if one was made), and its settlement."""

    delivery: Delivery
    attempt: Attempt | None
    settlement: Settlement


def decide(
    outcome: Outcome, delivery: Delivery, *, policy: RetryPolicy, now: datetime, jitter: float
) -> Settlement:
    """Turn what the application did into what becomes of the delivery.

    *jitter* is from 0 up to 1 and only ever makes the next attempt later.
    """
    match outcome:
        case Acknowledged():
            return Settlement(move=Move.ACKNOWLEDGED)
        case Refused() if delivery.refusals >= policy.second_chances:
            return Settlement(move=Move.GAVE_UP, reason=Reason.REFUSED)
        case Refused():
            wait = policy.after_refusal
        case Unreachable():
            slow = outcome.cause in SLOW_CAUSES
            wait = policy.wait_after(delivery.tries + 1, slow=slow, retry_after=outcome.retry_after)
        case Withheld():
            wait = policy.wait_withheld(now - delivery.started_at)
            return Settlement(move=Move.PUT_OFF, due_at=now + wait)
        case _:
            assert_never(outcome)
    return _again_within(wait * (1 + policy.jitter * jitter), delivery, policy=policy, now=now)


def _again_within(
    wait: timedelta, delivery: Delivery, *, policy: RetryPolicy, now: datetime
) -> Settlement:
    """Try again after *wait*, and for the last time when the horizon is reached."""
    horizon = delivery.started_at + policy.horizon
    if now >= horizon:
        return Settlement(move=Move.GAVE_UP, reason=Reason.HORIZON)
    return Settlement(move=Move.PUT_OFF, due_at=min(now + wait, horizon))
