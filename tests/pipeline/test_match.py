"""Matching: whom an event concerns is found for all that wait, a transaction's worth at once."""

from collections.abc import Sequence
from typing import Any

from dispatcher.domain.applications import Application
from dispatcher.domain.events import ClientId, UnmatchedReason
from dispatcher.domain.matching import Matched, Matcher
from dispatcher.pipeline.match import EVENTS_AT_ONCE, Match
from tests.kit.builders import an_application, an_event
from tests.pipeline.stage import AQueue, Stage


class CursedQueue(AQueue):
    """A queue that gives the matcher something which a fault in our code trips over."""

    async def match(self, limit: int, matcher: Matcher) -> Sequence[Matched]:
        """Hand on, with the applications in a mapping that breaks."""
        return await self.real.match(
            limit, lambda event, known, applications: matcher(event, known, Cursed(applications))
        )


class Cursed(dict[ClientId, Application]):
    """Applications of which one can not be looked at."""

    def get(self, client_id: ClientId, default: Any = None) -> Any:
        """Raise where the cursed one is asked for."""
        return 1 / 0 if client_id == "cursed" else super().get(client_id, default)


async def test_each_event_is_told_of_with_what_it_owes(stage: Stage) -> None:
    """What an event owes, or why it owes nothing, is stored and told."""
    await stage.store.create_application(an_application("shop"))
    await stage.store.accept([an_event(clients=["shop"]), an_event(clients=[])])

    matched = await Match(queue=stage.store, telemetry=stage.telemetry)()

    assert matched == 2
    owes, owes_nothing = (one.matching for one in stage.telemetry.events)
    assert [delivery.client_id for delivery in owes.deliveries] == ["shop"]
    assert owes_nothing.reason is UnmatchedReason.NO_PARTICIPANTS
    assert [record.client_id for record in await stage.records()] == ["shop"]


async def test_events_are_matched_oldest_first_and_a_bounded_number_at_once(stage: Stage) -> None:
    """A backlog is matched in the order in which it came, so many events to a transaction."""
    events = [an_event(clients=[]) for _ in range(EVENTS_AT_ONCE + 2)]
    await stage.store.accept(events)
    match = Match(queue=stage.store, telemetry=stage.telemetry)

    matched = [await match() for _ in range(3)]

    assert matched == [EVENTS_AT_ONCE, 2, 0]
    assert [one.event.id for one in stage.telemetry.events] == [event.id for event in events]


async def test_a_fault_of_ours_holds_up_no_other_event(stage: Stage) -> None:
    """An event that our code trips over is told of once, stays due, and the others are matched."""
    await stage.store.create_application(an_application("shop"))
    await stage.store.accept([an_event(clients=["cursed"]), an_event(clients=["shop"])])
    match = Match(queue=CursedQueue(stage.store), telemetry=stage.telemetry)

    matched = [await match() for _ in range(3)]

    assert matched == [1, 0, 0]
    assert [(worker, type(error)) for worker, error in stage.telemetry.failures] == [
        ("match", ZeroDivisionError)
    ]
    assert (await stage.store.depth()).events_accepted == 1
