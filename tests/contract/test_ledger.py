"""The ledger: what has been recorded, as people look for it."""

from datetime import timedelta

import pytest

from dispatcher.domain.deliveries import DeliveryId, DeliveryState
from dispatcher.domain.events import ClientId, EventId, EventState, Initiator, Sid, Sub
from dispatcher.domain.ledger import DeliveryFilter, EventFilter
from tests.contract.steps import accept, claim, match_all, owe, records
from tests.contract.stores import Store
from tests.kit.builders import acknowledged, an_event, called_off, gave_up, put_off
from tests.kit.clock import NOON, FakeClock

HOUR = timedelta(hours=1)


async def ids(store: Store, wanted: EventFilter) -> list[str]:
    """Return the ids of the events that are found."""
    return [record.event.id for record in await store.events(wanted)]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (EventFilter(), ["4", "3", "2", "1"]),
        (EventFilter(initiator=Initiator("session-expired")), ["2"]),
        (EventFilter(sub=Sub("bob")), ["4", "3"]),
        (EventFilter(sid=Sid("s1")), ["1"]),
        (EventFilter(state=EventState.ACCEPTED), ["4"]),
        (EventFilter(state=EventState.UNMATCHED), ["3", "2"]),
        (EventFilter(state=EventState.MATCHED), ["1"]),
        (EventFilter(since=NOON + HOUR), ["4", "3", "2"]),
        (EventFilter(until=NOON + HOUR), ["1"]),
        (EventFilter(since=NOON + HOUR, until=NOON + 2 * HOUR), ["2"]),
        (EventFilter(sub=Sub("bob"), state=EventState.UNMATCHED), ["3"]),
        (EventFilter(before=EventId("ev_3")), ["2", "1"]),
        (EventFilter(take=2), ["4", "3"]),
        (EventFilter(take=0), []),
        (EventFilter(take=-1), []),
        (EventFilter(before=EventId("nonsense")), []),
        (EventFilter(before=EventId("")), []),
    ],
)
async def test_events_are_found_by_what_people_know(
    store: Store, wanted: EventFilter, found: list[str]
) -> None:
    """Each filter narrows the events, newest first."""
    await owe(store, "shop", events=0)
    await accept(store, an_event(id="1", sid="s1", clients=["shop"]))
    later = NOON + HOUR
    await accept(
        store, an_event(id="2", initiator="session-expired", clients=[], received_at=later)
    )
    await accept(store, an_event(id="3", sub="bob", clients=[], received_at=NOON + 2 * HOUR))
    await match_all(store)
    await accept(store, an_event(id="4", sub="bob", received_at=NOON + 3 * HOUR))

    events = await ids(store, wanted)

    assert events == found


async def test_an_event_shows_its_deliveries(store: Store) -> None:
    """An event is read with what it owes, attempts aside."""
    await owe(store, "shop", "mail")
    await store.settle([acknowledged(one) for one in await claim(store, 1)])

    (record,) = await store.events(EventFilter())

    assert sorted(d.client_id for d in record.deliveries) == ["mail", "shop"]
    assert all(d.attempts == () for d in record.deliveries)
    assert await store.event(record.event.event_id) == record


async def test_no_page_is_longer_than_the_longest(store: Store) -> None:
    """However much is asked for, a page has at most 100 rows."""
    await owe(store, "shop", events=120)

    events = await store.events(EventFilter(take=10_000))
    deliveries = await store.deliveries(DeliveryFilter(take=10_000))

    assert (len(events), len(deliveries)) == (100, 100)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (DeliveryFilter(), [6, 5, 4, 3, 2, 1]),
        (DeliveryFilter(client_id=ClientId("mail")), [5, 3, 1]),
        (DeliveryFilter(state=DeliveryState.DELIVERED), [1]),
        (DeliveryFilter(state=DeliveryState.FAILED), [2]),
        (DeliveryFilter(state=DeliveryState.CANCELLED), [3]),
        (DeliveryFilter(state=DeliveryState.PENDING), [4]),
        (DeliveryFilter(state=DeliveryState.IN_FLIGHT), [6, 5]),
        (DeliveryFilter(client_id=ClientId("mail"), state=DeliveryState.CANCELLED), [3]),
        (DeliveryFilter(event_id=EventId("ev_2")), [4, 3]),
        (DeliveryFilter(event_id=EventId("ev_2"), client_id=ClientId("mail")), [3]),
        (DeliveryFilter(since=NOON + HOUR), [6, 5]),
        (DeliveryFilter(until=NOON + HOUR), [4, 3, 2, 1]),
        (DeliveryFilter(before=DeliveryId("dl_3")), [2, 1]),
        (DeliveryFilter(take=1), [6]),
        (DeliveryFilter(event_id=EventId("dl_2")), []),
        (DeliveryFilter(event_id=EventId("ev_2"), before=DeliveryId("junk")), []),
        (DeliveryFilter(before=DeliveryId("junk")), []),
    ],
)
async def test_deliveries_are_found_by_what_people_know(
    store: Store, clock: FakeClock, wanted: DeliveryFilter, found: list[int]
) -> None:
    """Each filter narrows the deliveries, newest first."""
    await owe(store, "shop", "mail", events=2)
    by_id = {delivery.id: delivery for delivery in await claim(store)}
    one, two, three, four = (by_id[DeliveryId(f"dl_{number}")] for number in range(1, 5))
    later = put_off(four, until=clock.steady() + 9 * HOUR)
    await store.settle([acknowledged(one), gave_up(two), called_off(three), later])
    clock.advance(HOUR)
    await owe(store, "shop", "mail")
    await claim(store)

    deliveries = await store.deliveries(wanted)

    assert [delivery.id for delivery in deliveries] == [f"dl_{number}" for number in found]


async def test_a_delivery_is_read_with_its_attempts(store: Store) -> None:
    """One delivery, or a page of them, shows what was tried."""
    await owe(store, "shop")
    await store.settle([acknowledged(one) for one in await claim(store)])

    (record,) = await records(store)

    assert len(record.attempts) == 1
    assert await store.delivery(record.id) == record


async def test_only_what_waits_has_a_due_time(store: Store, clock: FakeClock) -> None:
    """A delivery that is in flight or over shows no due time."""
    await owe(store, "shop")
    (waiting,) = await records(store)
    await claim(store)

    (in_flight,) = await records(store)

    assert (waiting.due_at, in_flight.due_at) == (clock.steady(), None)


@pytest.mark.parametrize(
    "name", ["", "1", "ev_", "ev_x", "ev_0", "ev_01", "ev_99", "dl_99", "ev_²"]
)
async def test_an_id_that_is_none_is_not_found(store: Store, name: str) -> None:
    """Whatever is asked for under a name that we never gave, there is nothing there."""
    await owe(store, "shop")

    found = await store.event(EventId(name)), await store.delivery(DeliveryId(name))

    assert found == (None, None)


async def test_depth_counts_by_state(store: Store, clock: FakeClock) -> None:
    """The depth says how much is in each state, and how much has yet to be matched."""
    await owe(store, "shop", "mail", events=3)
    one, two, three, four, *_ = await claim(store, 5)
    later = put_off(four, until=clock.steady() + HOUR)
    await store.settle([acknowledged(one), gave_up(two), called_off(three), later])
    await accept(store, an_event())

    depth = await store.depth()

    assert depth.deliveries == {
        DeliveryState.PENDING: 2,
        DeliveryState.IN_FLIGHT: 1,
        DeliveryState.DELIVERED: 1,
        DeliveryState.FAILED: 1,
        DeliveryState.CANCELLED: 1,
    }
    assert depth.events_accepted == 1


async def test_depth_tells_who_has_waited_longest(store: Store, clock: FakeClock) -> None:
    """For each application that is owed anything: since when, in flight or not."""
    await owe(store, "shop", "mail")
    clock.advance(HOUR)
    await owe(store, "shop", "wiki")
    await store.settle([acknowledged(d) for d in await claim(store) if d.client_id == "mail"])

    depth = await store.depth()

    assert depth.oldest_pending == {"shop": NOON, "wiki": NOON + HOUR}


async def test_an_empty_store_has_no_depth(store: Store) -> None:
    """Where nothing ever happened every count is zero."""
    depth = await store.depth()

    assert depth.deliveries == dict.fromkeys(DeliveryState, 0)
    assert (depth.oldest_pending, depth.events_accepted) == ({}, 0)
