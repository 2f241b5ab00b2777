"""A backlog: CPU of claim and settle for each delivery, with a million due against a thousand.

The real store in this process, in a real file on the disk, with its threads. Of what is due one
lane holds half and 49 others the rest. Claims are made as the workers make them; each is settled
whole, and then as many new ones come for the same lanes, so that either backlog keeps its length.
"""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from dispatcher.adapters.clock import SystemClock
from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.domain.matching import match
from dispatcher.pipeline.workers import LEASE
from keys import Seal
from tests.bench.figures import Figure, Unit, Yardstick, at_most
from tests.bench.plan import Plan
from tests.kit.builders import acknowledged, an_application, an_event

LANES = 50
BATCH = 64
SLOTS = 256
_WARMING = 5
_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Backlog:
    """CPU seconds of one delivery's claim and settlement, and of how many in all."""

    few_cpu_seconds: float
    many_cpu_seconds: float
    settled: int

    def figures(self) -> list[Figure]:
        """Return the long backlog's cost against the short one's."""
        few = Yardstick("the same, few due", self.few_cpu_seconds)
        return [
            Figure(
                "backlog_cpu_seconds_per_delivery",
                self.many_cpu_seconds,
                Unit.SECONDS,
                few,
                at_most(1.5),
            )
        ]


class Waiting:
    """A store in which a constant number of deliveries is due."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._sids = map("s{}".format, count())
        self.settled = 0
        self.cpu_seconds = 0.0

    async def fill(self, due: int) -> None:
        """Make *due* deliveries, half of them in the first lane."""
        others = (f"app-{1 + number % (LANES - 1)}" for number in range(due // 2))
        while batch := [("app-0", other) for other in islice(others, _AT_ONCE)]:
            await self._owe(batch)

    async def turn(self) -> None:
        """Claim and settle once, take the CPU of both, and let as many come as went."""
        began = time.process_time()
        claimed = await self._store.claim(
            BATCH, lease=LEASE, retries=SLOTS - SLOTS // 4, per_lane=SLOTS // 4
        )
        cpu = time.process_time() - began
        settlements = [acknowledged(delivery) for delivery in claimed]
        began = time.process_time()
        held = await self._store.settle(settlements)
        self.cpu_seconds += cpu + time.process_time() - began
        self.settled += sum(held)
        await self._owe([(delivery.client_id,) for delivery in claimed])

    def forget(self) -> None:
        """Forget what was measured so far."""
        self.settled, self.cpu_seconds = 0, 0.0

    async def _owe(self, told: Sequence[Sequence[str]]) -> None:
        events = [an_event(sid=next(self._sids), clients=clients) for clients in told]
        await self._store.accept(events)
        while await self._store.match(_AT_ONCE, match):
            pass


def measure(plan: Plan) -> Backlog:
    """Claim and settle from either backlog, in turns."""
    return anyio.run(_measured, plan, backend_options={"use_uvloop": True})


async def _measured(plan: Plan) -> Backlog:
    async with _waiting(plan.due_few) as few, _waiting(plan.due) as many:
        for turn in range(-_WARMING, plan.claims):
            if not turn:
                few.forget()
                many.forget()
            await few.turn()
            await many.turn()
    return Backlog(
        few.cpu_seconds / few.settled, many.cpu_seconds / many.settled, few.settled + many.settled
    )


@asynccontextmanager
async def _waiting(due: int) -> AsyncIterator[Waiting]:
    with TemporaryDirectory() as folder:
        store = await SqliteStore.open(
            Path(folder) / "store.db", clock=SystemClock(), seal=Seal([b"k" * 32])
        )
        for lane in range(LANES):
            await store.create_application(an_application(f"app-{lane}"))
        waiting = Waiting(store)
        await waiting.fill(due)
        yield waiting
        await store.close()
