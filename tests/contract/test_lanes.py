"""Lanes: a sick application is spared and probed, and what it is owed waits untouched."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import anyio
import pytest

from dispatcher.adapters.postgres import breakers as postgres_breakers
from dispatcher.adapters.sqlite import breakers as sqlite_breakers
from dispatcher.domain.deliveries import (
    Cause,
    Delivery,
    DeliveryState,
    Outcome,
    Refused,
    Settled,
    Unreachable,
    Withheld,
)
from dispatcher.domain.events import ClientId
from dispatcher.domain.lanes import LaneState
from dispatcher.domain.ledger import DeliveryFilter, LaneRecord
from tests.contract.steps import LEASE, accept, claim, match_all, owe, records, register
from tests.contract.stores import Reopen, Store
from tests.kit.builders import (
    acknowledged,
    an_application,
    an_event,
    called_off,
    given_back,
    put_off,
)
from tests.kit.clock import FakeClock

SHOP = ClientId("shop")
LONG, SHORT = timedelta(hours=1), timedelta(milliseconds=20)
FIRST_PROBE = timedelta(seconds=5)
OURS = Withheld(cause=Cause.SIGNER)


async def fail(
    store: Store, clock: FakeClock, *deliveries: Delivery, outcome: Outcome | None = None
) -> None:
    """Settle *deliveries* as unreachable, to be tried again in an hour."""
    later = clock.steady() + LONG
    await store.settle([put_off(one, until=later, outcome=outcome) for one in deliveries])


async def park(
    store: Store, clock: FakeClock, *, waiting: int = 3, client_id: str = "shop"
) -> None:
    """Let five deliveries fail in a row while *waiting* others are due; then the lane is parked."""
    await owe(store, client_id, events=5 + waiting)
    await fail(store, clock, *await claim(store, 5))


async def probe(store: Store, clock: FakeClock, wait: timedelta = FIRST_PROBE) -> Delivery:
    """Return the one delivery that is lent once the next probe is due."""
    clock.advance(wait)
    (delivery,) = await claim(store)
    return delivery


async def make_up_for_an_outage(
    store: Store, clock: FakeClock, wait: timedelta
) -> tuple[list[str], list[str]]:
    """Put five off, owe three more, and open the lane by a probe after *wait*.

    Return what waits then, oldest first, and in which order it is claimed.
    """
    await owe(store, "shop", events=5)
    await fail(store, clock, *await claim(store))
    clock.advance(seconds=1)
    await owe(store, "shop", events=3)
    await store.settle([acknowledged(await probe(store, clock, wait))])
    waiting = await in_state(store, DeliveryState.PENDING)
    return waiting, [one.id for _ in range(7) for one in await claim(store, 1)]


async def the_lane(store: Store, client_id: str = "shop") -> LaneRecord:
    """Return one lane as it stands."""
    (lane,) = [one for one in await store.lanes(None, 100) if one.client_id == client_id]
    return lane


async def state_of(store: Store) -> LaneState:
    """Return whether the shop's lane is open."""
    return (await the_lane(store)).state


async def in_state(store: Store, state: DeliveryState) -> list[str]:
    """Return the ids of the deliveries in *state*, oldest first."""
    return [record.id for record in await records(store) if record.state is state]


async def test_five_in_a_row_park_a_lane(store: Store, clock: FakeClock) -> None:
    """After five unreachable outcomes nothing of the application is lent, and after four all is."""
    await owe(store, "shop", events=8)
    await fail(store, clock, *await claim(store, 4))
    (fifth,) = await claim(store, 1)

    await fail(store, clock, fifth)

    assert await claim(store) == []
    assert await state_of(store) is LaneState.PARKED


async def test_a_parked_lane_holds_nobody_up(store: Store, clock: FakeClock) -> None:
    """The others are served as if the parked application were not there."""
    await park(store, clock)
    await owe(store, "mail", "wiki", events=2)

    claimed = Counter(one.client_id for one in await claim(store, 2))

    assert claimed == {"mail": 1, "wiki": 1}


async def test_a_parked_lane_is_probed_with_one(store: Store, clock: FakeClock) -> None:
    """When the probe is due one delivery is lent however many are asked for, and then none."""
    await park(store, clock)
    clock.advance(FIRST_PROBE - timedelta.resolution)
    early = await claim(store)

    await probe(store, clock, timedelta.resolution)

    assert early == []
    assert await claim(store) == []
    assert await state_of(store) is LaneState.PROBING


async def test_each_probe_is_another_delivery(store: Store, clock: FakeClock) -> None:
    """Probes in vain take 5, 10, 15 and 15 s to the next, and go through what waits in turn."""
    await park(store, clock, waiting=4)
    waiting = await in_state(store, DeliveryState.PENDING)
    probed = []
    for seconds in (5, 10, 15, 15):
        delivery = await probe(store, clock, timedelta(seconds=seconds))
        await fail(store, clock, delivery)
        probed.append(delivery.id)

    assert probed == waiting[5:]


async def test_a_probe_need_not_be_due(store: Store, clock: FakeClock) -> None:
    """Where nothing is due a probe is made with what is due next: a lane need not wait so long."""
    await owe(store, "shop", events=5)
    claimed = await claim(store)
    for minutes, delivery in zip((9, 3, 7, 5, 8), claimed, strict=True):
        later = clock.steady() + timedelta(minutes=minutes)
        await store.settle([put_off(delivery, until=later)])

    delivery = await probe(store, clock)

    assert delivery.id == claimed[1].id


async def test_what_is_due_is_probed_first(store: Store, clock: FakeClock) -> None:
    """A probe is made with a delivery that is not yet due only where there is no other."""
    await park(store, clock, waiting=1)
    due = (await in_state(store, DeliveryState.PENDING))[-1]

    delivery = await probe(store, clock)

    assert delivery.id == due


async def test_being_parked_costs_a_delivery_nothing(store: Store, clock: FakeClock) -> None:
    """What waits in a parked lane is not touched: no attempt, and no other time to be due."""
    await park(store, clock, waiting=9)
    before = (await records(store))[-5:]
    for seconds in (5, 10, 15, 15):
        await fail(store, clock, await probe(store, clock, timedelta(seconds=seconds)))

    after = (await records(store))[-5:]

    assert after == before
    assert {record.attempt_count for record in after} == {0}


@pytest.mark.parametrize("answer", [None, Refused(status=400)])
async def test_any_answer_opens_the_lane(
    store: Store, clock: FakeClock, answer: Refused | None
) -> None:
    """Once a probe is answered all that waits is due, whatever time it had been put off to."""
    await park(store, clock, waiting=2)
    delivery = await probe(store, clock)
    later = clock.steady() + LONG
    settled = put_off(delivery, until=later, outcome=answer) if answer else acknowledged(delivery)

    await store.settle([settled])

    assert len(await claim(store)) == 6
    assert await state_of(store) is LaneState.OPEN


async def test_an_opened_lane_is_served_oldest_first(store: Store, clock: FakeClock) -> None:
    """What had been put off comes before what is younger."""
    waiting, claimed = await make_up_for_an_outage(store, clock, FIRST_PROBE)

    assert claimed == waiting


async def test_what_came_due_while_parked_keeps_its_place(store: Store, clock: FakeClock) -> None:
    """What had been put off comes before what is younger though its time came meanwhile."""
    waiting, claimed = await make_up_for_an_outage(store, clock, 2 * LONG)

    assert claimed == waiting


@pytest.fixture
def few_hastened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a lane that opens hasten two deliveries at most, in either store."""
    for breakers in (sqlite_breakers, postgres_breakers):
        monkeypatch.setattr(breakers, "MOST_HASTENED", 2)


@pytest.mark.usefixtures("few_hastened")
async def test_an_opened_lane_hastens_only_so_much(store: Store, clock: FakeClock) -> None:
    """Of what was put off the oldest is due when the lane opens: no write grows without end."""
    await park(store, clock, waiting=1)
    oldest = [record.id for record in await records(store)][:2]

    await store.settle([acknowledged(await probe(store, clock))])

    assert [delivery.id for delivery in await claim(store)] == oldest


@pytest.mark.usefixtures("few_hastened")
async def test_only_so_much_keeps_its_place(store: Store, clock: FakeClock) -> None:
    """Of what came due while parked the oldest keeps its place; no write grows for it either."""
    waiting, claimed = await make_up_for_an_outage(store, clock, 2 * LONG)

    assert claimed == [*waiting[:2], *waiting[5:], *waiting[2:5]]  # the probe was a younger one


async def test_an_opened_lane_hastens_no_other(store: Store, clock: FakeClock) -> None:
    """What another application put off stays put off."""
    await owe(store, "mail")
    await fail(store, clock, *await claim(store))
    await park(store, clock)

    before = (await records(store))[0]

    await store.settle([acknowledged(await probe(store, clock))])

    assert before.client_id == "mail"
    assert (await records(store))[0] == before
    assert {one.client_id for one in await claim(store)} == {"shop"}


async def test_what_was_refused_keeps_its_minute(store: Store, clock: FakeClock) -> None:
    """A lane that opens hastens no second chance, neither the probe's own nor an earlier one."""
    await owe(store, "shop", events=7)
    early, *rest = await claim(store, 6)
    minute = clock.steady() + timedelta(minutes=1)
    no = Refused(status=400)
    await store.settle([put_off(early, until=minute, outcome=no)])
    await fail(store, clock, *rest)
    probed = await probe(store, clock)
    await store.settle([put_off(probed, until=minute + FIRST_PROBE, outcome=no)])

    hastened = {one.id for one in await claim(store)}

    assert hastened == {one.id for one in rest}


async def test_a_flush_starts_slowly(store: Store, clock: FakeClock) -> None:
    """A lane that opened starts 10 in its first second, 20 in the next, and twice that after it."""
    await register(store, an_application("shop", max_in_flight=1000))
    await park(store, clock, waiting=100)
    await store.settle([acknowledged(await probe(store, clock))])
    started = []
    for _ in range(3):
        started.append(len(await claim(store, 1000)))
        assert await claim(store, 1000) == []
        clock.advance(seconds=1)

    assert started == [10, 20, 40]


async def test_a_flush_ends(store: Store, clock: FakeClock) -> None:
    """Ten seconds after it opened a lane is served as any other."""
    await register(store, an_application("shop", max_in_flight=100_000))
    await park(store, clock, waiting=40)
    await store.settle([acknowledged(await probe(store, clock))])
    clock.advance(seconds=10)
    await claim(store, 10)

    claimed = await claim(store, 1000)

    assert len(claimed) == 34


async def test_a_probe_made_again_need_not_be_due(store: Store, clock: FakeClock) -> None:
    """Where nothing is due a probe that was called off is followed by the next one at once."""
    await park(store, clock, waiting=0)

    await store.settle([called_off(await probe(store, clock))])

    assert len(await claim(store)) == 1


@pytest.mark.parametrize("back", [given_back, called_off])
async def test_a_probe_that_was_not_made_is_made_again(
    store: Store, clock: FakeClock, back: Callable[[Delivery], Settled]
) -> None:
    """Given back or called off, a probe counts for nothing: another is due at once."""
    await park(store, clock)

    await store.settle([back(await probe(store, clock))])

    assert len(await claim(store)) == 1
    assert await claim(store) == []


async def test_a_probe_that_was_withheld_is_made_again_in_a_while(
    store: Store, clock: FakeClock
) -> None:
    """Where a fault of ours keeps probes back the next one waits 5 s, though more are due."""
    await park(store, clock)
    delivery = await probe(store, clock)
    lent: list[Delivery] = []
    for _ in range(3):
        again = clock.steady() + timedelta(seconds=1)
        await store.settle([put_off(delivery, until=again, outcome=OURS)])
        lent += await claim(store)
        clock.advance(FIRST_PROBE - timedelta.resolution)
        lent += await claim(store)
        delivery = await probe(store, clock, timedelta.resolution)

    assert lent == []


async def test_a_late_fault_of_ours_makes_no_second_probe(store: Store, clock: FakeClock) -> None:
    """What was in flight when the lane parked gives no probe back but its own."""
    await owe(store, "shop", events=9)
    early, *rest = await claim(store, 6)
    await fail(store, clock, *rest)
    await probe(store, clock)

    await store.settle([given_back(early)])

    assert await claim(store) == []


async def test_a_probe_whose_lease_was_lost_is_made_again(store: Store, clock: FakeClock) -> None:
    """When a probe's lease ends one probe is lent anew, and who held the first is fenced."""
    await park(store, clock)
    lost = await probe(store, clock)

    again = await probe(store, clock, LEASE)

    assert await store.settle([acknowledged(lost)]) == [False]
    assert await state_of(store) is LaneState.PROBING
    assert await store.settle([acknowledged(again)]) == [True]
    assert await state_of(store) is LaneState.OPEN


@pytest.mark.one_process("where others share the store, leases end by the clock alone")
async def test_a_restart_takes_a_probe_back(store: Store, reopen: Reopen, clock: FakeClock) -> None:
    """A lane stays parked through a restart, and a probe that was under way is made again."""
    await park(store, clock)
    await probe(store, clock)

    after = await reopen()

    assert await state_of(after) is LaneState.PARKED
    assert len(await claim(after)) == 1
    assert await claim(after) == []


async def test_a_parked_lane_may_run_empty(store: Store, clock: FakeClock) -> None:
    """A lane whose last delivery was superseded is probed with whatever comes next."""
    await register(store, an_application("shop"))
    for _ in range(5):
        await accept(store, an_event(clients=["shop"]))
        await match_all(store)
        await fail(store, clock, *await claim(store))
    await accept(store, an_event(clients=["shop"]))
    await match_all(store)
    assert await in_state(store, DeliveryState.PENDING) == [(await records(store))[-1].id]

    delivery = await probe(store, clock)
    await store.settle([called_off(delivery)])
    assert await claim(store) == []
    await owe(store, "shop")

    assert len(await claim(store)) == 1


async def test_an_empty_lane_takes_no_turn(store: Store, clock: FakeClock) -> None:
    """A parked lane that may be probed, but has nothing to try, stands in nobody's way."""
    await park(store, clock, waiting=0)
    for _ in range(5):
        await store.settle([called_off(await probe(store, clock))])
    await owe(store, "mail", events=2)
    await claim(store, 1)

    claimed = await claim(store, 1)

    assert [one.client_id for one in claimed] == ["mail"]


@pytest.mark.parametrize("paused", [True, False])
async def test_an_application_that_is_gone_has_no_lane(
    store: Store, clock: FakeClock, *, paused: bool
) -> None:
    """What a deleted application is owed comes out to be called off, parked or paused or not."""
    await park(store, clock)
    if paused:
        await store.pause(SHOP)

    await store.delete_application(SHOP)

    assert len(await claim(store)) == 8
    assert await state_of(store) is LaneState.OPEN


async def test_a_429_holds_the_whole_lane(store: Store, clock: FakeClock) -> None:
    """An application that says when it can take more is left alone until then, and not parked."""
    await owe(store, "shop", events=8)
    wish = Unreachable(cause=Cause.STATUS, status=429, retry_after=timedelta(seconds=30))
    await fail(store, clock, *await claim(store, 6), outcome=wish)
    clock.advance(timedelta(seconds=30) - timedelta.resolution)
    held = await claim(store)
    clock.advance(timedelta.resolution)

    claimed = await claim(store)

    assert (len(held), len(claimed)) == (0, 2)
    assert await state_of(store) is LaneState.OPEN


async def test_a_hold_that_is_over_takes_no_turn(store: Store, clock: FakeClock) -> None:
    """A lane whose time to be closed is over, but that has nothing due, stands in nobody's way."""
    await owe(store, "shop")
    wish = Unreachable(cause=Cause.STATUS, status=429, retry_after=timedelta(seconds=1))
    await fail(store, clock, *await claim(store), outcome=wish)
    await owe(store, "mail", events=2)
    await claim(store, 1)
    clock.advance(seconds=1)

    claimed = await claim(store, 1)

    assert [one.client_id for one in claimed] == ["mail"]


async def test_a_paused_lane_starts_nothing(store: Store, reopen: Reopen, clock: FakeClock) -> None:
    """From the pause on nothing is lent, after any time and any restart, until it is resumed."""
    await owe(store, "shop", "mail", events=2)
    await store.pause(SHOP)
    paused = {one.client_id for one in await claim(store)}
    clock.advance(days=3)
    after = await reopen()
    later = {one.client_id for one in await claim(after)}

    await after.resume(SHOP)

    assert (paused, later) == ({"mail"}, {"mail"})
    assert Counter(one.client_id for one in await claim(after)) == {"shop": 2}


@pytest.mark.parametrize("answered", [True, False])
async def test_a_pause_outlasts_what_was_in_flight(
    store: Store, clock: FakeClock, *, answered: bool
) -> None:
    """What is in flight at the pause ends as it will, and neither opens nor parks the lane."""
    await owe(store, "shop", events=9)
    claimed = await claim(store, 6)
    await store.pause(SHOP)

    if answered:
        await store.settle([acknowledged(one) for one in claimed])
    else:
        await fail(store, clock, *claimed)

    assert await claim(store) == []
    assert await state_of(store) is LaneState.PAUSED


async def test_a_pause_outlasts_a_hold(store: Store, clock: FakeClock) -> None:
    """A paused lane that is asked to come later stays paused, and takes nobody's turn, after it."""
    await owe(store, "shop", events=2)
    (delivery,) = await claim(store, 1)
    await store.pause(SHOP)
    wish = Unreachable(cause=Cause.STATUS, status=429, retry_after=timedelta(seconds=1))
    await fail(store, clock, delivery, outcome=wish)
    await owe(store, "mail", events=2)
    await claim(store, 1)
    clock.advance(seconds=2)

    claimed = await claim(store, 1)

    assert [one.client_id for one in claimed] == ["mail"]


async def test_a_lane_may_be_paused_before_it_is_owed_anything(store: Store) -> None:
    """Who is paused in advance is told of nothing until resumed."""
    await register(store, an_application("shop"))
    await store.pause(SHOP)
    await owe(store, "shop")
    paused = await claim(store)

    await store.resume(SHOP)

    assert (len(paused), len(await claim(store))) == (0, 1)


async def test_to_resume_what_was_not_paused_changes_nothing(
    store: Store, clock: FakeClock
) -> None:
    """A parked lane stays parked, and an application without a lane has none."""
    await park(store, clock)
    await register(store, an_application("mail"))

    await store.resume(SHOP)
    await store.resume(ClientId("mail"))

    assert [(one.client_id, one.state) for one in await store.lanes(None, 9)] == [
        (SHOP, LaneState.PARKED)
    ]
    assert await claim(store) == []


async def test_a_resumed_lane_is_due_at_once(store: Store, clock: FakeClock) -> None:
    """Whatever had been put off before the pause is due when it ends."""
    await park(store, clock, waiting=0)
    await store.pause(SHOP)

    await store.resume(SHOP)

    assert len(await claim(store)) == 5


async def test_a_lease_that_ran_out_starts_nothing_in_a_paused_lane(
    store: Store, clock: FakeClock
) -> None:
    """What nobody settled waits in its lane again, and goes out when that is resumed."""
    await owe(store, "shop", events=2)
    lost = await claim(store)
    await store.pause(SHOP)
    clock.advance(LEASE)
    paused = await claim(store)

    await store.resume(SHOP)

    assert paused == []
    assert await store.settle([acknowledged(lost[0])]) == [False]
    assert {one.id for one in await claim(store)} == {one.id for one in lost}


async def test_leases_that_ran_out_do_not_crowd_a_parked_lane(
    store: Store, clock: FakeClock
) -> None:
    """However many leases of a parked lane end, one delivery goes out: the probe."""
    await owe(store, "shop", events=12)
    await claim(store, 4)
    await fail(store, clock, *await claim(store, 5))
    clock.advance(LEASE)

    claimed = await claim(store)

    assert len(claimed) == 1
    assert (await the_lane(store)).in_flight == 1


async def news(store: Store, clock: FakeClock, wait: timedelta) -> tuple[bool, bool]:
    """Say whether a waiter is woken a moment before *wait* is over, and when it is."""
    seen = await store.wait(0, at_most=LONG)
    clock.advance(wait - timedelta.resolution)
    early = await store.wait(seen, at_most=SHORT)
    clock.advance(timedelta.resolution)
    with anyio.fail_after(5):
        in_time = await store.wait(early, at_most=LONG)
    return early != seen, in_time != early


async def test_a_due_probe_is_news(store: Store, clock: FakeClock) -> None:
    """Whoever waits is woken when a parked lane may be probed, and not before."""
    await park(store, clock)

    woken = await news(store, clock, FIRST_PROBE)

    assert woken == (False, True)
    assert len(await claim(store)) == 1


async def test_the_next_second_of_a_flush_is_news(store: Store, clock: FakeClock) -> None:
    """Whoever waits is woken when a flushing lane may go on, and not before."""
    await register(store, an_application("shop", max_in_flight=1000))
    await park(store, clock, waiting=100)
    await store.settle([acknowledged(await probe(store, clock))])
    await claim(store, 1000)

    woken = await news(store, clock, timedelta(seconds=1))

    assert woken == (False, True)
    assert len(await claim(store, 1000)) == 20


async def test_what_comes_due_after_a_hold_is_news(store: Store, clock: FakeClock) -> None:
    """Whoever waits is woken when a delivery comes due in a lane that had been closed till then."""
    await owe(store, "shop")
    wish = Unreachable(cause=Cause.STATUS, status=429, retry_after=timedelta(seconds=1))
    await fail(store, clock, *await claim(store), outcome=wish)
    clock.advance(seconds=2)
    await claim(store)

    woken = await news(store, clock, LONG - timedelta(seconds=2))

    assert woken == (False, True)
    assert len(await claim(store)) == 1


async def test_a_probe_that_has_nothing_to_try_hides_no_due_time(
    store: Store, clock: FakeClock
) -> None:
    """Woken in vain for an empty lane, a worker is still woken for the next delivery."""
    await park(store, clock, waiting=0)
    for _ in range(5):
        clock.advance(minutes=1)
        await store.settle([called_off(one) for one in await claim(store)])
    await owe(store, "mail")
    later = clock.steady() + timedelta(seconds=9)
    await store.settle([put_off(one, until=later) for one in await claim(store)])
    clock.advance(seconds=5)
    await claim(store)

    woken = await news(store, clock, timedelta(seconds=4))

    assert woken == (False, True)


def shown(lane: LaneRecord) -> tuple[LaneState, int, int, datetime | None]:
    """Return what changes of a lane."""
    return lane.state, lane.pending, lane.in_flight, lane.next_probe_at


async def test_a_lane_is_shown_as_it_stands(store: Store, clock: FakeClock) -> None:
    """The ledger tells a lane's state, what it holds, since when, and when it is probed next."""
    noon = clock.steady()
    await park(store, clock, waiting=3)
    parked = await the_lane(store)
    delivery = await probe(store, clock)
    probing = await the_lane(store)
    await fail(store, clock, delivery)
    again = await the_lane(store)

    assert parked.oldest_pending_at == noon
    assert [shown(parked), shown(probing), shown(again)] == [
        (LaneState.PARKED, 8, 0, noon + FIRST_PROBE),
        (LaneState.PROBING, 7, 1, None),
        (LaneState.PARKED, 8, 0, clock.steady() + timedelta(seconds=10)),
    ]


async def test_lanes_come_in_pages(store: Store) -> None:
    """Lanes are listed by client_id, from the one after the last that was seen."""
    await owe(store, "shop", "mail", "wiki")

    first = await store.lanes(None, 2)
    rest = await store.lanes(first[-1].client_id, 2)

    assert [one.client_id for one in [*first, *rest]] == ["mail", "shop", "wiki"]
    assert await store.lanes(None, 0) == []


async def _ids(store: Store, **wanted: object) -> Sequence[str]:
    return [one.id for one in await store.deliveries(DeliveryFilter(**wanted))]  # type: ignore[arg-type]  # any filter


async def test_what_is_parked_can_be_found(store: Store, clock: FakeClock) -> None:
    """Parked is what is pending on a lane that is not open, and nothing else."""
    await owe(store, "mail")
    await store.settle([put_off(one, until=clock.steady() + LONG) for one in await claim(store)])
    await park(store, clock, waiting=1)
    await owe(store, "wiki")
    await store.pause(ClientId("wiki"))
    probed = await probe(store, clock)

    parked = await _ids(store, parked=True)

    pending = set(await _ids(store, state=DeliveryState.PENDING))
    assert set(parked) == pending - set(await _ids(store, client_id="mail"))
    assert probed.id not in parked
    assert len(await _ids(store, parked=True, client_id="wiki")) == 1


async def test_lanes_that_are_not_open_are_counted(store: Store, clock: FakeClock) -> None:
    """The depth names each lane that is not open, with its state."""
    await park(store, clock)
    await owe(store, "mail")
    await store.pause(ClientId("wiki"))

    depth = await store.depth()

    assert depth.closed_lanes == {"shop": LaneState.PARKED, "wiki": LaneState.PAUSED}
