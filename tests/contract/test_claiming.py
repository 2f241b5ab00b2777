"""Claiming: applications take turns, leases end, and nobody gets more than its share."""

from collections import Counter
from datetime import timedelta

from dispatcher.domain.deliveries import Cause, DeliveryState, Refused, Withheld
from tests.contract.steps import LEASE, claim, owe, records, register
from tests.contract.stores import Store
from tests.kit.builders import acknowledged, an_application, an_event, given_back, put_off
from tests.kit.clock import FakeClock

OURS = Withheld(cause=Cause.SIGNER)


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


async def tried(store: Store, clock: FakeClock, *client_ids: str, events: int = 1) -> None:
    """Owe what was attempted once already, and is due again."""
    await owe(store, *client_ids, events=events)
    lent = await claim(store, len(client_ids) * events)
    await store.settle([put_off(one, until=clock.steady()) for one in lent])


async def taken(
    store: Store, limit: int, *, retries: int | None = None, per_lane: int | None = None
) -> Counter[tuple[str, int]]:
    """Return how many were lent, by application and by how often they were tried."""
    claimed = await store.claim(limit, lease=LEASE, retries=retries, per_lane=per_lane)
    return Counter((delivery.client_id, delivery.tries) for delivery in claimed)


async def test_no_lane_gets_more_than_it_is_allowed(store: Store) -> None:
    """However high an application's own cap, no more of its deliveries are lent at once."""
    await register(store, an_application("big", max_in_flight=256))
    await owe(store, "big", events=9)
    await owe(store, "shop", events=2)

    first = await taken(store, 20, per_lane=3)
    full = await taken(store, 20, per_lane=3)
    raised = await taken(store, 20, per_lane=4)

    assert first == {("big", 0): 3, ("shop", 0): 2}
    assert full == {}
    assert raised == {("big", 0): 1}


async def test_retries_are_counted(store: Store, clock: FakeClock) -> None:
    """Of what was tried before no more is lent than is asked for, dealt out in turn."""
    await tried(store, clock, "shop", "mail", events=4)

    none = await taken(store, 20, retries=0)
    some = await taken(store, 20, retries=4)
    rest = await taken(store, 20)

    assert none == {}
    assert some == {("shop", 1): 2, ("mail", 1): 2}
    assert rest == {("shop", 1): 2, ("mail", 1): 2}


async def test_first_attempts_come_in_the_place_of_retries(store: Store, clock: FakeClock) -> None:
    """What was never tried is found behind what was, in its own lane and in every other."""
    await tried(store, clock, "a", "b", "c", "shop", events=4)
    await owe(store, "shop", "mail", events=2)

    claimed = await taken(store, 4, retries=1)

    assert claimed.total() == 4
    assert sum(count for (_, tries), count in claimed.items() if tries) == 1
    assert claimed["mail", 0] + claimed["shop", 0] == 3
    assert min(claimed["mail", 0], claimed["shop", 0]) == 1


async def test_a_lanes_own_cap_holds_for_both(store: Store, clock: FakeClock) -> None:
    """Retries and first attempts share the room that their application has."""
    await register(store, an_application("shop", max_in_flight=4))
    await tried(store, clock, "shop", events=3)
    await owe(store, "shop", events=9)

    claimed = await taken(store, 20, retries=1)

    assert claimed == {("shop", 1): 1, ("shop", 0): 3}


async def test_a_lane_that_is_full_of_retries_takes_no_first_attempt(
    store: Store, clock: FakeClock
) -> None:
    """Where a retry has taken an application's last room, what is new of it waits."""
    await register(store, an_application("small", max_in_flight=1))
    await tried(store, clock, "big", events=3)
    await tried(store, clock, "small")
    await owe(store, "small", "big")

    claimed = await taken(store, 20, retries=2)

    assert claimed == {("small", 1): 1, ("big", 1): 1, ("big", 0): 1}


async def test_a_first_attempt_that_is_not_due_is_not_lent(store: Store, clock: FakeClock) -> None:
    """Where no retry may start, what a fault of ours put off waits for its time all the same."""
    await tried(store, clock, "shop")
    await owe(store, "mail", "wiki")
    later = clock.steady() + timedelta(seconds=5)
    lent = [one for one in await claim(store) if not one.tries]
    await store.settle([put_off(one, until=later, outcome=OURS) for one in lent])

    early = await taken(store, 20, retries=0)
    clock.advance(seconds=5)
    in_time = await taken(store, 20, retries=0)

    assert (early, in_time) == ({}, {("mail", 0): 1, ("wiki", 0): 1})


async def test_a_parked_lane_is_probed_with_what_is_new(store: Store, clock: FakeClock) -> None:
    """Where no retry may start a probe is made with a first attempt, and with one alone."""
    await tried(store, clock, "shop", events=5)
    await store.settle([put_off(one, until=clock.steady()) for one in await claim(store)])
    await owe(store, "shop", events=3)
    clock.advance(seconds=5)
    retries = await taken(store, 20, retries=0)

    assert retries == {("shop", 0): 1}
    assert await taken(store, 20) == {}


async def test_a_retry_whose_lease_ran_out_is_a_retry(store: Store, clock: FakeClock) -> None:
    """What is lent anew counts as what it is, and waits where there is no room for it."""
    await owe(store, "shop", events=3)
    lent, no = await claim(store), Refused(status=400)
    await store.settle([put_off(one, until=clock.steady(), outcome=no) for one in lent])
    await owe(store, "mail", events=2)
    lost = await claim(store, 4)
    clock.advance(LEASE)

    first = await taken(store, 20, retries=0)
    second = await taken(store, 20, retries=1)
    third = await taken(store, 20, retries=1)
    rest = await taken(store, 20, retries=5)

    assert Counter(one.client_id for one in lost) == {"shop": 2, "mail": 2}
    assert (first, second) == ({("mail", 0): 2}, {("shop", 1): 1})
    assert (third, rest) == ({("shop", 1): 1}, {("shop", 1): 1})


async def test_what_is_not_due_stands_in_no_ones_way(store: Store, clock: FakeClock) -> None:
    """Where no retry may start, a lane whose first attempt was put off takes nobody's turn."""
    await tried(store, clock, "shop")
    await owe(store, "shop")
    now, later = clock.steady(), clock.steady() + timedelta(seconds=5)
    for one in await claim(store):
        outcome = None if one.tries else OURS
        until = now if one.tries else later
        await store.settle([put_off(one, until=until, outcome=outcome)])
    for _ in range(2):
        await owe(store, "mail")
        claimed = await store.claim(1, lease=LEASE, retries=0)
        assert [one.client_id for one in claimed] == ["mail"]
        await store.settle([acknowledged(one) for one in claimed])
