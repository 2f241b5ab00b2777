"""Upkeep: what is over is forgotten in its time, and what waits is counted, for ever."""

from collections.abc import Sequence
from datetime import timedelta

import anyio
import pytest

from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.domain.deliveries import DeliveryState
from dispatcher.domain.ledger import Depth, EventFilter
from dispatcher.domain.matching import match
from dispatcher.pipeline import upkeep
from dispatcher.pipeline.upkeep import Upkeep
from dispatcher.pipeline.workers import LEASE
from dispatcher.ports import Queue, Retention
from tests.kit.builders import acknowledged, an_application, an_event
from tests.kit.clock import NOON, FakeClock
from tests.pipeline.stage import RETENTION, AQueue, Stage, until

SHOP = an_application("shop")


class CountingQueue(AQueue):
    """A queue that remembers how much each prune took away, and the reports until then."""

    def __init__(self, real: SqliteStore, reports: Sequence[Depth]) -> None:
        super().__init__(real)
        self.bites: list[int] = []
        self.reports: list[int] = []
        self._reports = reports

    async def prune(self, retention: Retention) -> int:
        """Hand on, and remember."""
        self.reports.append(len(self._reports))
        self.bites.append(await self.real.prune(retention))
        return self.bites[-1]


async def tidied(stage: Stage, *, queue: Queue, rounds: int) -> None:
    """Run the upkeep until so many rounds are over."""
    room = tidying(stage, queue)
    reports = len(stage.telemetry.depths)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(room.run)
        await until(lambda: len(stage.telemetry.depths) > reports + rounds)
        tasks.cancel_scope.cancel()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a round follow the other at once."""
    monkeypatch.setattr(upkeep, "EVERY", timedelta())


async def test_what_is_waiting_is_reported_each_round(stage: Stage) -> None:
    """The report has the deliveries by state, the oldest untold, and the events not yet matched."""
    await stage.owe(SHOP, events=2)
    await stage.store.settle([acknowledged((await stage.store.claim(1, lease=LEASE))[0])])
    await stage.store.accept([an_event()])

    await tidied(stage, queue=stage.store, rounds=2)

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
    await tidied(stage, queue=stage.store, rounds=1)
    kept = await stage.states()
    clock.advance(seconds=1)
    await tidied(stage, queue=stage.store, rounds=1)

    assert kept == [DeliveryState.DELIVERED, DeliveryState.PENDING]
    assert await stage.states() == [DeliveryState.PENDING]
    assert len(await stage.store.events(EventFilter())) == 1


async def test_all_that_is_over_goes_a_bite_at_a_time(
    stage: Stage, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much is over, it is gone within a round that has the time, in bites."""
    monkeypatch.setattr(upkeep, "EVERY", timedelta(minutes=1))
    queue = await with_much_over(stage, clock)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tidying(stage, queue).run)
        await until(lambda: 0 in queue.bites)
        tasks.cancel_scope.cancel()

    assert len(queue.bites) > 3
    assert sum(queue.bites) >= 1200
    assert await stage.store.events(EventFilter()) == []


async def test_what_is_waiting_is_reported_while_much_goes(stage: Stage, clock: FakeClock) -> None:
    """However long there is something to prune, no report is late for it."""
    queue = await with_much_over(stage, clock)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tidying(stage, queue).run)
        await until(lambda: 0 in queue.bites)
        tasks.cancel_scope.cancel()

    assert queue.bites.index(0) >= 3
    assert queue.reports[:3] == [1, 2, 3]


async def with_much_over(stage: Stage, clock: FakeClock) -> CountingQueue:
    """Return the queue of a store in which more is over than goes in one bite."""
    await stage.store.accept([an_event(clients=[]) for _ in range(1200)])
    await stage.store.match(1200, match)
    clock.advance(days=31)
    return CountingQueue(stage.store, stage.telemetry.depths)


def tidying(stage: Stage, queue: Queue) -> Upkeep:
    """Return the upkeep of *queue*."""
    return Upkeep(queue=queue, ledger=stage.store, telemetry=stage.telemetry, retention=RETENTION)
