"""Waiting: sources are woken by what happens, never by looking on their own, and let go in time."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import timedelta

import anyio
import pytest

from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.adapters.sqlite.ledger import SqliteLedger
from dispatcher.domain.errors import StoreUnavailable
from dispatcher.domain.events import ClientId, EventId
from dispatcher.pipeline import waiting as module
from dispatcher.pipeline.waiting import Waiting
from tests.kit.builders import an_event
from tests.kit.rp_server import RpServer, answers
from tests.pipeline.stage import PATIENCE, Gate, Stage, shop_at, until, until_asked
from tests.pipeline.test_workers import at_work

ONE = EventId("ev_1")
LONG, SHORT = timedelta(minutes=5), timedelta(milliseconds=30)


class Asked(SqliteLedger):
    """A ledger that counts for how many events it is asked, and stumbles a few times at first."""

    def __init__(self, store: SqliteStore, *, faults: int = 0) -> None:
        super().__init__(store._engine)
        self._faults = faults
        self.questions: list[int] = []

    async def heard_of(self, events: Collection[EventId]) -> Collection[EventId]:
        """Count, then answer, or say that the store does not."""
        self.questions.append(len(events))
        if len(self.questions) <= self._faults:
            raise StoreUnavailable
        return await super().heard_of(events)


@asynccontextmanager
async def looked_after(waiting: Waiting) -> AsyncIterator[None]:
    """Let somebody look after those who wait."""
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(waiting.run)
            yield
            tasks.cancel_scope.cancel()


class Waiters:
    """Those who wait, and what they were told."""

    def __init__(self, waiting: Waiting) -> None:
        self.waiting = waiting
        self.told: list[bool] = []

    async def wait(self, at_most: timedelta = LONG, event_id: EventId = ONE) -> None:
        """Wait, and note the answer."""
        self.told.append(await self.waiting.first_outcomes(event_id, at_most=at_most))


async def test_a_source_hears_as_soon_as_the_application_has_answered(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is settled wakes who waits: nobody is told before the answer, or waits for a look."""
    monkeypatch.setattr(module, "UNASKED", LONG)
    gate, ledger = Gate(), Asked(stage.store)
    waiters = Waiters(Waiting(ledger=ledger))
    async with RpServer(gate) as rp, at_work(stage.workers(waiting=waiters.waiting)):
        await stage.owe_unmatched(shop_at(rp.uri()))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(waiters.wait)
            await until_asked(rp)
            so_far = len(ledger.questions)
            waiters.waiting.stir()
            await until(lambda: len(ledger.questions) > so_far)
            before = list(waiters.told)
            gate.opened.set()

    assert (before, waiters.told) == ([], [True])


async def test_what_is_matched_wakes_who_waits(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that owes nothing is heard of as soon as it is matched."""
    monkeypatch.setattr(module, "UNASKED", LONG)
    waiting = Waiting(ledger=stage.store)
    waiters = Waiters(waiting)
    async with at_work(stage.workers(waiting=waiting)), anyio.create_task_group() as tasks:
        tasks.start_soon(waiters.wait)
        await until(lambda: len(waiting._waiters) == 1 and not waiting._news.is_set())
        await stage.store.accept([an_event(clients=[])])

    assert waiters.told == [True]


async def test_what_others_did_is_heard_of_too(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lane that is paused by hand wakes nobody here, and is found all the same."""
    monkeypatch.setattr(module, "UNASKED", SHORT)
    await stage.owe(shop_at("https://shop.example/bcl"))
    waiters = Waiters(Waiting(ledger=stage.store))
    async with looked_after(waiters.waiting), anyio.create_task_group() as tasks:
        tasks.start_soon(waiters.wait)
        await until(lambda: len(waiters.waiting._waiters) == 1)
        await stage.store.pause(ClientId("shop"))

    assert waiters.told == [True]


async def test_nobody_waits_longer_than_it_said(stage: Stage) -> None:
    """Where nothing is heard in time the answer is no."""
    await stage.owe(shop_at("https://shop.example/bcl"))
    waiters = Waiters(Waiting(ledger=stage.store))

    async with looked_after(waiters.waiting):
        await waiters.wait(SHORT)

    assert waiters.told == [False]
    assert waiters.waiting._waiters == {}


async def test_who_is_one_too_many_does_not_wait(stage: Stage) -> None:
    """However many would wait, only so many do: the others are told no at once."""
    await stage.owe(shop_at("https://shop.example/bcl"))
    waiters = Waiters(Waiting(ledger=stage.store, most=3))
    async with looked_after(waiters.waiting), anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(waiters.wait)
        await until(lambda: len(waiters.told) == 2)
        held = len(waiters.waiting._waiters)
        waiters.waiting.close()

    assert (held, waiters.told) == (3, [False] * 5)


async def test_256_may_wait() -> None:
    """So many sources may hold a redirect at once."""
    assert module.MOST_WAITING == 256


async def test_the_store_is_asked_once_for_all(stage: Stage) -> None:
    """However many wait and however much happens, one question is asked at a time, for all."""
    await stage.owe(shop_at("https://shop.example/bcl"), events=50)
    ledger = Asked(stage.store)
    waiters = Waiters(Waiting(ledger=ledger))
    async with looked_after(waiters.waiting), anyio.create_task_group() as tasks:
        for number in range(1, 51):
            tasks.start_soon(waiters.wait, LONG, EventId(f"ev_{number}"))
        await until(lambda: len(waiters.waiting._waiters) == 50)
        for _ in range(1000):
            waiters.waiting.stir()
        await stage.store.pause(ClientId("shop"))
        waiters.waiting.stir()

    assert waiters.told == [True] * 50
    assert len(ledger.questions) < 10
    assert max(ledger.questions) == 50


async def test_an_idle_service_asks_nothing(stage: Stage) -> None:
    """Where nobody waits the store is not asked, whatever happens."""
    ledger = Asked(stage.store)
    waiting = Waiting(ledger=ledger)
    async with RpServer(answers(200)) as rp, at_work(stage.workers(waiting=waiting)):
        await stage.owe_unmatched(shop_at(rp.uri()))
        await until_asked(rp)

    assert ledger.questions == []


async def test_a_store_that_stumbles_costs_nobody_the_answer(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question that fails is asked again."""
    monkeypatch.setattr(module, "UNASKED", SHORT)
    monkeypatch.setattr("dispatcher.pipeline.workers.PAUSE_AFTER_FAULT", SHORT)
    ledger = Asked(stage.store, faults=2)
    waiters = Waiters(Waiting(ledger=ledger))
    async with (
        RpServer(answers(200)) as rp,
        at_work(stage.workers(waiting=waiters.waiting)),
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(waiters.wait)
        await until(lambda: len(waiters.waiting._waiters) == 1)
        await stage.owe_unmatched(shop_at(rp.uri()))

    assert waiters.told == [True]
    assert [worker for worker, _ in stage.telemetry.failures] == ["waiting"] * 2


async def test_when_the_service_ends_nobody_is_kept(stage: Stage) -> None:
    """The drain lets those who wait go at once, and nobody waits from then on."""
    waiting = Waiting(ledger=stage.store)
    waiters = Waiters(waiting)
    gate = Gate()
    async with (
        RpServer(gate) as rp,
        anyio.create_task_group() as tasks,
        at_work(stage.workers(waiting=waiting)),
    ):
        await stage.owe_unmatched(shop_at(rp.uri()))
        tasks.start_soon(waiters.wait)
        await until_asked(rp)
        tasks.start_soon(until_told, waiters, gate)
    await waiters.wait()

    assert waiters.told == [False, False]


async def until_told(waiters: Waiters, gate: Gate) -> None:
    """Let the application answer only when the one who waits has been let go."""
    await until(lambda: waiters.told == [False])
    gate.opened.set()
