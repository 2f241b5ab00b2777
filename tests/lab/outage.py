"""A long outage: what gathers in a day is told oldest first, and nobody else notices."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import accumulate
from pathlib import Path

import anyio

from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.domain.deliveries import DeliveryState, OutcomeKind
from dispatcher.domain.events import LogoutEvent
from dispatcher.domain.lanes import FLUSH_AT_FIRST, FLUSH_ENDS
from dispatcher.pipeline.deliver import Deliver, Terms
from dispatcher.pipeline.upkeep import Upkeep
from dispatcher.pipeline.waiting import Waiting
from dispatcher.pipeline.workers import Workers
from tests.kit.builders import an_application, an_event
from tests.kit.folders import a_folder
from tests.kit.virtual import PlainSigner, VirtualClock, virtually
from tests.lab.simulation import HOUR, KEPT, SEAL, patient
from tests.lab.table import Finding
from tests.lab.world import Chronicle, Health, History, Illness, Network, Post, Spell, now

SICK, WELL = "sick", ("well0", "well1")
SLOTS = 256
AT_ONCE = SLOTS // 4
WAITED_FOR_SECONDS = 0.1
_ROUNDING = 1e-3
"""The store counts in microseconds, and here time is a float."""


@dataclass
class Outage:
    """One application is away for *hours*, while so many logouts gather for it."""

    folder: Path
    parked: int
    hours: float = 24
    seed: int = 1
    history: History = field(default_factory=History)

    def __post_init__(self) -> None:
        """Make the world."""
        dice = random.Random(self.seed)
        self.ends = self.hours * HOUR
        away = Spell(Illness.REFUSES_CONNECTIONS, 0, self.ends)
        health = {SICK: Health(0.02, [away]), **dict.fromkeys(WELL, Health(0.02))}
        self.clock = VirtualClock()
        self.network = Network(health, self.history, dice)
        self.telemetry = Chronicle(self.history)
        self._jtis = 0
        self.over = False

    async def run(self) -> "Outage":
        """Live through it, until nothing waits."""
        path = self.folder / "store.db"
        store = await SqliteStore.open(path, clock=self.clock, seal=SEAL, inline=True)
        for name in (SICK, *WELL):
            await store.create_application(an_application(name, max_in_flight=AT_ONCE))
        async with anyio.create_task_group() as tasks:
            workers = self._workers(store)
            tasks.start_soon(workers.run)
            tasks.start_soon(self._tell_the_well, store)
            await self._gather(store)
            await self._drained(store)
            self.over = True
            await workers.drain(timedelta(seconds=1))
        self.depth = await store.depth()
        await store.close()
        return self

    def _workers(self, store: SqliteStore) -> Workers:
        terms = Terms(
            issuer="https://op.example/",
            lifetime=timedelta(seconds=120),
            timeout=timedelta(seconds=5),
            horizon=timedelta(hours=168),
            new_jti=self._new_jti,
            jitter=lambda: 0.0,
        )
        deliver = Deliver(
            registry=store,
            signer=PlainSigner(),
            sender=self.network,
            clock=self.clock,
            terms=terms,
        )
        return Workers(
            queue=store,
            deliver=deliver,
            upkeep=Upkeep(queue=store, ledger=store, telemetry=self.telemetry, retention=KEPT),
            waiting=Waiting(ledger=store),
            telemetry=self.telemetry,
            clock=self.clock,
            max_in_flight=SLOTS,
        )

    def _new_jti(self) -> str:
        self._jtis += 1
        return f"jti-{self._jtis}"

    async def _gather(self, store: SqliteStore) -> None:
        """Owe the sick one its logouts, evenly over the time that it is away."""
        batches = max(self.parked // 100, 50)
        each = self.parked // batches
        for batch in range(batches):
            numbers = range(batch * each, (batch + 1) * each)
            await store.accept([self._event(f"s{number}", SICK) for number in numbers])
            await anyio.sleep(max(0.0, (batch + 1) * self.ends / batches - now()))

    async def _tell_the_well(self, store: SqliteStore) -> None:
        """Owe the others one now and then; every tenth of a second when the sick one is back."""
        number = 0
        while not self.over:
            subject = f"w{number}"
            await store.accept([self._event(subject, *WELL)])
            self.history.accepted[subject] = now()
            await anyio.sleep(0.1 if now() >= self.ends else 60)
            number += 1

    def _event(self, subject: str, *clients: str) -> LogoutEvent:
        return an_event(id=subject, sid=subject, clients=clients, received_at=self.clock.now())

    async def _drained(self, store: SqliteStore) -> None:
        while (await store.depth()).deliveries[DeliveryState.PENDING]:  # noqa: ASYNC110 - it tells nobody
            await anyio.sleep(1)
        await anyio.sleep(1)

    @property
    def told(self) -> Sequence[Post]:
        """The tokens that the sick one got, in the order in which they were sent."""
        told = [post for post in self.history.posts if post.client_id == SICK and post.kept]
        return sorted(told, key=lambda post: post.started)

    @property
    def misplaced(self) -> int:
        """By how many places a logout came before an older one, at most; the probe aside."""
        numbers = [int(post.subject[1:]) for post in self.told[1:]]
        newest = accumulate(numbers, max)
        overtaken = (most - number for most, number in zip(newest, numbers, strict=True))
        return max(overtaken, default=0)

    @property
    def too_fast(self) -> list[int]:
        """The seconds after it was back in which more was sent than its flush allows."""
        opened = self.told[0].ended
        seconds = Counter(int(post.started - opened + _ROUNDING) for post in self.told[1:])
        counts = accumulate(seconds[second] for second in range(int(FLUSH_ENDS.total_seconds())))
        return [
            second
            for second, count in enumerate(counts)
            if count > FLUSH_AT_FIRST * ((2 << second) - 1)
        ]

    @property
    def drained_in(self) -> float:
        """Seconds from its first answer to its last logout."""
        return self.told[-1].ended - self.told[0].ended

    @property
    def probes(self) -> int:
        """How many tokens were tried in vain."""
        return sum(post.outcome == OutcomeKind.UNREACHABLE for post in self.history.posts)

    def slowest(self, *, draining: bool) -> float:
        """Return how long a well application waited at most, while the sick one drained or not."""
        waits = [
            post.started - self.history.accepted[post.subject]
            for post in self.history.posts
            if post.client_id in WELL and (post.started >= self.ends) is draining
        ]
        return max(waits)


def live_through(*, parked: int, hours: float, seed: int) -> Outage:
    """Let an application be away for *hours*, and come back."""
    with a_folder() as folder, patient():
        return virtually(Outage(folder, parked, hours, seed).run, seed=seed)


def run(seed: int) -> Finding:
    """Try it at full load."""
    outage = live_through(parked=100_000, hours=24, seed=seed)
    told = {post.subject for post in outage.told}
    slowest = outage.slowest(draining=True)
    return Finding(
        measured=(
            f"{len(told):,} told, {len(outage.told) - len(told)} twice, {outage.probes:,} tokens"
            f" in vain in the day; drained in {outage.drained_in:.0f} s, flush"
            f" {'exceeded in ' + str(outage.too_fast) if outage.too_fast else 'kept'}, at most"
            f" {outage.misplaced} places out of order; the others waited {slowest * 1000:.0f} ms"
            f" at most ({outage.slowest(draining=False) * 1000:.0f} ms before)"
        ),
        held=len(outage.told) == len(told) == outage.parked
        and not outage.too_fast
        and outage.misplaced <= AT_ONCE
        and slowest < WAITED_FOR_SECONDS,
    )
