"""Accepting: what was answered is on disk and counted; what was not is neither."""

import pytest

from dispatcher.domain.errors import Conflict, StoreUnavailable
from dispatcher.domain.events import Intake
from dispatcher.domain.ledger import EventFilter
from dispatcher.pipeline.accept import MOST_AT_ONCE, accept, accept_each
from tests.kit.builders import a_join, an_event
from tests.pipeline.stage import Stage


async def test_what_is_accepted_is_stored_and_counted(stage: Stage) -> None:
    """Each intake of a batch gets a receipt, in its order, and is counted once as new."""
    batch: list[Intake] = [an_event(), a_join(), an_event()]

    receipts = await accept(batch, queue=stage.store, telemetry=stage.telemetry)

    assert [receipt.id for receipt in receipts] == [intake.id for intake in batch]
    assert stage.telemetry.intakes == [(intake, False) for intake in batch]
    assert len(await stage.store.events(EventFilter())) == 2


async def test_a_repeat_is_counted_as_one(stage: Stage) -> None:
    """A repeat gets the receipt of the first, and is counted as a repeat."""
    event = an_event()
    (first,) = await accept([event], queue=stage.store, telemetry=stage.telemetry)

    (again,) = await accept([event], queue=stage.store, telemetry=stage.telemetry)

    assert again.event_id == first.event_id
    assert stage.telemetry.intakes == [(event, False), (event, True)]


async def test_nothing_of_a_batch_that_contradicts_is_counted(stage: Stage) -> None:
    """A batch with one conflict in it is not stored and not counted, all of it."""
    await accept([an_event(id="e1")], queue=stage.store, telemetry=stage.telemetry)

    with pytest.raises(Conflict):
        await accept(
            [an_event(id="e2"), an_event(id="e1", sub="mallory")],
            queue=stage.store,
            telemetry=stage.telemetry,
        )

    assert [intake.id for intake, _ in stage.telemetry.intakes] == ["e1"]
    assert len(await stage.store.events(EventFilter())) == 1


async def test_a_store_that_is_gone_accepts_nothing(stage: Stage) -> None:
    """Where the store does not answer, whoever sent the event is told so, and nothing counts."""
    await stage.store.close()

    with pytest.raises(StoreUnavailable):
        await accept([an_event()], queue=stage.store, telemetry=stage.telemetry)

    assert stage.telemetry.intakes == []


async def test_each_is_stored_that_can_be(stage: Stage) -> None:
    """Of a batch that need not be whole, all is stored but what contradicts."""
    await accept([an_event(id="e1")], queue=stage.store, telemetry=stage.telemetry)
    batch: list[Intake] = [an_event(id="e2"), an_event(id="e1", sub="mallory"), a_join(id="j1")]

    receipts = await accept_each(batch, queue=stage.store, telemetry=stage.telemetry)

    assert [receipt and receipt.id for receipt in receipts] == ["e2", None, "j1"]
    assert [intake.id for intake, _ in stage.telemetry.intakes] == ["e1", "e2", "j1"]


async def test_a_large_batch_is_stored_in_parts(stage: Stage) -> None:
    """However many come at once, each gets its receipt, and no commit holds more than so many."""
    batch = [an_event(id=f"e{number}") for number in range(MOST_AT_ONCE + 1)]

    receipts = await accept_each(batch, queue=stage.store, telemetry=stage.telemetry)

    assert [receipt and receipt.id for receipt in receipts] == [event.id for event in batch]
    assert await accept_each([], queue=stage.store, telemetry=stage.telemetry) == []


async def test_a_store_that_is_gone_stores_none_of_them(stage: Stage) -> None:
    """A fault of ours is told, and is never taken for a contradiction."""
    await stage.store.close()

    with pytest.raises(StoreUnavailable):
        await accept_each([an_event()], queue=stage.store, telemetry=stage.telemetry)
