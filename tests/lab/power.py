"""Power cuts: what the store has said was done is there when the power comes back.

A store works on a disk that is recorded; then the power is cut at moments by chance, inside commits
and checkpoints too, and each time the store is opened on what the disk has kept. The same with
``synchronous=NORMAL`` loses: that is how we know that the cuts are real.
"""

import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import anyio
import apsw

from dispatcher.adapters.sqlite import SqliteStore, store, transactions
from dispatcher.adapters.sqlite.connections import open_writer
from dispatcher.domain.deliveries import Delivery, DeliveryId, DeliveryState, Settled
from dispatcher.domain.events import EventId, LogoutEvent
from dispatcher.domain.matching import match
from keys import Seal
from tests.kit.builders import acknowledged, an_application, an_event, put_off
from tests.kit.clock import FakeClock
from tests.kit.folders import a_folder
from tests.kit.power import Delete, Disk, Mercy, Promise, Recorder, Step, Truncate, Write, recorded
from tests.lab.table import Finding

SEAL = Seal([b"k" * 32])
LEASE = timedelta(seconds=30)
CLIENTS = ("shop", "wiki")
PAGES = 40
"""The log is checkpointed so early here, or no cut would meet a checkpoint."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An event that was accepted, and the id that it got."""

    event: LogoutEvent
    known_as: EventId


@dataclass(frozen=True, slots=True)
class Told:
    """A delivery that was settled as delivered."""

    delivery: DeliveryId


@dataclass
class Cuts:
    """What was seen after the power came back, over all cuts."""

    cuts: int = 0
    inside: Counter[str] = field(default_factory=Counter)
    """The file that had unsynced writes at the cut: the log's in a commit, the store's in a
    checkpoint."""
    promises: int = 0
    lost: int = 0
    cuts_with_loss: int = 0
    broken: int = 0
    """Stores that did not open, failed the integrity check, or counted wrongly."""


@contextmanager
def _set(module: object, name: str, value: object) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def _weak(path: Path) -> apsw.Connection:
    """Open a writer that does not wait for the disk at each commit: the guard, removed."""
    connection = open_writer(path)
    connection.pragma("synchronous", "normal")
    return connection


class Work:
    """A store at work, and what it promises."""

    def __init__(self, opened: SqliteStore, recorder: Recorder, dice: random.Random) -> None:
        self._store = opened
        self._recorder = recorder
        self._dice = dice
        self._clock = FakeClock()

    async def go_on(self, source: str, rounds: int) -> None:
        """Accept, match, claim and settle, *rounds* times."""
        for number in range(rounds):
            await self._accept(f"{source}{number}")
            if self._dice.random() < 0.7:
                await self._store.match(100, match)
            if self._dice.random() < 0.5:
                await self._settle(await self._store.claim(20, lease=LEASE))

    async def _accept(self, name: str) -> None:
        batch = [
            an_event(id=f"{name}-{number}", sid=f"{name}-{number}", clients=CLIENTS)
            for number in range(self._dice.choice([1, 1, 1, 20]))
        ]
        for event, receipt in zip(batch, await self._store.accept(batch), strict=True):
            self._recorder.promised(Accepted(event, receipt.event_id))

    async def _settle(self, claimed: Sequence[Delivery]) -> None:
        settled = [self._settled(delivery) for delivery in claimed]
        for one, held in zip(settled, await self._store.settle(settled), strict=True):
            if held and one.settlement.state is DeliveryState.DELIVERED:
                self._recorder.promised(Told(one.delivery.id))

    def _settled(self, delivery: Delivery) -> Settled:
        if self._dice.random() < 0.8:
            return acknowledged(delivery)
        return put_off(delivery, until=self._clock.steady() + timedelta(seconds=1))


async def record(seed: int, *, weak: bool, threads: bool) -> list[Step]:
    """Let a store work, and return what it did to its disk; *threads* as it runs in the service."""
    dice = random.Random(seed)
    with (
        a_folder() as folder,
        recorded() as recorder,
        _set(transactions, "_CHECKPOINT_PAGES", PAGES),
        _set(store, "open_writer", _weak if weak else open_writer),
    ):
        opened = await _opened(folder, inline=not threads)
        for client_id in CLIENTS:
            await opened.create_application(an_application(client_id))
        work = Work(opened, recorder, dice)
        async with anyio.create_task_group() as tasks:
            for source in "abcdefgh" if threads else "a":
                tasks.start_soon(work.go_on, source, 12 if threads else 60)
        steps = list(recorder.steps)
        await opened.close()
    return steps


async def _opened(folder: Path, *, inline: bool = True) -> SqliteStore:
    return await SqliteStore.open(folder / "store.db", clock=FakeClock(), seal=SEAL, inline=inline)


async def cut(steps: Sequence[Step], times: int, seed: int, *, into: Cuts | None = None) -> Cuts:
    """Cut the power so many times, and look at what the store finds when it is opened again."""
    cuts, dice, disk = into or Cuts(), random.Random(seed), Disk()
    moments = Counter(dice.randrange(len(steps)) for _ in range(times))
    promises: list[Accepted | Told] = []
    for number, step in enumerate(steps):
        disk.take(step)
        if isinstance(step, Promise):
            promises.append(step.what)
        for _ in range(moments[number]):
            with a_folder() as folder:
                disk.cut(folder, dice.choice([*Mercy]), dice)
                cuts.cuts += 1
                if isinstance(step, Write | Truncate | Delete):
                    cuts.inside[step.file] += 1
                cuts.promises += len(promises)
                await _look(folder, promises, cuts)
    return cuts


async def _look(folder: Path, promises: Sequence[Accepted | Told], cuts: Cuts) -> None:
    """Open what is left, and count what is missing."""
    try:
        async with _open_again(folder) as opened:
            lost = await _lost(opened, promises)
            sound = await _is_sound(opened, folder / "store.db")
    except Exception:  # noqa: BLE001 - a store that does not open is what is looked for
        cuts.broken += 1
        return
    cuts.broken += not sound
    cuts.lost += lost
    cuts.cuts_with_loss += lost > 0


@asynccontextmanager
async def _open_again(folder: Path) -> AsyncIterator[SqliteStore]:
    opened = await _opened(folder)
    try:
        yield opened
    finally:
        await opened.close()


async def _lost(opened: SqliteStore, promises: Sequence[Accepted | Told]) -> int:
    """Return how many promises are not kept."""
    accepted = [one for one in promises if isinstance(one, Accepted)]
    receipts = await opened.accept([one.event for one in accepted])
    lost = sum(
        not receipt.repeated or receipt.event_id != one.known_as
        for one, receipt in zip(accepted, receipts, strict=True)
    )
    for one in promises:
        if isinstance(one, Told):
            record = await opened.delivery(one.delivery)
            lost += record is None or record.state is not DeliveryState.DELIVERED
    return lost


async def _is_sound(opened: SqliteStore, path: Path) -> bool:
    """Whether the file is as SQLite wants it, and the lanes count what there is."""
    counted = (await opened.depth()).deliveries
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        rows = connection.execute("SELECT state, count(*) FROM delivery GROUP BY state")
        there = {DeliveryState(str(state)): int(str(count)) for state, count in rows}
        sound = bool(connection.execute("PRAGMA integrity_check").get == "ok")
    finally:
        connection.close()
    return sound and {state: count for state, count in counted.items() if count} == there


async def power_cuts(
    seed: int, *, workloads: int, each: int, weak: bool = False, threads: bool = False
) -> Cuts:
    """Record so many stores at work, and cut the power of each so many times."""
    cuts = Cuts()
    for number in range(workloads):
        steps = await record(seed + number, weak=weak, threads=threads)
        await cut(steps, each, seed + number, into=cuts)
    return cuts


def run(seed: int) -> Finding:
    """Try it at full load: 500 cuts of the store as it is, and 100 of the weak one."""

    async def all_of_it() -> tuple[Cuts, Cuts, Cuts]:
        return (
            await power_cuts(seed, workloads=20, each=20),
            await power_cuts(seed, workloads=5, each=20, threads=True),
            await power_cuts(seed, workloads=5, each=20, weak=True),
        )

    inline, grouped, weak = anyio.run(all_of_it)
    cuts = inline.cuts + grouped.cuts
    lost, broken = inline.lost + grouped.lost, inline.broken + grouped.broken
    inside = inline.inside + grouped.inside
    return Finding(
        measured=(
            f"{cuts} cuts ({inside['store.db-wal']} in the log, {inside['store.db']} in a"
            f" checkpoint), {inline.promises + grouped.promises:,} promises: FULL {lost} lost,"
            f" {broken} unsound; NORMAL {weak.lost:,} of {weak.promises:,} lost in"
            f" {weak.cuts_with_loss} of {weak.cuts} cuts"
        ),
        held=lost == broken == 0 and weak.lost > 0 and inside["store.db"] > 0,
    )
