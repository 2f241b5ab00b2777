"""Retrying: a person asks for what is over once more, and only what can be told truly is owed."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from dispatcher.domain.deliveries import (
    Delivery,
    DeliveryId,
    DeliveryState,
    Reason,
    Retrial,
    Settled,
)
from tests.contract.steps import accept, claim, match_all, one_in_flight, owe, records, register
from tests.contract.stores import Reopen, Store
from tests.kit.builders import (
    a_join,
    acknowledged,
    an_application,
    an_event,
    called_off,
    gave_up,
    put_off,
)
from tests.kit.clock import NOON, FakeClock

HOUR = timedelta(hours=1)


async def one_settled(store: Store, settled: Settled) -> DeliveryId:
    """Write down what became of a delivery, and return its id."""
    assert await store.settle([settled]) == [True]
    return settled.delivery.id


async def states(store: Store) -> list[DeliveryState]:
    """Return the state of each delivery, oldest first."""
    return [record.state for record in await records(store)]


async def test_what_failed_is_owed_once_more(store: Store, clock: FakeClock) -> None:
    """A failed delivery is pending and due at once, and nothing says that it is settled."""
    delivery_id = await one_settled(store, gave_up(await one_in_flight(store)))
    clock.advance(HOUR)

    assert await store.retry([delivery_id]) == [Retrial.RETRIED]

    (record,) = await records(store)
    assert (record.state, record.reason) == (DeliveryState.PENDING, None)
    assert (record.due_at, record.settled_at) == (clock.steady(), None)
    assert [delivery.id for delivery in await claim(store)] == [delivery_id]


async def test_what_was_cancelled_is_owed_once_more(store: Store) -> None:
    """A cancelled delivery can be asked for as a failed one can."""
    delivery_id = await one_settled(store, called_off(await one_in_flight(store)))

    assert await store.retry([delivery_id]) == [Retrial.RETRIED]

    assert await states(store) == [DeliveryState.PENDING]


async def test_schedule_and_horizon_start_anew(store: Store, clock: FakeClock) -> None:
    """A retried delivery has no tries and no refusals behind it, and starts now."""
    delivery = await one_in_flight(store)
    await store.settle([put_off(delivery, until=clock.steady())])
    delivery_id = await one_settled(store, gave_up((await claim(store))[0]))
    clock.advance(HOUR)
    await store.retry([delivery_id])

    (again,) = await claim(store)

    assert (again.tries, again.refusals) == (0, 0)
    assert (again.created_at, again.started_at) == (NOON, NOON + HOUR)


async def test_attempts_go_on_counting(store: Store, clock: FakeClock) -> None:
    """What was tried before stays in the record, and the next attempt has the next number."""
    delivery_id = await one_settled(store, gave_up(await one_in_flight(store)))
    await store.retry([delivery_id])
    (again,) = await claim(store)

    await store.settle([acknowledged(again, at=clock.now())])

    (record,) = await records(store)
    assert (again.attempt_count, record.attempt_count) == (1, 2)
    assert [attempt.number for attempt in record.attempts] == [1, 2]


async def settled_otherwise(store: Store, kind: str) -> Delivery:
    """Return a delivery that is neither failed nor cancelled."""
    if kind == "pending":
        await owe(store, "shop")
        (record,) = await records(store)
        # What is pending has been lent to nobody: only its id is of interest.
        (delivery,) = await claim(store)
        await store.settle([put_off(delivery, until=NOON + HOUR)])
        assert record.id == delivery.id
        return delivery
    delivery = await one_in_flight(store)
    if kind == "delivered":
        await store.settle([acknowledged(delivery)])
    return delivery


@pytest.mark.parametrize("kind", ["pending", "in_flight", "delivered"])
async def test_what_is_not_over_or_is_delivered_is_left_alone(store: Store, kind: str) -> None:
    """Only what failed or was cancelled can be asked for once more."""
    delivery = await settled_otherwise(store, kind)
    before = await records(store)

    assert await store.retry([delivery.id]) == [Retrial.NOT_OVER]

    assert await records(store) == before


@pytest.mark.parametrize("name", ["dl_99", "ev_1", "junk", ""])
async def test_an_id_that_is_none_is_unknown(store: Store, name: str) -> None:
    """Nothing is owed under a name that we never gave."""
    await owe(store, "shop")

    assert await store.retry([DeliveryId(name)]) == [Retrial.UNKNOWN]

    assert await states(store) == [DeliveryState.PENDING]


async def born_failed(store: Store, *, except_sids: Sequence[str]) -> DeliveryId:
    """Return a delivery that failed at once: its application needs a sid, and none is known."""
    await register(store, an_application("shop", session_required=True))
    await accept(store, an_event(sub="alice", clients=["shop"], except_sids=except_sids))
    await match_all(store)
    (record,) = await records(store)
    assert (record.state, record.reason) == (DeliveryState.FAILED, Reason.SID_REQUIRED)
    return record.id


async def test_what_would_end_excepted_sessions_is_refused(store: Store) -> None:
    """A delivery without sid stays failed where its event excepts sessions: it would end them."""
    delivery_id = await born_failed(store, except_sids=["s1"])

    assert await store.retry([delivery_id]) == [Retrial.ENDS_EXCEPTED]

    assert await states(store) == [DeliveryState.FAILED]
    assert await claim(store) == []


async def test_without_excepted_sessions_it_may_be_told_of_all(store: Store) -> None:
    """A user-wide event that excepts nothing may be told without sid, if a person wants it."""
    delivery_id = await born_failed(store, except_sids=[])

    assert await store.retry([delivery_id]) == [Retrial.RETRIED]

    assert [delivery.sid for delivery in await claim(store)] == [None]


async def test_a_session_that_is_not_excepted_is_told_once_more(store: Store) -> None:
    """What has a sid of its own is told of that session alone, whatever its event excepts."""
    await register(store, an_application("shop"))
    for sid in ("s1", "s2"):
        await accept(store, a_join("shop", sid=sid))
    await accept(store, an_event(sub="alice", except_sids=["s1"]))
    await match_all(store)
    delivery_id = await one_settled(store, gave_up((await claim(store))[0]))

    assert await store.retry([delivery_id]) == [Retrial.RETRIED]

    assert [delivery.sid for delivery in await claim(store)] == ["s2"]


async def test_it_goes_where_its_application_is_now(store: Store) -> None:
    """A URI that was mended since is the one that is told: that is why a person asks."""
    delivery_id = await one_settled(store, gave_up(await one_in_flight(store)))
    await store.replace_application(an_application("shop", urls=["https://new.example/bcl"]))

    await store.retry([delivery_id])

    assert [delivery.uri for delivery in await claim(store)] == ["https://new.example/bcl"]


async def test_nobody_is_told_twice_of_one_event(store: Store) -> None:
    """Where the other URI is told of the same event already, a delivery keeps its own."""
    both = ["https://a.example/bcl", "https://b.example/bcl"]
    await register(store, an_application("shop", urls=both))
    await owe(store, "shop")
    failing = [delivery for delivery in await claim(store) if delivery.uri == both[0]]
    delivery_id = await one_settled(store, gave_up(failing[0]))
    await store.replace_application(an_application("shop", urls=both[1:]))

    assert await store.retry([delivery_id]) == [Retrial.RETRIED]

    assert sorted(record.uri for record in await records(store)) == both


async def test_many_are_asked_for_at_once(store: Store) -> None:
    """Each of a batch gets its own answer, in the order of the question."""
    await owe(store, "shop", "mail", "wiki")
    one, two, three = await claim(store)
    await store.settle([gave_up(one), acknowledged(two), called_off(three)])
    asked = [three.id, DeliveryId("dl_99"), two.id, one.id]

    retrials = await store.retry(asked)

    assert retrials == [
        Retrial.RETRIED,
        Retrial.UNKNOWN,
        Retrial.NOT_OVER,
        Retrial.RETRIED,
    ]
    assert (await store.depth()).deliveries[DeliveryState.PENDING] == 2


async def test_the_counts_follow(store: Store) -> None:
    """What is retried counts as pending and no longer as failed, and its lane shows it."""
    delivery_id = await one_settled(store, gave_up(await one_in_flight(store)))

    await store.retry([delivery_id])

    depth = await store.depth()
    assert (depth.deliveries[DeliveryState.PENDING], depth.deliveries[DeliveryState.FAILED]) == (
        1,
        0,
    )
    (lane,) = await store.lanes(None, 10)
    assert (lane.client_id, lane.pending, lane.oldest_pending_at) == ("shop", 1, NOON)


async def test_a_retry_wakes_who_waits_for_work(store: Store) -> None:
    """A worker that waits need not find a retried delivery by polling."""
    delivery_id = await one_settled(store, gave_up(await one_in_flight(store)))
    seen = await store.wait(0, at_most=timedelta())

    await store.retry([delivery_id])

    assert await store.wait(seen, at_most=HOUR) != seen


async def test_a_retry_is_on_disk(store: Store, reopen: Reopen) -> None:
    """What a person asked for survives a restart."""
    delivery_id = await one_settled(store, gave_up(await one_in_flight(store)))
    await store.retry([delivery_id])

    again = await reopen()

    assert [delivery.id for delivery in await claim(again)] == [delivery_id]
