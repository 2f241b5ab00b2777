"""Which events have been heard of: what a source that waits is answered by."""

from collections.abc import Callable

import pytest

from dispatcher.domain.deliveries import Cause, Delivery, Settled, Withheld
from dispatcher.domain.events import EventId
from tests.contract.steps import accept, claim, match_all, owe, register
from tests.contract.stores import Store
from tests.kit.builders import (
    acknowledged,
    an_application,
    an_event,
    called_off,
    gave_up,
    given_back,
    put_off,
)
from tests.kit.clock import NOON

ONE, TWO = EventId("ev_1"), EventId("ev_2")


def tried_in_vain(delivery: Delivery) -> Settled:
    """Return that *delivery* was tried and is to be tried again."""
    return put_off(delivery, until=NOON)


def withheld(delivery: Delivery) -> Settled:
    """Return that a fault of ours kept *delivery* back."""
    return put_off(delivery, until=NOON, outcome=Withheld(cause=Cause.SIGNER))


async def test_an_event_is_heard_of_once_it_is_matched_and_owes_nothing(store: Store) -> None:
    """Before it is matched nobody knows whether it owes anything; afterwards that is all."""
    await accept(store, an_event(clients=[]))
    before = await store.heard_of([ONE])
    await match_all(store)

    assert (list(before), list(await store.heard_of([ONE]))) == ([], [ONE])


@pytest.mark.parametrize("how", [acknowledged, gave_up, called_off, tried_in_vain])
async def test_the_first_outcome_is_enough(
    store: Store, how: Callable[[Delivery], Settled]
) -> None:
    """Whatever came of the first attempt, it has been heard of."""
    await owe(store, "shop")
    (delivery,) = await claim(store)
    before = await store.heard_of([ONE])
    await store.settle([how(delivery)])

    assert (list(before), list(await store.heard_of([ONE]))) == ([], [ONE])


@pytest.mark.parametrize("how", [given_back, withheld])
async def test_what_was_not_tried_is_not_heard_of(
    store: Store, how: Callable[[Delivery], Settled]
) -> None:
    """What kept us from an attempt tells nothing of the application."""
    await owe(store, "shop")
    await store.settle([how(delivery) for delivery in await claim(store)])

    assert list(await store.heard_of([ONE])) == []


async def test_every_delivery_counts(store: Store) -> None:
    """An event is heard of when the last of its deliveries is."""
    await owe(store, "shop", "mail")
    one, other = await claim(store)
    await store.settle([acknowledged(one)])
    between = await store.heard_of([ONE])
    await store.settle([acknowledged(other)])

    assert (list(between), list(await store.heard_of([ONE]))) == ([], [ONE])


async def test_a_lane_that_is_not_open_is_not_waited_for(store: Store) -> None:
    """What is pending on a parked or paused lane may take long: it is heard of as it is."""
    await owe(store, "shop", events=7)
    for _ in range(5):
        await store.settle([put_off(one, until=NOON) for one in await claim(store, 1)])

    parked = set(await store.heard_of([EventId(f"ev_{number}") for number in range(1, 8)]))
    await owe(store, "mail")
    await store.pause(an_application("mail").client_id)
    paused = await store.heard_of([EventId("ev_8")])

    assert parked == {EventId(f"ev_{number}") for number in range(1, 8)}
    assert list(paused) == [EventId("ev_8")]


async def test_what_is_in_flight_is_waited_for(store: Store) -> None:
    """On a lane that closed meanwhile an attempt that is under way still comes to its end."""
    await owe(store, "shop")
    (delivery,) = await claim(store)
    await store.pause(delivery.client_id)

    assert list(await store.heard_of([ONE])) == []


async def test_each_event_is_told_apart(store: Store) -> None:
    """Of several only those that are heard of are returned, and unknown ones never."""
    await register(store, an_application("shop"))
    await accept(store, an_event(clients=[]))
    await accept(store, an_event(clients=["shop"]))
    await match_all(store)

    heard = await store.heard_of([TWO, EventId("ev_9"), EventId("junk"), ONE])

    assert list(heard) == [ONE]
