"""The workers: they go on whatever happens, never do too much at once, and end in order."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from dispatcher.adapters.clock import SystemClock
from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.domain.applications import Application
from dispatcher.domain.deliveries import (
    Acknowledged,
    Cause,
    Delivery,
    DeliveryState,
    Outcome,
    Settled,
    Withheld,
)
from dispatcher.domain.errors import StoreUnavailable
from dispatcher.domain.events import ClientId
from dispatcher.pipeline import settle, workers
from dispatcher.pipeline.workers import LEASE, Workers
from dispatcher.ports import Sender
from keys import Seal
from tests.kit.builders import an_event, put_off
from tests.kit.clock import NOON, FakeClock
from tests.kit.rp_server import RpServer, answers, hangs
from tests.kit.telemetry import RecordingTelemetry
from tests.pipeline.stage import (
    PATIENCE,
    AQueue,
    FaultyQueue,
    Gate,
    Stage,
    shop_at,
    until,
    until_asked,
    until_true,
)

PENDING, IN_FLIGHT = DeliveryState.PENDING, DeliveryState.IN_FLIGHT
DELIVERED = DeliveryState.DELIVERED
NO_TIME, LONG = timedelta(), timedelta(minutes=5)


class HeldClaims(AQueue):
    """A queue whose claims are held up on their way back, where they bring something."""

    def __init__(self, real: SqliteStore) -> None:
        super().__init__(real)
        self.claims = self.held = 0
        self.gate = anyio.Event()

    async def claim(self, limit: int, **terms: Any) -> Sequence[Delivery]:
        """Hand on, and wait."""
        claimed = await self.real.claim(limit, **terms)
        self.claims += 1
        if claimed:
            self.held += 1
            await self.gate.wait()
        return claimed


class StumblingSender:
    """A sender in whose code there is a fault, the first time."""

    def __init__(self, real: Sender) -> None:
        self._real = real
        self._stumbled = False

    async def send(self, *sent: Any, **more: Any) -> Outcome:
        """Raise, then hand on."""
        if self._stumbled:
            return await self._real.send(*sent, **more)
        self._stumbled = True
        raise ZeroDivisionError


class MuteTelemetry(RecordingTelemetry):
    """Telemetry that can not write: its disk is full."""

    def attempted(self, settled: Settled) -> None:
        """Raise."""
        super().attempted(settled)
        raise OSError


def named(client_id: str, uri: str) -> Application:
    """Return the application *client_id* that is told of everything at *uri*."""
    return replace(shop_at(uri), client_id=ClientId(client_id))


@asynccontextmanager
async def at_work(crew: Workers) -> AsyncIterator[None]:
    """Run *crew*, and drain it at the end."""
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(crew.run)
            yield
            await crew.drain(LONG)


async def until_delivered(stage: Stage, count: int = 1) -> None:
    """Return when so many deliveries are settled as delivered."""

    async def are() -> bool:
        """Whether they are."""
        return (await stage.states()).count(DELIVERED) == count

    await until_true(are)


async def test_what_is_accepted_is_delivered(stage: Stage) -> None:
    """An event is matched, delivered and settled, and each of it is told once."""
    async with RpServer(answers(200)) as rp, at_work(stage.workers()):
        await stage.store.create_application(shop_at(rp.uri()))
        await stage.store.accept([an_event(sid="s1", clients=["shop"])])
        await until_delivered(stage)

    assert len(rp.requests) == 1
    assert len(stage.telemetry.events) == len(stage.telemetry.attempts) == 1
    assert [held for _, held in stage.telemetry.settlements] == [True]
    assert stage.telemetry.failures == []


async def test_nobody_waits_for_the_next_look(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that comes while all wait is matched and sent at once: no poll is waited for."""
    monkeypatch.setattr(workers, "POLL", timedelta(hours=1))

    async with RpServer(answers(200)) as rp, at_work(stage.workers()):
        for number in range(1, 4):
            await stage.owe_unmatched(shop_at(rp.uri()))
            await until_delivered(stage, number)

    assert len(rp.requests) == 3


async def test_what_is_due_later_is_sent_when_it_is_due(
    stage: Stage, folder: Path, seal: Seal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A delivery that was put off is sent when its time has come, on the clock of the machine."""
    monkeypatch.setattr(workers, "POLL", timedelta(hours=1))
    clock = SystemClock()
    store = await SqliteStore.open(folder / "another.db", clock=clock, seal=seal)
    real = Stage(store, stage.signer, stage.sender, clock, stage.telemetry)
    async with RpServer(answers(200)) as rp:
        delivery = await real.lent(shop_at(rp.uri()))
        due_at = clock.steady() + timedelta(milliseconds=150)
        await store.settle([put_off(delivery, until=due_at)])

        async with at_work(real.workers()):
            await until_delivered(real)

    (settled,) = stage.telemetry.attempts
    assert settled.attempt is not None
    assert settled.attempt.started_at >= due_at - timedelta(milliseconds=1)
    await store.close()


async def test_no_more_is_in_flight_than_there_are_slots(stage: Stage) -> None:
    """What is claimed and what is open at once never exceeds max_in_flight; the rest waits."""
    gate = Gate()
    async with RpServer(gate) as rp:
        await stage.owe(shop_at(rp.uri()), events=5)
        await stage.owe(named("mail", rp.uri()), events=4)

        async with at_work(stage.workers(max_in_flight=2)):
            await until_asked(rp, 2)
            depth = await stage.store.depth()
            gate.opened.set()
            await until_delivered(stage, 9)

    assert (depth.deliveries[IN_FLIGHT], depth.deliveries[PENDING]) == (2, 7)
    assert rp.busiest == 2


async def test_no_application_has_more_than_a_quarter_of_the_slots(stage: Stage) -> None:
    """One that is slow, whatever its own cap, leaves three quarters of the slots to the others."""
    gate = Gate()
    async with RpServer(gate) as slow, RpServer(answers(200)) as quick:
        await stage.owe(shop_at(slow.uri()), events=9)

        async with at_work(stage.workers(max_in_flight=8)):
            await until_asked(slow, 2)
            await stage.owe(named("mail", quick.uri()), events=9)
            await until_delivered(stage, 9)
            meanwhile = len(slow.requests)
            gate.opened.set()
            await until_delivered(stage, 18)

    assert (meanwhile, slow.busiest) == (2, 2)


async def test_retries_leave_room_for_first_attempts(stage: Stage, clock: FakeClock) -> None:
    """However many retries are due and slow, a quarter of the slots is there for what is new."""
    gate = Gate()
    async with RpServer(gate) as slow, RpServer(answers(200)) as quick:
        for client_id in ("a", "b", "c", "d", "e"):
            await stage.owe(named(client_id, slow.uri()))
        lent = await stage.store.claim(5, lease=LEASE)
        await stage.store.settle([put_off(one, until=clock.steady()) for one in lent])

        async with at_work(stage.workers(max_in_flight=4)):
            await until_asked(slow, 3)
            await stage.owe(named("mail", quick.uri()), events=3)
            await until_delivered(stage, 3)
            meanwhile = len(slow.requests)
            gate.opened.set()
            await until_delivered(stage, 8)

    assert (meanwhile, slow.busiest) == (3, 3)


@pytest.mark.parametrize(
    ("method", "worker"), [("match", "match"), ("claim", "claim"), ("prune", "pruning")]
)
async def test_a_worker_that_stumbles_goes_on_and_says_so(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, method: str, worker: str
) -> None:
    """Whatever a worker raises, it is told in full and the worker is started again (a stand-in)."""
    monkeypatch.setattr(workers, "PAUSE_AFTER_FAULT", NO_TIME)
    error = ZeroDivisionError("a fault that nobody thought of")
    queue = FaultyQueue(stage.store, method, error, times=2)

    async with RpServer(answers(200)) as rp, at_work(stage.workers(queue=queue)):
        await stage.owe_unmatched(shop_at(rp.uri()))
        await until_delivered(stage)
        await until(lambda: not queue.left)

    assert stage.telemetry.failures == [(worker, error)] * 2


async def test_a_store_that_is_away_for_a_while_loses_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that went out is settled when the store is back, and not sent again (a stand-in)."""
    monkeypatch.setattr(settle, "PATIENCE_SECONDS", 0)
    queue = FaultyQueue(stage.store, "settle", StoreUnavailable(), times=2)

    async with RpServer(answers(200)) as rp, at_work(stage.workers(queue=queue)):
        await stage.owe(shop_at(rp.uri()), events=3)
        await until_delivered(stage, 3)

    assert len(rp.requests) == 3
    assert [name for name, _ in stage.telemetry.failures] == ["settle", "settle"]


async def test_a_fault_of_ours_is_withheld(
    stage: Stage, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What our own code raises is told, costs the application nothing, and is tried again soon."""
    monkeypatch.setattr(workers, "POLL", timedelta(milliseconds=2))
    async with RpServer(answers(200)) as rp:
        deliver = stage.deliver(sender=StumblingSender(stage.sender))

        async with at_work(stage.workers(deliver=deliver, max_in_flight=1)):
            await stage.owe(shop_at(rp.uri()))
            await until(lambda: bool(stage.telemetry.settlements))
            clock.advance(seconds=1)
            await until_delivered(stage)

    (record,) = await stage.records()
    outcomes = [one.attempt.outcome for one in stage.telemetry.attempts if one.attempt is not None]
    due_at = stage.telemetry.attempts[0].settlement.due_at
    assert outcomes == [Withheld(cause=Cause.INTERNAL), Acknowledged(status=200)]
    assert due_at == NOON + timedelta(seconds=1)
    assert record.attempt_count == 1
    assert [name for name, _ in stage.telemetry.failures] == ["deliver"]


async def test_an_outcome_is_handed_over_before_it_is_told(stage: Stage) -> None:
    """Though an attempt can not be told, a token that went out is recorded and not sent again.

    (The stand-in has no room on its disk; the others are carried all the same.)
    """
    mute = MuteTelemetry()
    async with RpServer(answers(200)) as rp:
        await stage.owe(shop_at(rp.uri()), events=2)

        async with at_work(stage.workers(telemetry=mute, max_in_flight=1)):
            await until(lambda: len(mute.settlements) == 2)

    assert [name for name, _ in mute.failures] == ["telemetry", "telemetry"]
    assert await stage.states() == [DELIVERED, DELIVERED]


async def test_what_is_called_off_is_no_attempt(stage: Stage) -> None:
    """A delivery to an application that is gone is settled without an attempt being told."""
    await stage.owe(shop_at("https://shop.example/out"))
    await stage.store.delete_application(shop_at().client_id)

    async with at_work(stage.workers()):
        await until(lambda: bool(stage.telemetry.settlements))

    assert await stage.states() == [DeliveryState.CANCELLED]
    assert stage.telemetry.attempts == []


async def test_a_drain_waits_for_what_is_in_flight(stage: Stage) -> None:
    """A token that is on its way is answered and recorded; nothing more is claimed meanwhile."""
    gate = Gate()
    crew = stage.workers(max_in_flight=1)
    async with RpServer(gate) as rp:
        await stage.owe(shop_at(rp.uri()), events=3)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(crew.run)
                await until_asked(rp)
                tasks.start_soon(crew.drain, LONG)
                await until(lambda: crew._deliver.draining)
                gate.opened.set()

    assert len(rp.requests) == 1
    assert await stage.states() == [DELIVERED, PENDING, PENDING]


async def test_what_has_no_answer_after_the_grace_is_given_back(stage: Stage) -> None:
    """A drain ends when the grace is over: what is still in flight is pending again, uncounted."""
    crew = stage.workers()
    async with RpServer(hangs) as rp:
        await stage.owe(shop_at(rp.uri()), events=2)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(crew.run)
                await until_asked(rp, 2)
                await crew.drain(timedelta(milliseconds=20))

    records = await stage.records()
    assert [(record.state, record.attempt_count) for record in records] == [(PENDING, 0)] * 2
    assert len(await stage.store.claim(9, lease=LEASE)) == 2


async def test_what_was_just_claimed_when_the_drain_began_is_given_back(stage: Stage) -> None:
    """A claim under way is the last one, and what it brings is given back unsent.

    (A stand-in holds the claim up until the drain has begun, and has ended but for that.)
    """
    queue = HeldClaims(stage.store)
    crew = stage.workers(queue=queue)
    async with RpServer(answers(200)) as rp:
        await stage.owe(shop_at(rp.uri()), events=5)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(crew.run)
                await until(lambda: queue.held == 1)
                await crew.drain(LONG)
                queue.gate.set()

    assert (rp.requests, queue.claims) == ([], 1)
    assert await stage.states() == [PENDING] * 5


async def test_a_drain_ends_as_soon_as_nothing_is_in_flight(stage: Stage) -> None:
    """A claim that comes back during a drain does not make it wait for all of its grace."""
    gate, queue = Gate(), HeldClaims(stage.store)
    crew = stage.workers(queue=queue, max_in_flight=2)
    async with RpServer(gate) as rp:
        await stage.owe(shop_at(rp.uri()), events=1)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(crew.run)
                await until(lambda: queue.held == 1)
                queue.gate.set()
                await until_asked(rp)
                queue.gate = anyio.Event()
                await stage.owe(named("mail", rp.uri()), events=1)
                await until(lambda: queue.held == 2)
                tasks.start_soon(crew.drain, LONG)
                await until(lambda: crew._deliver.draining)
                queue.gate.set()
                gate.opened.set()

    assert len(rp.requests) == 1
    assert sorted(await stage.states()) == [DELIVERED, PENDING]


async def test_a_store_that_is_gone_for_good_does_not_keep_the_service(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drain ends though nothing can be settled: what was not is sent again later (a stand-in)."""
    monkeypatch.setattr(workers, "LAST_WRITES", timedelta(milliseconds=20))
    monkeypatch.setattr(settle, "PATIENCE_SECONDS", 0.001)
    crew = stage.workers(
        queue=FaultyQueue(stage.store, "settle", StoreUnavailable(), times=1_000_000)
    )
    async with RpServer(answers(200)) as rp:
        await stage.owe(shop_at(rp.uri()))

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(crew.run)
                await until(lambda: bool(stage.telemetry.failures))
                await crew.drain(timedelta(milliseconds=20))

    assert await stage.states() == [IN_FLIGHT]


async def test_workers_that_are_drained_before_they_run_do_nothing(stage: Stage) -> None:
    """Who is told to end before having begun ends at once, and touches nothing."""
    crew = stage.workers()
    await stage.owe(shop_at("https://shop.example/out"))

    with anyio.fail_after(PATIENCE):
        await crew.drain(LONG)
        await crew.run()

    assert await stage.states() == [PENDING]


def held(queue: HeldClaims, _rp: RpServer) -> bool:
    """Whether a claim is under way."""
    return queue.held == 1


def asked(_queue: HeldClaims, rp: RpServer) -> bool:
    """Whether a token is under way."""
    return bool(rp.requests)


@pytest.mark.parametrize("moment", [held, asked])
async def test_what_is_in_flight_when_all_is_cancelled_comes_back_with_its_lease(
    stage: Stage, clock: FakeClock, moment: Callable[[HeldClaims, RpServer], bool]
) -> None:
    """A cancellation in the midst of a claim or of a POST loses nothing beyond the lease."""
    queue = HeldClaims(stage.store)
    async with RpServer(hangs) as rp:
        await stage.owe(shop_at(rp.uri()))

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stage.workers(queue=queue).run)
                if moment is asked:
                    queue.gate.set()
                await until(lambda: moment(queue, rp))
                tasks.cancel_scope.cancel()
                queue.gate.set()

    before = await stage.store.claim(9, lease=LEASE)
    clock.advance(LEASE)
    (again,) = await stage.store.claim(9, lease=LEASE)
    assert before == []
    assert again.attempt_count == 0
