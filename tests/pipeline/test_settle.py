"""Settling: outcomes are written down together, however long it takes, and never lost."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import pytest
from anyio.streams.memory import MemoryObjectSendStream

from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.domain.deliveries import DeliveryState, Settled
from dispatcher.domain.errors import StoreUnavailable
from dispatcher.pipeline import settle
from dispatcher.pipeline.settle import Settler
from dispatcher.pipeline.workers import LEASE
from dispatcher.ports import Queue
from tests.kit.builders import acknowledged, an_application
from tests.kit.clock import FakeClock
from tests.kit.telemetry import RecordingTelemetry
from tests.pipeline.stage import PATIENCE, AQueue, FaultyQueue, Stage, until

SHOP = an_application("shop")


class GatedQueue(AQueue):
    """A queue whose settlements wait at a gate, and are counted by the batch."""

    def __init__(self, real: SqliteStore) -> None:
        super().__init__(real)
        self.batches: list[int] = []
        self.gate = anyio.Event()

    async def settle(self, batch: Sequence[Settled]) -> Sequence[bool]:
        """Wait, then hand on."""
        self.batches.append(len(batch))
        await self.gate.wait()
        return await self.real.settle(batch)


class PoisonedQueue(AQueue):
    """A queue that can not write one settlement down, for a fault that nobody thought of."""

    def __init__(self, real: SqliteStore, poison: Settled) -> None:
        super().__init__(real)
        self._poison = poison

    async def settle(self, batch: Sequence[Settled]) -> Sequence[bool]:
        """Raise where the poison is in *batch*, else hand on."""
        if self._poison in batch:
            raise ZeroDivisionError
        return await self.real.settle(batch)


class MuteTelemetry(RecordingTelemetry):
    """Telemetry that can not write: its disk is full."""

    def settled(self, settled: Settled, *, held: bool) -> None:
        """Raise."""
        super().settled(settled, held=held)
        raise OSError


@dataclass
class Running:
    """A settler at work: what it is given, and what it has freed."""

    finished: MemoryObjectSendStream[Settled]
    freed: list[int] = field(default_factory=list)


@asynccontextmanager
async def a_settler(
    stage: Stage, queue: Queue, *, telemetry: RecordingTelemetry | None = None
) -> AsyncIterator[Running]:
    """Run a settler; at the end everything is settled that it was given."""
    send, receive = anyio.create_memory_object_stream[Settled](100)
    running = Running(send)
    settler = Settler(
        queue=queue,
        telemetry=telemetry or stage.telemetry,
        freed=lambda batch: running.freed.append(len(batch)),
    )
    with anyio.fail_after(PATIENCE), receive:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(settler.run, receive)
            with send:
                yield running


async def owed(stage: Stage, count: int) -> list[Settled]:
    """Return so many deliveries in flight, each just acknowledged."""
    await stage.owe(SHOP, events=count)
    return [acknowledged(one) for one in await stage.store.claim(count, lease=LEASE)]


async def test_an_idle_service_settles_each_at_once(stage: Stage) -> None:
    """One settlement waits for no other."""
    (settled,) = await owed(stage, 1)

    async with a_settler(stage, stage.store) as settler:
        settler.finished.send_nowait(settled)
        await until(lambda: settler.freed == [1])

    assert await stage.states() == [DeliveryState.DELIVERED]
    assert stage.telemetry.settlements == [(settled, True)]


async def test_what_gathers_during_one_commit_shares_the_next(stage: Stage) -> None:
    """While a batch is written down the next one gathers, whole (the store is held up)."""
    queue = GatedQueue(stage.store)
    first, *others = await owed(stage, 8)

    async with a_settler(stage, queue) as settler:
        settler.finished.send_nowait(first)
        await until(lambda: queue.batches == [1])
        for settled in others:
            settler.finished.send_nowait(settled)
        queue.gate.set()

    assert queue.batches == [1, 7]
    assert settler.freed == [1, 7]
    assert await stage.states() == [DeliveryState.DELIVERED] * 8


async def test_a_slot_is_free_only_when_its_settlement_is_on_disk(stage: Stage) -> None:
    """Nothing is freed and nothing is counted before the store has answered (it is held up)."""
    queue = GatedQueue(stage.store)

    async with a_settler(stage, queue) as settler:
        settler.finished.send_nowait((await owed(stage, 1))[0])
        await until(lambda: bool(queue.batches))
        before = list(settler.freed), list(stage.telemetry.settlements)
        queue.gate.set()

    assert before == ([], [])
    assert settler.freed == [1]


async def test_a_store_that_does_not_answer_is_asked_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outcomes are kept until the store takes them: none is lost, and it is said (it fails twice).

    They are still settled once each, in the order in which they came.
    """
    monkeypatch.setattr(settle, "PATIENCE_SECONDS", 0)
    error = StoreUnavailable()
    queue = FaultyQueue(stage.store, "settle", error, times=2)
    made = await owed(stage, 3)

    async with a_settler(stage, queue) as settler:
        for settled in made:
            settler.finished.send_nowait(settled)

    assert stage.telemetry.failures == [("settle", error)] * 2
    assert stage.telemetry.settlements == [(settled, True) for settled in made]
    assert await stage.states() == [DeliveryState.DELIVERED] * 3
    assert sum(settler.freed) == 3


async def test_a_settlement_that_comes_too_late_is_fenced(stage: Stage, clock: FakeClock) -> None:
    """What another claim holds by now is left alone and counted as a lease lost; its slot is free.

    The others of its batch are settled.
    """
    (late,) = await owed(stage, 1)
    clock.advance(LEASE)
    (theirs,) = await stage.store.claim(1, lease=LEASE)
    (in_time,) = await owed(stage, 1)

    async with a_settler(stage, stage.store) as settler:
        settler.finished.send_nowait(late)
        settler.finished.send_nowait(in_time)

    assert theirs.id == late.delivery.id
    assert stage.telemetry.settlements == [(late, False), (in_time, True)]
    assert await stage.states() == [DeliveryState.IN_FLIGHT, DeliveryState.DELIVERED]
    assert sum(settler.freed) == 2


async def test_what_can_not_be_told_is_settled_all_the_same(stage: Stage) -> None:
    """Though no settlement can be told, each is written down, frees its slot and stops no other."""
    mute = MuteTelemetry()

    async with a_settler(stage, stage.store, telemetry=mute) as settler:
        for settled in await owed(stage, 2):
            settler.finished.send_nowait(settled)
        await until(lambda: sum(settler.freed) == 2)
        settler.finished.send_nowait((await owed(stage, 1))[0])

    assert await stage.states() == [DeliveryState.DELIVERED] * 3
    assert len(mute.settlements) == sum(settler.freed) == 3
    assert [name for name, _ in mute.failures] == ["telemetry"] * 3


async def test_one_settlement_that_can_not_be_written_holds_up_no_other(
    stage: Stage, clock: FakeClock
) -> None:
    """What no store can take is said and let go of, to be sent again when its lease has ended.

    The others of its batch are settled, and the settler goes on (a stand-in has the fault).
    """
    poison, *others = await owed(stage, 3)

    async with a_settler(stage, PoisonedQueue(stage.store, poison)) as settler:
        for settled in (others[0], poison, others[1]):
            settler.finished.send_nowait(settled)
        await until(lambda: sum(settler.freed) == 3)
    clock.advance(LEASE)
    claimed = await stage.store.claim(3, lease=LEASE)

    assert [delivery.id for delivery in claimed] == [poison.delivery.id]
    assert [held for _, held in stage.telemetry.settlements] == [True, False, True]
    assert {name for name, _ in stage.telemetry.failures} == {"settle"}
