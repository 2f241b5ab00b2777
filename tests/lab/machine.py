"""The machine that asks a store and its model the same, in any order Hypothesis can think of."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dispatcher.domain.deliveries import Cause, Delivery, Refused, Settled, Withheld
from dispatcher.domain.errors import Conflict
from dispatcher.domain.events import ClientId, EventId, LogoutEvent, SessionJoined
from dispatcher.domain.ledger import DeliveryFilter, DeliveryRecord, EventFilter, EventRecord
from dispatcher.domain.matching import match
from keys import Seal
from tests.contract.steps import LEASE
from tests.contract.stores import SHARED, STORES, Opener, Store
from tests.kit.builders import (
    a_join,
    acknowledged,
    an_application,
    an_event,
    called_off,
    gave_up,
    given_back,
    put_off,
)
from tests.kit.clock import FakeClock
from tests.kit.folders import a_folder
from tests.lab.model import RETENTION, Key, Model
from tests.lab.table import Finding

T = TypeVar("T")
CAPS = {"shop": 1, "mail": 2, "wiki": 16}
EVERYTHING = 1000
MINUTE = timedelta(minutes=1)

clients = st.lists(st.sampled_from([*CAPS, "nobody"]), max_size=3, unique=True)
initiators = st.sampled_from(["rp-logout", "password-changed"])
sids = st.sampled_from(["s1", "s2", "s3"])

Become = Callable[[Delivery, FakeClock], Settled]
BECOMES: dict[str, Become] = {
    "acknowledged": lambda one, _: acknowledged(one),
    "unreachable": lambda one, clock: put_off(one, until=clock.steady() + MINUTE),
    "refused": lambda one, clock: put_off(
        one, until=clock.steady() + MINUTE, outcome=Refused(status=400)
    ),
    "withheld": lambda one, clock: put_off(
        one, until=clock.steady() + timedelta(seconds=1), outcome=Withheld(cause=Cause.SIGNER)
    ),
    "gave up": lambda one, _: gave_up(one),
    "called off": lambda one, _: called_off(one),
    "given back": lambda one, clock: given_back(one, now=clock.steady()),
}


Furnish = Callable[[Path], AbstractContextManager[object]]
"""Puts into a folder what a store needs to be opened there, and takes it away in the end."""


class StoreMachine(RuleBasedStateMachine):
    """A store and its model."""

    opener: ClassVar[Opener]
    furnish: ClassVar[Furnish]
    shared: ClassVar[bool]
    """Whether others may have the store as well: leases outlive the process then."""

    def __init__(self) -> None:
        super().__init__()
        self._at_the_end = ExitStack()
        self._runner = self._at_the_end.enter_context(asyncio.Runner())
        self._folder = self._at_the_end.enter_context(a_folder())
        self._at_the_end.enter_context(type(self).furnish(self._folder))
        self.clock, self.model = FakeClock(), Model(CAPS)
        self.lent: list[tuple[Key, Delivery]] = []
        self.sent: dict[str, tuple[LogoutEvent, EventId]] = {}
        self.joins = 0
        self.store = self._do(self._open())
        for name, cap in CAPS.items():
            self._do(self.store.create_application(an_application(name, max_in_flight=cap)))

    def teardown(self) -> None:
        """Close the store, and the loop that it ran on."""
        self._do(self.store.close())
        self._at_the_end.close()

    def _do(self, asked: Awaitable[T]) -> T:
        async def answered() -> T:
            return await asked

        return self._runner.run(answered())

    def _open(self) -> Awaitable[Store]:
        return type(self).opener(self._folder, clock=self.clock, seal=Seal([b"k" * 32]))

    @rule(sid=sids | st.none(), told=clients | st.none(), initiator=initiators)
    def accept(self, sid: str | None, told: Sequence[str] | None, initiator: str) -> None:
        """Accept an event of a session, or of a user; it is known from now on."""
        event = an_event(
            sid=sid,
            sub=None if sid else "alice",
            clients=told if sid else told or [],
            initiator=initiator,
            received_at=self.clock.now(),
        )
        (receipt,) = self._do(self.store.accept([event]))
        assert not receipt.repeated
        self.sent[event.id] = event, receipt.event_id
        self.model.accept(receipt.event_id, event)

    @rule(events=st.integers(1, 8), name=st.sampled_from(["mail", "wiki"]))
    def owe(self, events: int, name: str) -> None:
        """Let an application be owed many at once."""
        for _ in range(events):
            self.accept("s3", [name], "rp-logout")
        self.match(EVERYTHING)

    @rule(name=st.sampled_from(["mail", "wiki"]), seconds=st.sampled_from([1, 31, 3700]))
    def fall_ill(self, name: str, seconds: float) -> None:
        """Let an application be told, in vain, again and again, and let time pass."""
        self.owe(6, name)
        for _ in range(3):
            self.claim(EVERYTHING, None)
            self.settle_all("unreachable")
        self.let_time_pass(seconds)

    @precondition(lambda self: bool(self.sent))
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """Tell of an event again: it is the same one, however long ago it was."""
        event, event_id = self.sent[data.draw(st.sampled_from(sorted(self.sent)))]
        (receipt,) = self._do(self.store.accept([event]))
        assert (receipt.repeated, receipt.event_id) == (True, event_id)

    @precondition(lambda self: bool(self.sent))
    @rule(data=st.data())
    def contradict(self, data: st.DataObject) -> None:
        """Tell of something else under a known id: nothing of the batch is stored."""
        name = data.draw(st.sampled_from(sorted(self.sent)))
        other = an_event(id=name, sub="mallory", clients=["shop", "mail", "wiki", "nobody"])
        with pytest.raises(Conflict):
            self._do(self.store.accept([an_event(id=f"beside-{name}"), other]))

    @rule(sid=sids, joining=st.lists(st.sampled_from([*CAPS]), min_size=1, unique=True))
    def join(self, sid: str, joining: Sequence[str]) -> None:
        """Tell that applications joined a session, ended or not."""
        self.joins += 1
        joined: SessionJoined = a_join(
            *joining, sid=sid, sub=f"user of {sid}", received_at=self.clock.now()
        )
        self._do(self.store.accept([joined]))
        self.model.join(joined)

    @rule(limit=st.sampled_from([1, EVERYTHING]))
    def match(self, limit: int) -> None:
        """Match what is due, oldest first."""
        matched = self._do(self.store.match(limit, match))
        assert len(matched) == self.model.match(limit, self.clock.steady())

    @rule(
        limit=st.sampled_from([1, 3, EVERYTHING, EVERYTHING]),
        per_lane=st.sampled_from([None, None, 1]),
    )
    def claim(self, limit: int, per_lane: int | None) -> None:
        """Claim: what has run out, then what is due, oldest first: all that may be, and no more."""
        now = self.clock.steady()
        expired = self.model.expire(now)
        limit = EVERYTHING if expired else limit
        claimed = self._do(self.store.claim(limit, lease=LEASE, per_lane=per_lane))
        lent = {_key(delivery): delivery for delivery in claimed}
        fresh = [key for key in lent if key not in expired]
        may = {name: self.model.claimable(name, per_lane, now) for name in CAPS}
        for name, (eligible, most) in may.items():
            got = [key for key in fresh if key[1] == name]
            assert set(got) <= set(eligible)
            assert len(got) <= most
            assert self._dues(got) == self._dues(eligible)[: len(got)]
        assert set(expired) <= lent.keys()
        assert len(lent) == len(claimed)
        assert len(fresh) == min(limit, sum(most for _, most in may.values()))
        self.model.lend(lent, fresh, now)
        self.lent += lent.items()

    def _dues(self, keys: Sequence[Key]) -> list[datetime]:
        return sorted(self.model.deliveries[key].due_at for key in keys)

    @precondition(lambda self: bool(self.lent))
    @rule(data=st.data(), become=st.sampled_from(sorted(BECOMES)))
    def settle(self, data: st.DataObject, become: str) -> None:
        """Settle what was lent out, now or long ago: it is written where the lease is ours."""
        key, delivery = data.draw(st.sampled_from(self.lent))
        settled = BECOMES[become](delivery, self.clock)
        ours = self.model.holds(key, delivery.lease)
        assert self._do(self.store.settle([settled])) == [ours]
        if ours:
            self.model.settle(key, settled, self.clock.steady())

    @precondition(lambda self: bool(self.lent))
    @rule(become=st.sampled_from(["acknowledged", "unreachable"]))
    def settle_all(self, become: str) -> None:
        """Settle everything that was ever lent out, one after the other."""
        for key, delivery in self.lent:
            settled = BECOMES[become](delivery, self.clock)
            ours = self.model.holds(key, delivery.lease)
            assert self._do(self.store.settle([settled])) == [ours]
            if ours:
                self.model.settle(key, settled, self.clock.steady())
        self.lent.clear()

    @rule(name=st.sampled_from(sorted(CAPS)))
    def pause(self, name: str) -> None:
        """Stop an application's lane by hand."""
        self._do(self.store.pause(ClientId(name)))
        self.model.pause(name)

    @rule(name=st.sampled_from(sorted(CAPS)))
    def resume(self, name: str) -> None:
        """Let a lane go on by hand."""
        self._do(self.store.resume(ClientId(name)))
        self.model.resume(name, self.clock.steady())

    @rule(seconds=st.sampled_from([0.5, 1, 5, 31, 61, 3700]))
    def let_time_pass(self, seconds: float) -> None:
        """Let time pass, on both clocks."""
        self.clock.advance(seconds=seconds)

    @rule(hours=st.sampled_from([-1, 0, 1000]))
    def set_the_wall_clock(self, hours: int) -> None:
        """Set the wall clock alone: it moves nothing that is due, and empties no store."""
        self.clock.set_wall_ahead(timedelta(hours=hours))

    @rule()
    def restart(self) -> None:
        """End the process and start it again: whoever held a lease is gone, if it was alone."""
        self._do(self.store.close())
        self.store = self._do(self._open())
        if not type(self).shared:
            self.model.restart(self.clock.steady())

    @rule()
    def prune(self) -> None:
        """Forget what is over and old enough by both clocks."""
        while self._do(self.store.prune(RETENTION)):
            pass
        self.model.prune(RETENTION, min(self.clock.now(), self.clock.steady()))

    @invariant()
    def they_agree_on_deliveries(self) -> None:
        """No delivery is lost, none is there twice, and each is where the model has it."""
        records = self._do(_deliveries(self.store))
        found = {(one.event_id, str(one.client_id), one.sid): one for one in records}
        assert len(found) == len(records)
        assert {key: (one.state, one.attempt_count) for key, one in found.items()} == {
            key: (owed.state, owed.attempts) for key, owed in self.model.deliveries.items()
        }

    @invariant()
    def they_agree_on_events(self) -> None:
        """No accepted event has vanished but by its retention."""
        there = {one.event.event_id: one.state for one in self._do(_events(self.store))}
        assert there == {event_id: one.state for event_id, one in self.model.events.items()}

    @invariant()
    def lanes_count_what_there_is(self) -> None:
        """Count: the lanes have the counts of the deliveries, and no more than their caps."""
        counted = Counter(owed.state for owed in self.model.deliveries.values())
        depth = self._do(self.store.depth())
        assert {state: count for state, count in depth.deliveries.items() if count} == counted
        for lane in self._do(self.store.lanes(None, 100)):
            assert lane.in_flight == self.model.in_flight(lane.client_id) <= CAPS[lane.client_id]
            assert lane.state is self.model.lane(lane.client_id).state


def _key(delivery: Delivery) -> Key:
    return delivery.event_id, str(delivery.client_id), delivery.sid


async def _events(store: Store) -> list[EventRecord]:
    found: list[EventRecord] = []
    while page := await store.events(
        EventFilter(take=100, before=found[-1].event.event_id if found else None)
    ):
        found += page
    return found


async def _deliveries(store: Store) -> list[DeliveryRecord]:
    found: list[DeliveryRecord] = []
    while page := await store.deliveries(
        DeliveryFilter(take=100, before=found[-1].id if found else None)
    ):
        found += page
    return found


def machine_of(kind: str, furnish: Furnish = nullcontext) -> type[StoreMachine]:
    """Return the machine for one kind of store."""
    particulars = {
        "opener": staticmethod(STORES[kind]),
        "furnish": staticmethod(furnish),
        "shared": kind in SHARED,
    }
    return type("StoreMachine", (StoreMachine,), particulars)


def examine(
    kind: str,
    *,
    examples: int,
    steps: int,
    seed: int,
    explain: bool = True,
    furnish: Furnish = nullcontext,
) -> None:
    """Let the machine run so often, so long, from *seed*; what it finds is shortened to *explain*.

    Raises what the store raised, or AssertionError where the two do not agree.
    """
    explaining = [Phase.generate, Phase.shrink] if explain else [Phase.generate]
    run_state_machine_as_test(
        hypothesis_seed(seed)(machine_of(kind, furnish)),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            phases=explaining,
            suppress_health_check=[*HealthCheck],
            print_blob=True,
        ),
    )


def run(seed: int) -> Finding:
    """Try it at full load."""
    examples, steps, kind = 300, 40, "sqlite-inline"
    try:
        examine(kind, examples=examples, steps=steps, seed=seed)
    except Exception as error:  # noqa: BLE001 - what the machine found is what is to be told
        return Finding(measured=f"they disagree: {error}", held=False)
    return Finding(measured=f"{examples} runs of up to {steps} steps: they agree", held=True)
