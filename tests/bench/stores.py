"""The stores by themselves, without sending: ``python -m tests.bench.stores [EVENTS]``."""

import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
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
from tests.contract.stores import Store
from tests.kit.builders import acknowledged, an_application, an_event
from tests.kit.folders import a_folder
from tests.kit.postgres import an_own_server

LEASE = timedelta(seconds=30)
LANES, BATCH, WEBHOOKS_AT_ONCE = 50, 256, 256
SEAL = Seal([b"k" * 32])

Opened = Callable[[], Awaitable[Store]]


@contextmanager
def _timed(what: str, count: int) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"  {what:<44}{count / wall:>9,.0f}/s{1e6 * cpu / count:>8,.0f} us of our CPU each")


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


async def _measure(opened: Opened, *, replicas: int, count: int) -> None:
    async with AsyncExitStack() as at_the_end:
        stores = [await _entered(at_the_end, opened) for _ in range(replicas)]
        for lane in range(LANES):
            await stores[0].create_application(an_application(f"a{lane}", max_in_flight=4096))
        with _timed(f"accepted, {WEBHOOKS_AT_ONCE} webhooks at once", count):
            await _accept(stores[0], count)
        with _timed("matched", count):
            await _match(stores[0])
        with _timed(f"claimed and settled, {BATCH} at a time, by {replicas}", count):
            await _deliver(stores, count)


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


def main(count: int) -> None:
    """Print what each store can do."""
    with ExitStack() as at_the_end:
        print("SQLite")
        opened = _sqlite(at_the_end.enter_context(a_folder()))
        work = partial(_measure, opened, replicas=1, count=count)
        anyio.run(work, backend_options={"use_uvloop": True})
        server = at_the_end.enter_context(an_own_server())
        for replicas in (1, 2):
            print(f"PostgreSQL, {replicas} in one process")
            url = at_the_end.enter_context(server.database())
            anyio.run(migrate, url)
            shared = _postgres(url)
            work = partial(_measure, shared, replicas=replicas, count=count)
            anyio.run(work, backend_options={"use_uvloop": True})


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
