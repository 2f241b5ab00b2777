"""Upkeep: what is over is forgotten in its time, and what waits is counted, for ever."""

from datetime import timedelta

import anyio
import pytest

from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.domain.deliveries import DeliveryState
from dispatcher.domain.ledger import EventFilter
from dispatcher.domain.matching import match
from dispatcher.pipeline import upkeep
from dispatcher.pipeline.upkeep import Upkeep
from dispatcher.pipeline.workers import LEASE
from dispatcher.ports import PRUNED_AT_ONCE, Queue, Retention
from tests.kit.builders import acknowledged, an_application, an_event
from tests.kit.clock import NOON, FakeClock
from tests.pipeline.stage import RETENTION, AQueue, Stage, until

SHOP = an_application("shop")


class CountingQueue(AQueue):
    """A queue that remembers how much each prune took away."""

    def __init__(self, real: SqliteStore) -> None:
        super().__init__(real)
        self.bites: list[int] = []

    async def prune(self, retention: Retention) -> int:
        """Hand on, and remember."""
        self.bites.append(await self.real.prune(retention))
        return self.bites[-1]


async def told(stage: Stage, *, rounds: int) -> None:
    """Run what tells until so many rounds are over."""
    room = upkeep_of(stage, stage.store)
    reports = len(stage.telemetry.depths)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(room.tell)
        await until(lambda: len(stage.telemetry.depths) > reports + rounds)
        tasks.cancel_scope.cancel()


async def tidied(stage: Stage) -> list[int]:
    """Run what forgets until a bite was not full, and once more; return the bites."""
    queue = CountingQueue(stage.store)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(upkeep_of(stage, queue).tidy)
        await until(lambda: len([bite for bite in queue.bites if bite < PRUNED_AT_ONCE]) > 1)
        tasks.cancel_scope.cancel()
    return queue.bites


def upkeep_of(stage: Stage, queue: Queue) -> Upkeep:
    """Return the upkeep of the store behind *queue*."""
    return Upkeep(queue=queue, ledger=stage.store, telemetry=stage.telemetry, retention=RETENTION)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a round follow the other at once."""
    monkeypatch.setattr(upkeep, "EVERY", timedelta())


async def test_what_is_waiting_is_reported_each_round(stage: Stage) -> None:
    """The report has the deliveries by state, the oldest untold, and the events not yet matched."""
    await stage.owe(SHOP, events=2)
    await stage.store.settle([acknowledged((await stage.store.claim(1, lease=LEASE))[0])])
    await stage.store.accept([an_event()])

    await told(stage, rounds=2)

    depth = stage.telemetry.depths[-1]
    assert (
        depth.deliveries[DeliveryState.PENDING],
        depth.deliveries[DeliveryState.DELIVERED],
    ) == (1, 1)
    assert depth.oldest_pending == {"shop": NOON}
    assert depth.events_accepted == 1


async def test_what_is_over_is_kept_for_its_retention_and_no_longer(
    stage: Stage, clock: FakeClock
) -> None:
    """A delivered logout is forgotten when its retention has passed; what is owed never is."""
    await stage.owe(SHOP, events=2)
    await stage.store.settle([acknowledged((await stage.store.claim(1, lease=LEASE))[0])])

    clock.advance(RETENTION.settled)
    await tidied(stage)
    kept = await stage.states()
    clock.advance(seconds=1)
    await tidied(stage)

    assert kept == [DeliveryState.DELIVERED, DeliveryState.PENDING]
    assert await stage.states() == [DeliveryState.PENDING]
    assert len(await stage.store.events(EventFilter())) == 1


async def test_one_round_takes_all_that_is_over_a_bite_at_a_time(
    stage: Stage, clock: FakeClock
) -> None:
    """However much is over, it is gone within the round, in bites that hold nobody up."""
    await stage.store.accept([an_event(clients=[]) for _ in range(1200)])
    await stage.store.match(1200, match)

    clock.advance(days=31)
    bites = await tidied(stage)

    *full, last = bites[: next(n for n, bite in enumerate(bites, 1) if bite < PRUNED_AT_ONCE)]
    assert len(full) == 2
    assert sum(full) + last == 2 * 1200  # events and ids
    assert await stage.store.events(EventFilter()) == []


async def test_what_grows_old_all_the_time_waits_for_the_next_round(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is always a little that has just come of age, a round ends all the same."""
    monkeypatch.setattr(upkeep, "EVERY", timedelta(hours=1))
    queue = AlwaysALittle(stage.store)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(upkeep_of(stage, queue).tidy)
        await until(lambda: queue.calls > 0)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()

    assert queue.calls == 3


class AlwaysALittle(AQueue):
    """A queue with two full bites, in which something comes of age at each look for a while."""

    def __init__(self, real: SqliteStore) -> None:
        super().__init__(real)
        self.calls = 0

    async def prune(self, _: Retention) -> int:
        """Count."""
        self.calls += 1
        if self.calls < 3:
            return PRUNED_AT_ONCE
        return 1 if self.calls < 10 else 0
