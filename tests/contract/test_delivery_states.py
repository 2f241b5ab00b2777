"""The delivery's states, walked at random beside a model that is a few dictionaries."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from dispatcher.domain.deliveries import (
    Delivery,
    DeliveryId,
    DeliveryState,
    Retrial,
    Settled,
)
from dispatcher.domain.ledger import DeliveryFilter
from keys import Seal
from tests.conftest import MASTER_KEY
from tests.contract.conftest import furnishing
from tests.contract.steps import LEASE, claim, match_all
from tests.contract.stores import SHARED, STORES, Opener, Store
from tests.kit.builders import (
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

T = TypeVar("T")
_RETRIED = {Retrial.RETRIED: True, Retrial.NOT_OVER: False}
_NONE = DeliveryId("dl_99999")
CAPS = {"shop": 2, "mail": 3, "wiki": 50}


@dataclass
class Expected:
    """What the model knows of one delivery."""

    client_id: str
    state: DeliveryState
    due_at: datetime
    lease: int = 0
    lease_until: datetime | None = None


class Deliveries(RuleBasedStateMachine):
    """Every step is taken in the store and in the model; they must tell the same."""

    opener: Opener
    furnished: Callable[[Path], AbstractContextManager[None]]
    """Puts into a folder what a store needs to be opened there."""
    frees_leases: bool
    """Whether a restart does: not where others share the store."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.at_the_end = ExitStack()
        self.folder = self.at_the_end.enter_context(a_folder())
        self.at_the_end.enter_context(type(self).furnished(self.folder))
        self.runner = asyncio.Runner()
        self.model: dict[DeliveryId, Expected] = {}
        self.lent: list[Delivery] = []
        self.store = self.opened()

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        """Take one step in the store."""
        return self.runner.run(step)

    def opened(self) -> Store:
        """Open the store."""

        async def opened() -> Store:
            return await type(self).opener(self.folder, clock=self.clock, seal=Seal([MASTER_KEY]))

        return self.run(opened())

    @initialize()
    def register(self) -> None:
        """Register the applications with their caps."""
        for client_id, cap in CAPS.items():
            application = an_application(client_id, max_in_flight=cap)
            self.run(self.store.create_application(application))

    @rule(client_ids=st.lists(st.sampled_from(sorted(CAPS)), unique=True, min_size=1))
    def owe(self, client_ids: list[str]) -> None:
        """Accept and match an event."""
        known = set(self.model)
        self.run(self.store.accept([an_event(sid="s1", clients=client_ids)]))
        self.run(match_all(self.store))
        for record in self.run(self.store.deliveries(DeliveryFilter(take=3))):
            if record.id not in known:
                self.model[record.id] = Expected(
                    record.client_id, DeliveryState.PENDING, self.clock.steady()
                )

    @rule(limit=st.integers(1, 8))
    def claim(self, limit: int) -> None:
        """Claim: only what may be lent is, and as much of it as may be."""
        expired, due = self._claimable()
        claimed = self.run(claim(self.store, limit))

        ids = [delivery.id for delivery in claimed]
        assert len(set(ids)) == len(ids) == min(limit, len(expired) + sum(due.values()))
        for delivery in claimed:
            self._lend(delivery)
        self.lent += claimed

    def _claimable(self) -> tuple[set[DeliveryId], dict[str, int]]:
        """Return whose lease ran out, and how many more each application may be lent."""
        now = self.clock.steady()
        expired = {
            name
            for name, one in self.model.items()
            if one.lease_until is not None and one.lease_until <= now
        }
        waiting = Counter(
            one.client_id
            for one in self.model.values()
            if one.state is DeliveryState.PENDING and one.due_at <= now
        )
        lent = Counter(one.client_id for one in self.model.values() if one.lease_until is not None)
        return expired, {
            client_id: min(count, max(0, CAPS[client_id] - lent[client_id]))
            for client_id, count in waiting.items()
        }

    def _lend(self, delivery: Delivery) -> None:
        expected = self.model[delivery.id]
        now = self.clock.steady()
        assert expected.state in {DeliveryState.PENDING, DeliveryState.IN_FLIGHT}
        assert expected.due_at <= now
        assert expected.lease_until is None or expected.lease_until <= now
        assert delivery.lease != expected.lease
        expected.state = DeliveryState.IN_FLIGHT
        expected.lease, expected.lease_until = delivery.lease, now + LEASE

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """Settle some of what was ever lent, with a lease that holds or one that does not."""
        if not self.lent:
            return
        chosen = data.draw(st.lists(st.sampled_from(self.lent), max_size=4))
        batch = [self._outcome(delivery, data) for delivery in chosen]

        held = self.run(self.store.settle(batch))

        assert list(held) == [self._settled(one) for one in batch]

    def _outcome(self, delivery: Delivery, data: st.DataObject) -> Settled:
        now = self.clock.steady()
        later = now + timedelta(seconds=data.draw(st.integers(0, 40)))
        return data.draw(
            st.sampled_from(
                [
                    acknowledged(delivery),
                    put_off(delivery, until=later),
                    gave_up(delivery),
                    called_off(delivery),
                    given_back(delivery, now=now),
                ]
            )
        )

    def _settled(self, settled: Settled) -> bool:
        expected = self.model[settled.delivery.id]
        ours = expected.lease == settled.delivery.lease and expected.lease_until is not None
        if ours:
            expected.state, expected.lease_until = settled.settlement.state, None
            expected.due_at = settled.settlement.due_at or expected.due_at
        return ours

    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        """Ask for some once more: those that failed or were cancelled are due at once."""
        ids = data.draw(st.lists(st.sampled_from(sorted(self.model) or [_NONE]), unique=True))

        retrials = self.run(self.store.retry(ids))

        over = {DeliveryState.FAILED, DeliveryState.CANCELLED}
        expected = [self.model[name].state in over if name in self.model else None for name in ids]
        assert [_RETRIED.get(retrial) for retrial in retrials] == expected
        for name, retried in zip(ids, expected, strict=True):
            if retried:
                self.model[name].state = DeliveryState.PENDING
                self.model[name].due_at = self.clock.steady()

    @rule(seconds=st.integers(1, 45))
    def let_time_pass(self, seconds: int) -> None:
        """Let leases end and deliveries come due."""
        self.clock.advance(seconds=seconds)

    @rule()
    def restart(self) -> None:
        """Close the store and open it again: what was in flight is due at once."""
        self.run(self.store.close())
        self.store = self.opened()
        if not self.frees_leases:
            return
        for expected in self.model.values():
            if expected.state is DeliveryState.IN_FLIGHT:
                expected.state, expected.lease_until = DeliveryState.PENDING, None
                expected.due_at = self.clock.steady()

    @invariant()
    def the_store_tells_what_the_model_knows(self) -> None:
        """Compare every delivery, and the counts."""
        records = self.run(self.store.deliveries(DeliveryFilter(take=100)))
        depth = self.run(self.store.depth())

        assert {record.id: record.state for record in records} == {
            name: expected.state for name, expected in self.model.items()
        }
        counts = Counter(expected.state for expected in self.model.values())
        assert depth.deliveries == {state: counts[state] for state in DeliveryState}

    def teardown(self) -> None:
        """Close everything."""
        self.run(self.store.close())
        self.runner.close()
        self.at_the_end.close()


@pytest.mark.parametrize("kind", list(STORES))
def test_deliveries_go_only_where_the_model_goes(kind: str, request: pytest.FixtureRequest) -> None:
    """No order of claims, outcomes, passing time and restarts leads where it should not."""
    told = {
        "opener": staticmethod(STORES[kind]),
        "furnished": staticmethod(furnishing(kind, request)),
        "frees_leases": kind not in SHARED,
    }
    machine = type("Walk", (Deliveries,), told)

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=15,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

    assert Deliveries.__doc__
