"""Accepting: what was answered is on disk and counted; what was not is neither."""

import pytest

from dispatcher.domain.errors import Conflict, StoreUnavailable
from dispatcher.domain.events import Intake
from dispatcher.domain.ledger import EventFilter
from dispatcher.pipeline.accept import accept
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
