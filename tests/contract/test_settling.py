"""Settling: written once, by whoever holds the lease, and recorded for people to read."""

from datetime import timedelta

import pytest

from dispatcher.domain.deliveries import (
    Attempt,
    Cause,
    Delivery,
    DeliveryId,
    DeliveryState,
    Move,
    OutcomeKind,
    Reason,
    Refused,
    Settled,
    Settlement,
    Unreachable,
    Withheld,
)
from dispatcher.domain.ledger import AttemptRecord, DeliveryRecord
from tests.contract.steps import LEASE, claim, one_in_flight, owe
from tests.contract.stores import Reopen, Store
from tests.kit.builders import acknowledged, called_off, gave_up, put_off
from tests.kit.clock import NOON, FakeClock


async def recorded(store: Store, delivery: Delivery) -> DeliveryRecord:
    """Return *delivery* as it stands."""
    record = await store.delivery(delivery.id)
    assert record is not None
    return record


async def test_an_acknowledged_delivery_is_over(store: Store, clock: FakeClock) -> None:
    """What was acknowledged is delivered, with its attempt, and does not come again."""
    delivery = await one_in_flight(store)
    clock.advance(seconds=1)

    held = await store.settle([acknowledged(delivery)])

    record = await recorded(store, delivery)
    assert held == [True]
    assert (record.state, record.reason, record.settled_at) == (
        DeliveryState.DELIVERED,
        None,
        clock.now(),
    )
    assert [(a.number, a.outcome, a.status) for a in record.attempts] == [
        (1, OutcomeKind.ACKNOWLEDGED, 200)
    ]
    assert await claim(store) == []


async def test_a_settlement_is_on_disk(store: Store, reopen: Reopen) -> None:
    """What was settled stays so after a restart."""
    delivery = await one_in_flight(store)
    await store.settle([acknowledged(delivery)])

    after = await reopen()

    assert (await recorded(after, delivery)).state is DeliveryState.DELIVERED
    assert await claim(after) == []


async def test_a_lost_lease_writes_nothing(store: Store, clock: FakeClock) -> None:
    """Who settles after another claim took the delivery is told so, and changes nothing."""
    late = await one_in_flight(store)
    clock.advance(LEASE)
    (current,) = await claim(store)

    held = await store.settle([gave_up(late)])

    record = await recorded(store, late)
    assert held == [False]
    assert (record.state, record.attempts) == (DeliveryState.IN_FLIGHT, ())
    assert await store.settle([acknowledged(current)]) == [True]


async def test_a_lease_that_ran_out_unclaimed_is_still_ours(store: Store, clock: FakeClock) -> None:
    """Until somebody else claims it, a late outcome is better than none."""
    delivery = await one_in_flight(store)
    clock.advance(LEASE * 2)

    held = await store.settle([acknowledged(delivery)])

    assert held == [True]


async def test_a_delivery_is_settled_once(store: Store) -> None:
    """A second settlement finds no lease, in the same batch or later."""
    delivery = await one_in_flight(store)

    together = await store.settle([acknowledged(delivery), gave_up(delivery)])
    later = await store.settle([gave_up(delivery)])

    assert (together, later) == ([True, False], [False])
    assert (await recorded(store, delivery)).state is DeliveryState.DELIVERED


@pytest.mark.one_process("where others share the store, leases end by the clock alone")
async def test_a_settlement_of_a_former_boot_is_fenced(store: Store, reopen: Reopen) -> None:
    """A lease of before a restart is worth nothing after it."""
    old = await one_in_flight(store)
    after = await reopen()

    unclaimed = await after.settle([acknowledged(old)])
    (current,) = await claim(after)
    claimed = await after.settle([acknowledged(old)])

    assert current.lease != old.lease
    assert (unclaimed, claimed) == ([False], [False])


async def test_an_unknown_delivery_is_not_held(store: Store) -> None:
    """A settlement of what is not there is fenced like any other, beside one that holds."""
    delivery = await one_in_flight(store)
    nowhere = Settled(_named(delivery, "dl_999"), None, Settlement(move=Move.ACKNOWLEDGED))
    nothing = Settled(_named(delivery, "no such form"), None, Settlement(move=Move.ACKNOWLEDGED))

    held = await store.settle([nowhere, acknowledged(delivery), nothing])

    assert held == [False, True, False]


def _named(delivery: Delivery, name: str) -> Delivery:
    return Delivery(
        id=DeliveryId(name),
        event_id=delivery.event_id,
        client_id=delivery.client_id,
        uri=delivery.uri,
        sub=delivery.sub,
        sid=delivery.sid,
        initiator=delivery.initiator,
        created_at=delivery.created_at,
        started_at=delivery.started_at,
        lease=delivery.lease,
        lease_until=delivery.lease_until,
    )


async def test_a_delivery_that_is_put_off_counts_its_tries(store: Store, clock: FakeClock) -> None:
    """An attempt in vain counts as one, and the latest answer's excerpt is kept."""
    delivery = await one_in_flight(store)

    await store.settle([put_off(delivery, until=clock.steady())])

    (again,) = await claim(store)
    assert (again.attempt_count, again.tries, again.refusals) == (1, 1, 0)
    assert (await recorded(store, delivery)).excerpt == "later"


async def test_a_refusal_counts_as_one(store: Store, clock: FakeClock) -> None:
    """A refusal is counted apart, for it gets one second chance."""
    delivery = await one_in_flight(store)

    await store.settle([put_off(delivery, until=clock.steady(), outcome=Refused(status=400))])

    (again,) = await claim(store)
    assert (again.attempt_count, again.tries, again.refusals) == (1, 1, 1)


async def test_what_a_fault_of_ours_kept_back_costs_nothing(store: Store, clock: FakeClock) -> None:
    """A withheld token is no attempt: no count moves, and the last answer stays to be read."""
    delivery = await one_in_flight(store)
    await store.settle([put_off(delivery, until=clock.steady())])
    (delivery,) = await claim(store)

    withheld = Withheld(cause=Cause.SIGNER)
    await store.settle([put_off(delivery, until=clock.steady(), outcome=withheld)])

    (again,) = await claim(store)
    record = await recorded(store, delivery)
    assert (again.attempt_count, again.tries, again.refusals) == (1, 1, 0)
    assert ([a.number for a in record.attempts], record.excerpt) == ([1], "later")


async def test_a_failed_delivery_says_why(store: Store) -> None:
    """What was given up is failed, with its reason."""
    delivery = await one_in_flight(store)

    await store.settle([gave_up(delivery)])

    record = await recorded(store, delivery)
    assert (record.state, record.reason) == (DeliveryState.FAILED, Reason.REFUSED)
    assert (record.attempt_count, record.excerpt) == (1, "no")


async def test_a_delivery_that_is_called_off_has_no_attempt(store: Store) -> None:
    """What is no longer owed is cancelled without a word to anyone."""
    delivery = await one_in_flight(store)

    await store.settle([called_off(delivery, Reason.UNSUBSCRIBED)])

    record = await recorded(store, delivery)
    assert (record.state, record.reason) == (DeliveryState.CANCELLED, Reason.UNSUBSCRIBED)
    assert (record.attempt_count, record.attempts) == (0, ())


async def test_an_attempt_is_recorded_word_for_word(store: Store, clock: FakeClock) -> None:
    """Everything that an attempt tells can be read again."""
    delivery = await one_in_flight(store)
    outcome = Unreachable(cause=Cause.TLS, detail="handshake failed \0\ud800", status=None)
    attempt = Attempt(
        started_at=NOON,
        duration=timedelta(microseconds=1234567),
        outcome=outcome,
        jti="jti-1",
        kid="kid-1",
    )
    later = Settlement(move=Move.PUT_OFF, due_at=clock.steady())

    await store.settle([Settled(delivery, attempt, later)])

    assert (await recorded(store, delivery)).attempts == (
        AttemptRecord(
            number=1,
            started_at=NOON,
            duration=timedelta(microseconds=1234567),
            outcome=OutcomeKind.UNREACHABLE,
            status=None,
            error="tls: handshake failed \ufffd?",
            jti="jti-1",
            kid="kid-1",
        ),
    )


@pytest.mark.parametrize("body", [b"caf\xc3\xa9", b"\xff\x00\xfe", b"x" * 5000])
async def test_an_excerpt_is_text_of_bounded_length(
    store: Store, clock: FakeClock, body: bytes
) -> None:
    """Whatever an application answers, at most 1 KiB of it is kept, as text."""
    delivery = await one_in_flight(store)
    answered = Refused(status=400, excerpt=body)

    await store.settle([put_off(delivery, until=clock.steady(), outcome=answered)])

    excerpt = (await recorded(store, delivery)).excerpt
    assert excerpt
    assert len(excerpt) <= 1024
    assert "\0" not in excerpt


async def test_the_first_and_the_last_attempts_are_kept(store: Store, clock: FakeClock) -> None:
    """Of many attempts the first 5 and the last 20 can be read; all of them are counted."""
    delivery = await one_in_flight(store)
    for _ in range(31):
        await store.settle([put_off(delivery, until=clock.steady())])
        clock.advance(minutes=1)  # the lane is parked meanwhile, and probed
        (delivery,) = await claim(store)

    record = await recorded(store, delivery)

    assert [a.number for a in record.attempts] == [1, 2, 3, 4, 5, *range(12, 32)]
    assert record.attempt_count == 31


async def test_a_batch_settles_each_for_itself(store: Store, clock: FakeClock) -> None:
    """In one batch each delivery goes its own way."""
    await owe(store, "shop", "mail", "wiki", "blog")
    one, two, three, four = await claim(store)
    later = clock.steady() + timedelta(seconds=5)

    await store.settle([acknowledged(one), put_off(two, until=later), gave_up(three)])

    states = [(await recorded(store, delivery)).state for delivery in (one, two, three, four)]
    assert states == [
        DeliveryState.DELIVERED,
        DeliveryState.PENDING,
        DeliveryState.FAILED,
        DeliveryState.IN_FLIGHT,
    ]
    assert (await recorded(store, two)).due_at == later


async def test_nothing_to_settle_is_settled(store: Store) -> None:
    """An empty batch is no error."""
    held = await store.settle([])

    assert held == []
