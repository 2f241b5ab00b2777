"""A store against a model: whatever is asked of both in whatever order, they agree.

The model is dicts, lists and the domain's pure rules; it knows no SQL, no transaction and no disk.
The machine knows the ports alone, and runs for every store of the contract.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dispatcher.domain.deliveries import (
    Delivery,
    DeliveryState,
    LeaseId,
    Outcome,
    Refused,
    Settled,
    Withheld,
)
from dispatcher.domain.events import EventId, EventState, LogoutEvent, SessionJoined
from dispatcher.domain.lanes import Lane, LaneState
from dispatcher.domain.retry import RetryPolicy
from dispatcher.ports import Retention

_SECOND_CHANCE = RetryPolicy().after_refusal * (1 + RetryPolicy().jitter)

Key = tuple[EventId, str, str | None]
"""What a delivery is unique by, where an application has one URI: event, application, sid."""


@dataclass
class Owed:
    """A delivery of the model."""

    sub: str | None
    created_at: datetime
    due_at: datetime
    number: int
    state: DeliveryState = DeliveryState.PENDING
    lease: LeaseId | None = None
    lease_until: datetime | None = None
    attempts: int = 0
    refusals: int = 0
    settled_at: datetime | None = None


@dataclass
class Accepted:
    """An event of the model: ``late`` are those whose join came after it."""

    event: LogoutEvent
    number: int
    due: bool = True
    state: EventState = EventState.ACCEPTED
    late: list[str] = field(default_factory=list)


@dataclass
class Model:
    """What a store should hold."""

    caps: Mapping[str, int]
    events: dict[EventId, Accepted] = field(default_factory=dict)
    deliveries: dict[Key, Owed] = field(default_factory=dict)
    sessions: dict[str, list[str]] = field(default_factory=dict)
    lanes: dict[str, Lane] = field(default_factory=dict)
    _numbers: int = 0

    def lane(self, client_id: str) -> Lane:
        """Return how an application has been doing."""
        return self.lanes.get(client_id, Lane())

    def accept(self, event_id: EventId, event: LogoutEvent) -> None:
        """Take an event in."""
        self.events[event_id] = Accepted(event, self._next())

    def join(self, joined: SessionJoined) -> None:
        """Take a join in: who is new to a session is told of what ended it before."""
        known = self.sessions.setdefault(joined.sid, [])
        new = [str(one.client_id) for one in joined.clients if one.client_id not in known]
        known += new
        for accepted in self.events.values():
            if new and accepted.event.sid == joined.sid:
                accepted.late += new
                accepted.due = True

    def match(self, limit: int, now: datetime) -> int:
        """Match up to *limit* events that are due; return how many there were."""
        due = [(event_id, one) for event_id, one in self.events.items() if one.due][:limit]
        for event_id, accepted in due:
            self._owe(event_id, accepted, now)
            accepted.due = False
            owes = any(key[0] == event_id for key in self.deliveries)
            accepted.state = EventState.MATCHED if owes else EventState.UNMATCHED
        return len(due)

    def _owe(self, event_id: EventId, accepted: Accepted, now: datetime) -> None:
        event = accepted.event
        if accepted.state is not EventState.ACCEPTED:
            told = []
        elif event.clients is not None:
            told = [str(one.client_id) for one in event.clients]
        else:
            told = self.sessions.get(event.sid or "", [])
        for client_id in dict.fromkeys([*told, *accepted.late]):
            key = (event_id, client_id, event.sid)
            if client_id in self.caps and key not in self.deliveries:
                self._supersede(accepted, client_id, now)
                self.deliveries[key] = Owed(event.sub, now, now, self._next())

    def _supersede(self, newer: Accepted, client_id: str, now: datetime) -> None:
        for (event_id, name, sid), owed in self.deliveries.items():
            older = self.events[event_id]
            if (
                newer.event.sid is sid is None
                and name == client_id
                and owed.sub == newer.event.sub
                and older.event.initiator == newer.event.initiator
                and owed.state is DeliveryState.PENDING
                and older.number < newer.number
            ):
                self._finish(owed, DeliveryState.CANCELLED, now)

    def claimable(self, client_id: str, most: int | None, now: datetime) -> tuple[list[Key], int]:
        """Return what may be lent to an application, oldest first, and how much of it.

        What has run out comes besides.
        """
        lane, cap = self.lane(client_id), self.caps[client_id]
        pending = [
            (owed.due_at, key)
            for key, owed in self.deliveries.items()
            if key[1] == client_id and owed.state is DeliveryState.PENDING
        ]
        probing = lane.state is LaneState.PARKED
        eligible = [
            key for due, key in sorted(pending, key=lambda one: one[0]) if probing or due <= now
        ]
        room = max(0, min(cap, cap if most is None else most) - self.in_flight(client_id))
        allowed = lane.allowance(now)
        return eligible, min(room, len(eligible), room if allowed is None else allowed)

    def in_flight(self, client_id: str) -> int:
        """Return how many deliveries of an application are lent out."""
        return sum(
            owed.state is DeliveryState.IN_FLIGHT
            for key, owed in self.deliveries.items()
            if key[1] == client_id
        )

    def expire(self, now: datetime) -> list[Key]:
        """Return what is lent out beyond its lease; in a lane that is not well, give it back."""
        expired = []
        for key, owed in self.deliveries.items():
            if owed.state is not DeliveryState.IN_FLIGHT or (owed.lease_until or now) > now:
                continue
            if self.lane(key[1]) == Lane():
                expired.append(key)
                continue
            lease = owed.lease or LeaseId(0)
            self._give_back(owed)
            self._judge(key[1], self.lane(key[1]).given_back(lease), now)
        return expired

    def lend(self, lent: Mapping[Key, Delivery], fresh: Sequence[Key], now: datetime) -> None:
        """Note what was *lent*, of which some was *fresh*: not lent out before."""
        for key, delivery in lent.items():
            owed = self.deliveries[key]
            owed.state = DeliveryState.IN_FLIGHT
            owed.lease, owed.lease_until = delivery.lease, delivery.lease_until
        for client_id, count in Counter(key[1] for key in fresh).items():
            lease = next(lent[key].lease for key in fresh if key[1] == client_id)
            self.lanes[client_id] = self.lane(client_id).started(count, now, lease)

    def holds(self, key: Key, lease: LeaseId) -> bool:
        """Whether *lease* is the one that a delivery is lent out under."""
        owed = self.deliveries.get(key)
        return owed is not None and owed.state is DeliveryState.IN_FLIGHT and owed.lease == lease

    def settle(self, key: Key, settled: Settled, now: datetime) -> None:
        """Write down what became of a delivery."""
        owed, client_id = self.deliveries[key], key[1]
        outcome: Outcome | None = settled.attempt.outcome if settled.attempt else None
        lane, lease = self.lane(client_id), settled.delivery.lease
        after = lane.given_back(lease) if outcome is None else lane.after(outcome, now, lease)
        self._judge(client_id, after, now)
        if outcome is not None and not isinstance(outcome, Withheld):
            owed.attempts += 1
            owed.refusals += isinstance(outcome, Refused)
        state = settled.settlement.state
        if state is DeliveryState.PENDING:
            self._give_back(owed)
            owed.due_at = settled.settlement.due_at or now
        else:
            self._finish(owed, state, now)

    def pause(self, client_id: str) -> None:
        """Stop an application's lane."""
        self.lanes[client_id] = self.lane(client_id).paused()

    def resume(self, client_id: str, now: datetime) -> None:
        """Let it go on."""
        self._judge(client_id, self.lane(client_id).resumed(now), now)

    def restart(self, now: datetime) -> None:
        """Take back what the process held that is gone."""
        for key, owed in self.deliveries.items():
            if owed.state is DeliveryState.IN_FLIGHT:
                self._give_back(owed)
                owed.due_at = now
                self.lane(key[1])
        for client_id, lane in list(self.lanes.items()):
            if lane.probe is not None:
                self._judge(client_id, lane.given_back(lane.probe), now)

    def prune(self, kept: Retention, now: datetime) -> None:
        """Forget what is over and older than its retention."""
        for key, owed in list(self.deliveries.items()):
            retention = kept.failed if owed.state is DeliveryState.FAILED else kept.settled
            if owed.settled_at is not None and owed.settled_at < now - retention:
                del self.deliveries[key]
        owing = {key[0] for key in self.deliveries}
        for event_id, accepted in list(self.events.items()):
            old = accepted.event.received_at < now - kept.settled
            if old and not accepted.due and event_id not in owing:
                del self.events[event_id]

    def _judge(self, client_id: str, after: Lane, now: datetime) -> None:
        """Let a lane be another way; where it opens, what waits in it takes its place."""
        before = self.lane(client_id)
        self.lanes[client_id] = after
        if before.state is LaneState.OPEN or after.state is not LaneState.OPEN:
            return
        for key, owed in self.deliveries.items():
            if key[1] == client_id and owed.state is DeliveryState.PENDING:
                self._hasten(owed, now)

    @staticmethod
    def _hasten(owed: Owed, now: datetime) -> None:
        if owed.due_at > now:
            hastened = owed.refusals == 0 or owed.due_at > now + _SECOND_CHANCE
        else:
            hastened = owed.attempts > 0
        if hastened:
            owed.due_at = owed.created_at

    @staticmethod
    def _give_back(owed: Owed) -> None:
        owed.state, owed.lease, owed.lease_until = DeliveryState.PENDING, None, None

    @staticmethod
    def _finish(owed: Owed, state: DeliveryState, now: datetime) -> None:
        owed.state, owed.lease, owed.lease_until = state, None, None
        owed.settled_at = now

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers


RETENTION = Retention(
    settled=timedelta(hours=1),
    failed=timedelta(hours=2),
    sessions=timedelta(days=999),
    ids=timedelta(days=999),
)
