"""Claiming: applications take turns, leases end, and nobody gets more than its share."""

from collections import Counter
from datetime import timedelta

from dispatcher.domain.deliveries import DeliveryState
from tests.contract.steps import LEASE, claim, owe, records, register
from tests.contract.stores import Store
from tests.kit.builders import acknowledged, an_application, an_event, given_back, put_off
from tests.kit.clock import FakeClock


async def test_a_claim_lends_until_its_lease_ends(store: Store, clock: FakeClock) -> None:
    """A delivery says how long it is ours, and is in flight until then."""
    await owe(store, "shop")

    (delivery,) = await claim(store)

    assert delivery.lease_until == clock.steady() + LEASE
    assert [record.state for record in await records(store)] == [DeliveryState.IN_FLIGHT]
    assert await claim(store) == []


async def test_a_lease_that_ran_out_is_claimed_again(store: Store, clock: FakeClock) -> None:
    """When a lease ends the delivery is lent anew, under another lease."""
    await owe(store, "shop")
    (first,) = await claim(store)
    clock.advance(LEASE)

    (second,) = await claim(store)

    assert second.id == first.id
    assert second.lease != first.lease
    assert second.lease_until == clock.steady() + LEASE


async def test_a_lease_holds_until_its_very_end(store: Store, clock: FakeClock) -> None:
    """Nobody else gets a delivery a moment before its lease ends."""
    await owe(store, "shop")
    await claim(store)
    clock.advance(LEASE - timedelta(microseconds=1))

    again = await claim(store)

    assert again == []


async def test_only_what_is_due_is_claimed(store: Store, clock: FakeClock) -> None:
    """A delivery that was put off waits for its time."""
    await owe(store, "shop")
    (delivery,) = await claim(store)
    later = clock.steady() + timedelta(seconds=5)
    await store.settle([put_off(delivery, until=later)])

    early = await claim(store)
    clock.advance(seconds=5)
    in_time = await claim(store)

    assert early == []
    assert [one.id for one in in_time] == [delivery.id]


async def test_a_lane_is_served_oldest_first(store: Store) -> None:
    """Of one application's deliveries the one that has been due longest comes first."""
    await owe(store, "shop", events=3)

    claimed = [delivery.id for _ in range(3) for delivery in await claim(store, 1)]

    assert claimed == [record.id for record in await records(store)]


async def test_applications_take_turns(store: Store) -> None:
    """One application's long backlog does not delay the others' first delivery."""
    await owe(store, "big", events=40)
    await owe(store, "shop", "mail", "wiki")

    claimed = Counter(delivery.client_id for delivery in await claim(store, 8))

    assert claimed == {"shop": 1, "mail": 1, "wiki": 1, "big": 5}


async def test_turns_are_remembered(store: Store) -> None:
    """Whoever was served longest ago is served next, one at a time."""
    await owe(store, "shop", "mail", "wiki", events=2)

    turns = [(await claim(store, 1))[0].client_id for _ in range(6)]

    assert set(turns[:3]) == {"shop", "mail", "wiki"}
    assert turns[3:] == turns[:3]


async def test_no_application_gets_more_than_its_cap(store: Store) -> None:
    """At most max_in_flight of an application's deliveries are lent at once."""
    await register(store, an_application("shop", max_in_flight=2))
    await owe(store, "shop", events=5)

    first = await claim(store)
    full = await claim(store)
    await store.settle([acknowledged(first[0])])
    freed = await claim(store)

    assert (len(first), len(full), len(freed)) == (2, 0, 1)


async def test_a_cap_may_be_changed(store: Store) -> None:
    """The cap is the application's current one."""
    await register(store, an_application("shop", max_in_flight=1))
    await owe(store, "shop", events=5)
    await claim(store)

    await store.replace_application(an_application("shop", max_in_flight=3))

    assert len(await claim(store)) == 2


async def test_what_a_deleted_application_is_owed_is_still_claimed(store: Store) -> None:
    """Deliveries of an application that is gone come out, so that they can be called off."""
    await owe(store, "shop", events=20)
    await store.delete_application(an_application("shop").client_id)

    claimed = await claim(store)

    assert len(claimed) == 16


async def test_a_full_lane_leaves_the_room_to_others(store: Store) -> None:
    """What one application may not have goes to those that may."""
    await register(store, an_application("small", max_in_flight=1))
    await owe(store, "small", "big", events=10)

    claimed = Counter(delivery.client_id for delivery in await claim(store, 8))

    assert claimed == {"small": 1, "big": 7}


async def test_nothing_is_lent_where_nothing_is_asked_for(store: Store) -> None:
    """A limit of none lends none."""
    await owe(store, "shop")

    claimed = await store.claim(0, lease=LEASE)

    assert claimed == []


async def test_a_delivery_that_is_given_back_is_due_at_once(store: Store, clock: FakeClock) -> None:
    """Given back untried, a delivery costs no attempt and comes out again."""
    await owe(store, "shop")
    (delivery,) = await claim(store)

    held = await store.settle([given_back(delivery, now=clock.steady())])

    assert held == [True]
    assert [(one.id, one.attempt_count, one.tries) for one in await claim(store)] == [
        (delivery.id, 0, 0)
    ]


async def test_a_claim_tells_all_that_an_attempt_needs(store: Store, clock: FakeClock) -> None:
    """A delivery carries its event's initiator and, where it is user-wide, when that ended."""
    await register(store, an_application("shop"))
    event = an_event(initiator="password-changed", clients=["shop"], session_metadata={"a": "b"})
    (receipt,) = await store.accept([event])
    await owe(store)

    (delivery,) = await claim(store)

    assert delivery.event_id == receipt.event_id
    assert delivery.initiator == "password-changed"
    assert (delivery.sub, delivery.sid) == ("alice", None)
    assert delivery.ended_at == event.received_at
    assert delivery.session_metadata == {"a": "b"}
    assert delivery.created_at == delivery.started_at == clock.steady()


async def test_of_one_session_no_end_of_all_is_told(store: Store) -> None:
    """A delivery for one session says nothing of when all of them ended."""
    await owe(store, "shop")

    (delivery,) = await claim(store)

    assert (delivery.sid, delivery.ended_at) == ("s1", None)
