"""Retention: what is over is forgotten in its time, and nothing else is."""

from datetime import timedelta

import pytest

from dispatcher.domain.deliveries import DeliveryState
from dispatcher.domain.events import ClientId, Sid
from dispatcher.domain.ledger import EventFilter
from dispatcher.domain.matching import match
from dispatcher.domain.sources import Access
from dispatcher.ports import Retention
from tests.contract.steps import accept, claim, match_all, owe, records
from tests.contract.stores import Store
from tests.kit.builders import a_join, acknowledged, an_event, called_off, gave_up
from tests.kit.clock import NOON, FakeClock

RETENTION = Retention(
    settled=timedelta(days=10), failed=timedelta(days=20), sessions=timedelta(days=30)
)
SECOND = timedelta(seconds=1)


async def prune(store: Store) -> int:
    """Prune until there is no more, and return how many rows went."""
    total = 0
    while gone := await store.prune(RETENTION):
        total += gone
    return total


async def test_what_was_delivered_is_forgotten_in_its_time(store: Store, clock: FakeClock) -> None:
    """A settled delivery goes after its retention, with its attempts and its event."""
    await owe(store, "shop")
    await store.settle([acknowledged(one) for one in await claim(store)])
    clock.advance(RETENTION.settled)
    early = await prune(store)
    clock.advance(SECOND)

    gone = await prune(store)

    assert (early, gone) == (0, 2)
    assert await records(store) == []
    assert await store.events(EventFilter()) == []
    assert set((await store.depth()).deliveries.values()) == {0}


async def test_what_failed_is_kept_longer(store: Store, clock: FakeClock) -> None:
    """A failed delivery, and its event, outlive what was delivered or called off."""
    await owe(store, "shop", "mail", "wiki")
    one, two, three = await claim(store)
    await store.settle([acknowledged(one), gave_up(two), called_off(three)])
    clock.advance(RETENTION.settled + SECOND)
    await prune(store)
    middle = [record.state for record in await records(store)]
    clock.advance(RETENTION.failed)

    await prune(store)

    assert middle == [DeliveryState.FAILED]
    assert await store.events(EventFilter()) == []


async def test_what_is_owed_is_never_forgotten(store: Store, clock: FakeClock) -> None:
    """Pending, in flight or not yet matched: however old it is, it stays."""
    await owe(store, "shop", "mail")
    await claim(store, 1)
    waiting = await accept(store, an_event(clients=["shop"]))
    clock.advance(days=1000)

    await prune(store)

    assert {record.state for record in await records(store)} == {
        DeliveryState.PENDING,
        DeliveryState.IN_FLIGHT,
    }
    assert len(await store.events(EventFilter())) == 2
    assert await store.event(waiting.event_id) is not None


async def test_an_unmatched_event_is_forgotten_in_its_time(store: Store, clock: FakeClock) -> None:
    """An event that concerned nobody is kept as long as what was delivered."""
    await accept(store, an_event(clients=[]))
    await match_all(store)
    clock.advance(RETENTION.settled)
    early = await prune(store)
    clock.advance(SECOND)

    gone = await prune(store)

    assert (early, gone) == (0, 1)


async def test_an_id_is_remembered_for_its_own_time(store: Store, clock: FakeClock) -> None:
    """A repeat is known as one long after its event is forgotten, up to the retention of ids."""
    event = an_event(clients=[])
    first = await accept(store, event)
    await match_all(store)
    clock.advance(RETENTION.ids)
    await prune(store)

    known = await accept(store, event)
    clock.advance(SECOND)
    await prune(store)
    forgotten = await accept(store, event)

    assert (known.event_id, known.repeated) == (first.event_id, True)
    assert not forgotten.repeated
    assert forgotten.event_id != first.event_id


@pytest.mark.parametrize("last", ["join", "expiry", "end"])
async def test_a_session_is_kept_from_the_last_that_was_heard(
    store: Store, clock: FakeClock, last: str
) -> None:
    """A session goes when its retention has passed since its last join, expiry or end."""
    week = NOON + timedelta(days=7)
    await accept(store, a_join("shop", expires_at=week if last == "expiry" else NOON))
    if last == "join":
        await accept(store, a_join("shop", received_at=week))
    if last == "end":
        await accept(store, an_event(sid="s1", received_at=week))
        await match_all(store)
    clock.advance(timedelta(days=7) + RETENTION.sessions)
    await prune(store)
    kept = await store.session(Sid("s1"))
    clock.advance(SECOND)

    await prune(store)

    assert kept is not None
    assert await store.session(Sid("s1")) is None


async def test_a_session_is_kept_for_an_event_that_waits(store: Store, clock: FakeClock) -> None:
    """A session that an event has yet to be matched with is not forgotten."""
    await accept(store, a_join("shop", sid="s1"))
    await accept(store, a_join("shop", sid="s2", sub="bob"))
    await accept(store, an_event(sid="s1"))
    await accept(store, an_event(sub="bob"))
    clock.advance(days=100)

    await prune(store)

    assert await store.session(Sid("s1")) is not None
    assert await store.session(Sid("s2")) is not None


async def test_a_clock_set_forward_empties_no_store(store: Store, clock: FakeClock) -> None:
    """A wall clock that jumps ahead by mistake makes nothing older than it is."""
    await owe(store, "shop")
    await store.settle([acknowledged(one) for one in await claim(store)])
    clock.set_wall_ahead(timedelta(days=365))

    gone = await prune(store)

    assert gone == 0


async def test_a_start_with_a_clock_ahead_empties_no_store(store: Store, clock: FakeClock) -> None:
    """A steady clock that began with a wrong wall clock, set right since, makes nothing older."""
    await owe(store, "shop")
    await store.settle([acknowledged(one) for one in await claim(store)])
    clock.advance(days=365)
    clock.set_wall_ahead(-timedelta(days=365))

    gone = await prune(store)

    assert gone == 0


async def test_pruning_works_in_bites(store: Store, clock: FakeClock) -> None:
    """One call takes a bounded number of rows, so that it holds up nobody."""
    await store.accept([an_event(clients=[]) for _ in range(1200)])
    await store.match(2000, match)
    clock.advance(days=11)

    bites = [await store.prune(RETENTION) for _ in range(4)]

    assert bites == [500, 500, 200, 0]


async def test_expired_tokens_are_forgotten(store: Store, clock: FakeClock) -> None:
    """Access tokens that have expired do not pile up."""
    access = Access(
        client_id=ClientId("ops"),
        scopes=frozenset(),
        expires_at=clock.now() + SECOND,
    )
    await store.grant("hash", access)
    clock.advance(SECOND)

    gone = await prune(store)

    assert gone == 1
