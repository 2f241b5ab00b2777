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
from dispatcher.ports import Queue, Retention
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


async def tidied(stage: Stage, *, queue: Queue, rounds: int) -> None:
    """Run the upkeep until so many rounds are over."""
    room = Upkeep(queue=queue, ledger=stage.store, telemetry=stage.telemetry, retention=RETENTION)
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


async def test_one_round_takes_all_that_is_over_a_bite_at_a_time(
    stage: Stage, clock: FakeClock
) -> None:
    """However much is over, it is gone within the round, in bites that hold nobody up."""
    queue = CountingQueue(stage.store)
    await stage.store.accept([an_event(clients=[]) for _ in range(1200)])
    await stage.store.match(1200, match)

    clock.advance(days=31)
    await tidied(stage, queue=queue, rounds=1)

    first_round = queue.bites[: queue.bites.index(0) + 1]
    assert len(first_round) > 3
    assert sum(first_round) >= 1200
    assert await stage.store.events(EventFilter()) == []
