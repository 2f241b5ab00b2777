"""The stores by themselves, without sending: events in, matched, claimed and settled.

Each event is owed to one of fifty applications. CPU is that of this process; a database's server
works in others.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

import anyio

from dispatcher.adapters.clock import SystemClock
from dispatcher.adapters.postgres import PostgresStore, migrate
from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.domain.deliveries import DeliveryState
from dispatcher.domain.matching import match
from keys import Seal
from tests.bench.figures import Figure, Unit, Yardstick, at_least
from tests.bench.plan import Plan
from tests.contract.stores import Store
from tests.kit.builders import acknowledged, an_application, an_event
from tests.kit.folders import a_folder
from tests.kit.postgres import an_own_server

LEASE = timedelta(seconds=30)
LANES, BATCH, WEBHOOKS_AT_ONCE = 50, 256, 256
SEAL = Seal([b"k" * 32])
ACCEPTED, MATCHED, SETTLED = "accepted", "matched", "settled"
SQLITE, POSTGRES, TWO = "sqlite", "postgres", "postgres_two_replicas"
_BARS = {(POSTGRES, SETTLED): at_least(8_000)}

Opened = Callable[[], Awaitable[Store]]


@dataclass(slots=True)
class Speeds:
    """How many deliveries there were in a second of each step, and the CPU of one, in seconds."""

    count: int
    per_second: dict[str, float] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Time *step*, which all of them take in the block."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        self.per_second[step] = self.count / wall
        self.cpu_seconds[step] = cpu / self.count


@dataclass(frozen=True, slots=True)
class Stores:
    """What each store can do; PostgreSQL with one process' worth of store, and with two."""

    speeds: dict[str, Speeds]

    def figures(self) -> list[Figure]:
        """Return the speed of each step in each store, and what settling costs."""
        found = []
        for store, speeds in self.speeds.items():
            for step, speed in speeds.per_second.items():
                name, bar = f"stores_{store}_{step}_per_second", _BARS.get((store, step))
                found.append(Figure(name, speed, Unit.PER_SECOND, self._alone(store, step), bar))
            cost = speeds.cpu_seconds[SETTLED]
            found.append(Figure(f"stores_{store}_{SETTLED}_cpu_seconds", cost, Unit.SECONDS))
        return found

    def _alone(self, store: str, step: str) -> Yardstick | None:
        """Return what two are compared with."""
        if store != TWO:
            return None
        return Yardstick("one", self.speeds[POSTGRES].per_second[step])


async def _accept(store: Store, count: int) -> None:
    """Accept single events, as many webhooks at once as a busy source sends."""

    async def source(place: int) -> None:
        for number in range(place, count, WEBHOOKS_AT_ONCE):
            await store.accept([an_event(sid=f"s{number}", clients=[f"a{number % LANES}"])])

    async with anyio.create_task_group() as sources:
        for place in range(WEBHOOKS_AT_ONCE):
            sources.start_soon(source, place)


async def _match(store: Store) -> None:
    while await store.match(BATCH, match):
        pass


async def _deliver(stores: Sequence[Store], count: int) -> None:
    """Claim and settle all that is due."""

    async def work(store: Store) -> None:
        while claimed := await store.claim(BATCH, lease=LEASE):
            held = await store.settle([acknowledged(one) for one in claimed])
            assert all(held)

    async with anyio.create_task_group() as workers:
        for store in stores:
            workers.start_soon(work, store)
    depth = await stores[0].depth()
    assert depth.deliveries[DeliveryState.DELIVERED] == count


async def _measured(opened: Opened, *, replicas: int, count: int) -> Speeds:
    speeds = Speeds(count)
    async with AsyncExitStack() as at_the_end:
        stores = [await _entered(at_the_end, opened) for _ in range(replicas)]
        for lane in range(LANES):
            await stores[0].create_application(an_application(f"a{lane}", max_in_flight=4096))
        with speeds.timed(ACCEPTED):
            await _accept(stores[0], count)
        with speeds.timed(MATCHED):
            await _match(stores[0])
        with speeds.timed(SETTLED):
            await _deliver(stores, count)
    return speeds


async def _entered(at_the_end: AsyncExitStack, opened: Opened) -> Store:
    @asynccontextmanager
    async def store() -> AsyncIterator[Store]:
        store = await opened()
        try:
            yield store
        finally:
            await store.close()

    return await at_the_end.enter_async_context(store())


def _sqlite(folder: Path) -> Opened:
    return lambda: SqliteStore.open(folder / "store.db", clock=SystemClock(), seal=SEAL)


def _postgres(url: str) -> Opened:
    async def opened() -> Store:
        clock = SystemClock()
        return await PostgresStore.open(url, clock=clock, seal=SEAL, heard=clock.follow)

    return opened


def measure(plan: Plan) -> Stores:
    """Let each store take in and deliver the plan's events."""
    speeds = {}
    with ExitStack() as at_the_end:
        opened = _sqlite(at_the_end.enter_context(a_folder()))
        speeds[SQLITE] = _run(opened, replicas=1, count=plan.stored)
        server = at_the_end.enter_context(an_own_server())
        for name, replicas in ((POSTGRES, 1), (TWO, 2)):
            url = at_the_end.enter_context(server.database())
            anyio.run(migrate, url)
            speeds[name] = _run(_postgres(url), replicas=replicas, count=plan.stored)
    return Stores(speeds)


def _run(opened: Opened, *, replicas: int, count: int) -> Speeds:
    work = partial(_measured, opened, replicas=replicas, count=count)
    return anyio.run(work, backend_options={"use_uvloop": True})
