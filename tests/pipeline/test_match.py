"""Matching: whom an event concerns is found for all that wait, a transaction's worth at once."""

from dispatcher.domain.events import UnmatchedReason
from dispatcher.pipeline.match import EVENTS_AT_ONCE, match
from tests.kit.builders import an_application, an_event
from tests.pipeline.stage import Stage


async def test_each_event_is_told_of_with_what_it_owes(stage: Stage) -> None:
    """What an event owes, or why it owes nothing, is stored and told."""
    await stage.store.create_application(an_application("shop"))
    await stage.store.accept([an_event(clients=["shop"]), an_event(clients=[])])

    matched = await match(queue=stage.store, telemetry=stage.telemetry)

    assert matched == 2
    owes, owes_nothing = (one.matching for one in stage.telemetry.events)
    assert [delivery.client_id for delivery in owes.deliveries] == ["shop"]
    assert owes_nothing.reason is UnmatchedReason.NO_PARTICIPANTS
    assert [record.client_id for record in await stage.records()] == ["shop"]


async def test_events_are_matched_oldest_first_and_a_bounded_number_at_once(stage: Stage) -> None:
    """A backlog is matched in the order in which it came, so many events to a transaction."""
    events = [an_event(clients=[]) for _ in range(EVENTS_AT_ONCE + 2)]
    await stage.store.accept(events)

    matched = [await match(queue=stage.store, telemetry=stage.telemetry) for _ in range(3)]

    assert matched == [EVENTS_AT_ONCE, 2, 0]
    assert [one.event.id for one in stage.telemetry.events] == [event.id for event in events]
