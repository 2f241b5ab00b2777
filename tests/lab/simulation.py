"""Simulation: a day of the work in virtual time, in a world that goes wrong by one seed.

Applications fall ill and heal, the store does not answer or answers that it failed when it did not,
the process crashes and comes back, the wall clock is set, an operator pauses lanes. All of it ends
some hours before the day does; then nothing may be left that was owed and is not told.
"""

import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import anyio

from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.domain.errors import StoreUnavailable, Unavailable
from dispatcher.domain.events import ClientId, LogoutEvent
from dispatcher.domain.ledger import DeliveryFilter, DeliveryRecord
from dispatcher.pipeline import upkeep, workers
from dispatcher.pipeline.deliver import Deliver, Terms
from dispatcher.pipeline.upkeep import Upkeep
from dispatcher.pipeline.waiting import Waiting
from dispatcher.pipeline.workers import Workers
from dispatcher.ports import Retention
from keys import Seal
from tests.kit.builders import an_application, an_event
from tests.kit.folders import a_folder
from tests.kit.virtual import PlainSigner, PlainToken, VirtualClock, virtually
from tests.lab.world import Chronicle, Health, History, Illness, Network, Spell, now

T = TypeVar("T")
HOUR = 3600.0
SLOTS = 64
CAP = 8
KEPT = Retention(settled=timedelta(days=30), failed=timedelta(days=90), sessions=timedelta(days=30))
SEAL = Seal([b"k" * 32])


@dataclass(frozen=True)
class Plan:
    """What is to happen, drawn from a seed."""

    seed: int
    hours: float = 24
    events: int = 300
    applications: int = 8
    sick: int = 4
    crashes: int = 4
    store_faults: int = 4
    wall_steps: int = 3
    pauses: int = 2

    @property
    def length(self) -> float:
        """Seconds from the beginning to the end."""
        return self.hours * HOUR

    @property
    def chaos_ends(self) -> float:
        """When everybody is well again: more than the longest wait before the end."""
        return self.length - 3 * HOUR


@contextmanager
def patient() -> Iterator[None]:
    """Let the workers look for themselves only every ten minutes, and tidy once a minute.

    What the store hints at, and what comes due, is then all that keeps the work going: a hint that
    is missed shows as a logout that is late.
    """
    before = workers.POLL, upkeep.EVERY
    workers.POLL, upkeep.EVERY = timedelta(minutes=10), timedelta(minutes=1)
    try:
        yield
    finally:
        workers.POLL, upkeep.EVERY = before


class FaultyStore:
    """The store as it is, but for times when it fails: before it has done its work, or after."""

    def __init__(
        self, real: SqliteStore, faults: Sequence[tuple[float, float]], dice: random.Random
    ) -> None:
        self._real = real
        self._faults = faults
        self._dice = dice

    def __getattr__(self, name: str) -> Any:
        """Return a method of the real one, which fails now and then where it writes."""
        real = getattr(self._real, name)
        if name in {"accept", "match", "claim", "settle", "prune"}:
            return self._faulty(real)
        return real

    def _faulty(self, real: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
        async def faulty(*arguments: Any, **more: Any) -> T:
            fate = self._dice.random() if within(now(), self._faults) else 1.0
            if fate < 0.4:
                raise StoreUnavailable("The disk is slow.")
            result = await real(*arguments, **more)
            if fate < 0.5:
                raise StoreUnavailable("Nobody knows what is on the disk.")
            return result

        return faulty


class ForgetfulSigner(PlainSigner):
    """A signer that has no key at times."""

    def __init__(self, faults: Sequence[tuple[float, float]]) -> None:
        self._faults = faults

    async def sign(self, claims: Mapping[str, object], *, alg: str, typ: str | None) -> PlainToken:
        """Sign, unless it is one of these times."""
        if within(now(), self._faults):
            raise Unavailable("There is no key.")
        return await super().sign(claims, alg=alg, typ=typ)


def within(moment: float, spans: Sequence[tuple[float, float]]) -> bool:
    """Whether *moment* is in one of *spans*."""
    return any(start <= moment < end for start, end in spans)


@dataclass
class Simulation:
    """One day."""

    plan: Plan
    folder: Path
    history: History = field(default_factory=History)

    def __post_init__(self) -> None:
        """Draw what happens."""
        plan, dice = self.plan, random.Random(self.plan.seed)
        self.dice = dice
        self.clock = VirtualClock()
        self.names = [f"app{number}" for number in range(plan.applications)]
        self.health = {
            name: Health(dice.uniform(0.005, 0.3), tuple(self._spells()) if ill else ())
            for name, ill in zip(self.names, [True] * plan.sick + [False] * 99, strict=False)
        }
        self.store_faults = self._spans(plan.store_faults, 20, 300)
        self.signer_faults = self._spans(1, 30, 600)
        self.crashes = self._spans(plan.crashes, 1, 600)
        self.history.troubled += [*self.store_faults, *self.signer_faults, *self.crashes]
        self.network = Network(self.health, self.history, dice)
        self.telemetry = Chronicle(self.history)
        self.store: SqliteStore | None = None
        self._jtis = 0

    @property
    def healthy(self) -> list[str]:
        """The applications that are never ill."""
        return [name for name, health in self.health.items() if not health.spells]

    def _spells(self) -> Iterator[Spell]:
        moment = self.dice.uniform(0, 2 * HOUR)
        while moment < self.plan.chaos_ends:
            lasts = self.dice.choice([60, HOUR / 4, 2 * HOUR, self.plan.length])
            end = min(moment + lasts * self.dice.uniform(0.5, 1.5), self.plan.chaos_ends)
            yield Spell(self.dice.choice([*Illness]), moment, end)
            moment = end + self.dice.uniform(0, 2 * HOUR)

    def _spans(self, count: int, least: float, most: float) -> list[tuple[float, float]]:
        starts = sorted(self.dice.uniform(60, self.plan.chaos_ends) for _ in range(count))
        return [(start, start + self.dice.uniform(least, most)) for start in starts]

    async def run(self) -> "Simulation":
        """Live through the day."""
        with anyio.move_on_after(self.plan.length):
            async with anyio.create_task_group() as tasks:
                for task in (self._processes, self._source, self._wall, self._operator):
                    tasks.start_soon(task)
        store = await self._opened()
        self.deliveries = await all_deliveries(store)
        self.depth = await store.depth()
        await store.close()
        return self

    async def _processes(self) -> None:
        """Run one process after another: each ends by a crash, whatever it is in the middle of."""
        crashes = [*self.crashes, (self.plan.length * 2, self.plan.length * 2)]
        for start, end in crashes:
            with anyio.move_on_after(max(0.0, start - now())):
                await self._process()
            if self.store is not None:
                with anyio.CancelScope(shield=True):
                    store, self.store = self.store, None
                    await store.close()
            await anyio.sleep(max(0.0, end - now()))

    async def _process(self) -> None:
        try:
            self.store = await self._opened()
            for name in self.names:
                if name not in self.store.applications:
                    await self.store.create_application(an_application(name, max_in_flight=CAP))
            await self._workers(self.store).run()
        finally:
            with anyio.CancelScope(shield=True):
                if self.store is not None:
                    store, self.store = self.store, None
                    await store.close()

    async def _opened(self) -> SqliteStore:
        path = self.folder / "store.db"
        return await SqliteStore.open(path, clock=self.clock, seal=SEAL, inline=True)

    def _faulty(self, store: SqliteStore) -> Any:
        return FaultyStore(store, self.store_faults, self.dice)

    def _workers(self, store: SqliteStore) -> Workers:
        queue = self._faulty(store)
        terms = Terms(
            issuer="https://op.example/",
            lifetime=timedelta(seconds=120),
            timeout=timedelta(seconds=5),
            horizon=timedelta(hours=168),
            new_jti=self._new_jti,
            jitter=self.dice.random,
        )
        deliver = Deliver(
            registry=store,
            signer=ForgetfulSigner(self.signer_faults),
            sender=self.network,
            clock=self.clock,
            terms=terms,
        )
        return Workers(
            queue=queue,
            deliver=deliver,
            upkeep=Upkeep(queue=queue, ledger=store, telemetry=self.telemetry, retention=KEPT),
            waiting=Waiting(ledger=store),
            telemetry=self.telemetry,
            clock=self.clock,
            max_in_flight=SLOTS,
        )

    def _new_jti(self) -> str:
        self._jtis += 1
        return f"jti-{self._jtis}"

    async def _source(self) -> None:
        """Send events at moments by chance, each until it is accepted."""
        moments = sorted(
            self.dice.uniform(1, self.plan.chaos_ends) for _ in range(self.plan.events)
        )
        async with anyio.create_task_group() as tasks:
            for number, moment in enumerate(moments):
                await anyio.sleep(max(0.0, moment - now()))
                tasks.start_soon(self._send, self._event(number))

    def _event(self, number: int) -> LogoutEvent:
        user_wide = self.dice.random() < 0.2
        clients = self.dice.sample(self.names, self.dice.randint(1, 4))
        subject = f"s{number}"
        return an_event(
            id=subject,
            sub=subject if user_wide else f"user-{number}",
            sid=None if user_wide else subject,
            clients=clients,
            received_at=self.clock.now(),
        )

    async def _send(self, event: LogoutEvent) -> None:
        while True:
            try:
                await self._accepted(event)
            except StoreUnavailable:
                await anyio.sleep(1)
            else:
                break
        self.history.accepted[event.id] = now()
        self.history.owed |= {(str(one.client_id), event.id) for one in event.clients or ()}

    async def _accepted(self, event: LogoutEvent) -> None:
        if self.store is None:
            raise StoreUnavailable("Nobody listens.")
        await self._faulty(self.store).accept([event])

    async def _wall(self) -> None:
        """Set the wall clock at moments by chance, and right again in the end."""
        moments = sorted(
            self.dice.uniform(0, self.plan.chaos_ends) for _ in range(self.plan.wall_steps)
        )
        for moment, seconds in zip(
            (*moments, self.plan.chaos_ends), (*self._steps(len(moments)), 0), strict=True
        ):
            await anyio.sleep(max(0.0, moment - now()))
            self.clock.ahead = self.network.ahead = timedelta(seconds=seconds)

    def _steps(self, count: int) -> list[int]:
        return [self.dice.choice([300, -300, -3600]) for _ in range(count)]

    async def _operator(self) -> None:
        """Pause an application for a while."""
        for start, end in self._spans(self.plan.pauses, 60, HOUR):
            name = self.dice.choice(self.names)
            await self._by_hand(start, name, "pause")
            await self._by_hand(min(end, self.plan.chaos_ends), name, "resume")

    async def _by_hand(self, moment: float, name: str, what: str) -> None:
        await anyio.sleep(max(0.0, moment - now()))
        while self.store is None:  # noqa: ASYNC110 - a process that comes back tells nobody
            await anyio.sleep(1)
        await getattr(self.store, what)(ClientId(name))
        self.history.hands.append((now(), name))


async def all_deliveries(store: SqliteStore) -> Sequence[DeliveryRecord]:
    """Return everything that the ledger has, newest first."""
    found: list[DeliveryRecord] = []
    while page := await store.deliveries(
        DeliveryFilter(take=100, before=found[-1].id if found else None)
    ):
        found += page
    return found


def simulate(plan: Plan) -> Simulation:
    """Live through the day of *plan*, from its seed alone."""
    with a_folder() as folder, patient():
        return virtually(Simulation(plan, folder).run, seed=plan.seed)
