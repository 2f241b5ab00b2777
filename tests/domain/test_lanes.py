"""Lanes: when an application is spared, how it is tried again, and how it comes back."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dispatcher.domain.deliveries import (
    Acknowledged,
    Cause,
    LeaseId,
    Outcome,
    Refused,
    Unreachable,
    Withheld,
)
from dispatcher.domain.lanes import LONGEST_HOLD, NEVER, PARKS_AFTER, Lane, LaneState
from tests.domain.builders import HOUR, MINUTE, NOW, SECOND

DOWN = Unreachable(cause=Cause.TIMEOUT)
OURS = Withheld(cause=Cause.SIGNER)
ANSWERS: Sequence[Outcome] = (Acknowledged(status=200), Refused(status=400))
FIRST, LATER = LeaseId(1), LeaseId(2)


def too_many(wish: timedelta | None = None) -> Unreachable:
    """Return a 429, with its Retry-After."""
    return Unreachable(cause=Cause.STATUS, status=429, retry_after=wish)


def after(lane: Lane, *outcomes: Outcome, at: datetime = NOW, lease: LeaseId = FIRST) -> Lane:
    """Return *lane* after *outcomes*, all at one time."""
    for outcome in outcomes:
        lane = lane.after(outcome, at, lease)
    return lane


def a_parked_lane() -> Lane:
    """Return a lane that has just parked."""
    return after(Lane(), *[DOWN] * PARKS_AFTER)


def a_probing_lane(lease: LeaseId = LATER) -> Lane:
    """Return a lane whose first probe is under way."""
    return a_parked_lane().started(1, NOW + 5 * SECOND, lease)


def test_a_lane_that_is_well_is_open() -> None:
    """Of a lane that is well as many start as there is room for."""
    lane = Lane()

    assert (lane.state, lane.closed_until(NOW), lane.allowance(NOW)) == (LaneState.OPEN, None, None)


def test_a_lane_parks_at_the_fifth_in_a_row() -> None:
    """Four unreachable outcomes in a row leave a lane open, and the fifth parks it."""
    fourth = after(Lane(), *[DOWN] * 4)

    fifth = after(fourth, DOWN)

    assert (PARKS_AFTER, fourth.state, fourth.allowance(NOW)) == (5, LaneState.OPEN, None)
    assert (fifth.state, fifth.allowance(NOW)) == (LaneState.PARKED, 0)


@pytest.mark.parametrize("answer", ANSWERS)
def test_any_answer_breaks_the_row(answer: Outcome) -> None:
    """Whoever answers, well or ill, is there: the row begins anew, and the lane is well."""
    lane = after(Lane(), *[DOWN] * 4, answer)

    assert lane == Lane()
    assert after(lane, *[DOWN] * 4).state is LaneState.OPEN


def test_what_is_withheld_says_nothing() -> None:
    """A fault of ours neither counts in the row nor breaks it."""
    lane = after(Lane(), *[DOWN] * 4)

    assert after(lane, OURS) == lane
    assert after(lane, OURS, DOWN).state is LaneState.PARKED


def test_probes_become_rarer() -> None:
    """Probes come 5 s, 10 s and 15 s after what failed before, and once a minute after an hour."""
    lane, now, waits = a_parked_lane(), NOW, []
    while now < NOW + HOUR + 2 * MINUTE:
        until = lane.closed_until(now)
        assert until is not None
        waits.append(until - now)
        now = until
        lane = after(lane.started(1, now, LATER), DOWN, at=now, lease=LATER)

    assert [wait // SECOND for wait in waits[:5]] == [5, 10, 15, 15, 15]
    assert set(waits[2:-3]) == {15 * SECOND}
    assert set(waits[-2:]) == {60 * SECOND}


def test_a_parked_lane_starts_one_probe() -> None:
    """When its time has come a parked lane may start one delivery, and then none until it ends."""
    lane = a_parked_lane()
    due = NOW + 5 * SECOND

    probing = lane.started(1, due, LATER)

    assert (lane.allowance(due - timedelta.resolution), lane.allowance(due)) == (0, 1)
    assert (probing.state, probing.probe) == (LaneState.PROBING, LATER)
    assert (probing.closed_until(due + HOUR), probing.allowance(due + HOUR)) == (NEVER, 0)


@pytest.mark.parametrize("late", [DOWN, OURS])
def test_what_started_earlier_is_no_probe(late: Outcome) -> None:
    """An attempt from before the lane parked neither ends a probe nor gives it back."""
    lane = a_probing_lane()

    assert after(lane, late, lease=FIRST).state is LaneState.PROBING


def test_a_probe_that_was_not_made_is_made_again() -> None:
    """A probe that was given back may be made again at once, and counts for nothing."""
    lane = a_probing_lane().given_back(LATER)

    assert lane == a_parked_lane()
    assert lane.allowance(NOW + 5 * SECOND) == 1


def test_a_probe_that_was_kept_back_is_made_again_in_a_while() -> None:
    """A fault of ours that kept a probe back may last: the next one comes 5 s later, uncounted."""
    probed_at = NOW + HOUR

    lane = after(a_probing_lane(), OURS, at=probed_at, lease=LATER)

    assert lane.closed_until(probed_at) == probed_at + 5 * SECOND
    assert replace(lane, next_probe_at=a_parked_lane().next_probe_at) == a_parked_lane()


@pytest.mark.parametrize("lane", [Lane(), Lane(failures=4), a_parked_lane(), Lane().paused()])
def test_what_is_given_back_is_no_news(lane: Lane) -> None:
    """Whatever is given back that is no probe, the lane stays as it is."""
    assert lane.given_back(FIRST) is lane
    assert a_probing_lane().given_back(FIRST) == a_probing_lane()


def test_a_lane_is_carried_over_to_a_clock_that_is_behind() -> None:
    """What lies ahead stays as far ahead as it was; what is past already is left."""
    month = 720 * HOUR
    waiting = [a_parked_lane(), after(Lane(), too_many(MINUTE)), after(Lane(), ANSWERS[0])]

    carried = [lane.at_clock(NOW - month, behind=month) for lane in waiting]

    assert [lane.closed_until(NOW - month) for lane in carried] == [
        NOW - month + 5 * SECOND,
        NOW - month + MINUTE,
        None,
    ]
    assert [lane.parked_at for lane in carried] == [NOW - month, None, None]
    assert [lane.at_clock(NOW + HOUR, behind=month) for lane in waiting] == waiting


def test_a_lane_that_is_carried_over_is_not_closed_for_longer_than_any() -> None:
    """However far ahead its times lie, a lane is held or parked for no longer than lanes are."""
    ahead = NOW + 1000 * HOUR
    lane = Lane(
        state=LaneState.PARKED,
        parked_at=ahead,
        next_probe_at=ahead,
        opened_at=ahead,
        held_until=ahead,
    )

    carried = lane.at_clock(NOW, behind=HOUR)

    assert (carried.parked_at, carried.next_probe_at) == (NOW, NOW + MINUTE)
    assert (carried.opened_at, carried.held_until) == (NOW + LONGEST_HOLD, NOW + LONGEST_HOLD)


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("closed", [a_parked_lane(), a_probing_lane()])
def test_any_answer_opens_a_lane(closed: Lane, answer: Outcome) -> None:
    """Whoever answers is there again, be the answer to the probe or to an earlier attempt."""
    lane = after(closed, answer, at=NOW + HOUR)

    assert lane == Lane(opened_at=NOW + HOUR)


def test_a_flush_doubles_each_second() -> None:
    """A lane that has opened starts 10 in its first second, and twice as many in each next one."""
    lane, started = after(a_parked_lane(), ANSWERS[0]), []
    for second in range(10):
        now = NOW + second * SECOND
        count = lane.allowance(now)
        assert count is not None
        started.append(count)
        lane = lane.started(count, now, LATER)
        assert lane.closed_until(now) == now + SECOND

    assert started == [10 * 2**second for second in range(10)]


def test_a_flush_that_is_over_is_forgotten() -> None:
    """After ten seconds a lane that flushed is as well as any other."""
    over = NOW + 10 * SECOND

    lane = Lane(opened_at=NOW, flushed=400)

    assert lane.allowance(over) is None
    assert lane.started(3, over, FIRST) == Lane()


def test_a_lane_that_flushes_may_park_again() -> None:
    """Five in a row park a lane anew, however lately it opened."""
    lane = after(Lane(opened_at=NOW, flushed=5), *[DOWN] * 5)

    assert lane == a_parked_lane()


@pytest.mark.parametrize(
    ("wish", "held"),
    [(SECOND, SECOND), (LONGEST_HOLD, 15 * MINUTE), (HOUR, 15 * MINUTE), (365 * 24 * HOUR, None)],
)
def test_a_lane_is_held_as_it_was_asked_to(wish: timedelta, held: timedelta | None) -> None:
    """A 429 with Retry-After holds the whole lane, for 15 minutes at most."""
    until = NOW + (held or LONGEST_HOLD)

    lane = after(Lane(), too_many(wish))

    assert (lane.state, lane.closed_until(NOW)) == (LaneState.OPEN, until)
    assert lane.closed_until(until) is None
    assert lane.started(1, until, FIRST) == Lane()


def test_a_hold_breaks_the_row() -> None:
    """Whoever says when to come back is there: it counts as no failure."""
    lane = after(Lane(), *[DOWN] * 4, too_many(SECOND), *[DOWN] * 4)

    assert lane.state is LaneState.OPEN


@pytest.mark.parametrize("wish", [None, timedelta(), -SECOND])
def test_who_does_not_say_when_is_parked(wish: timedelta | None) -> None:
    """Without a Retry-After in the future a 429 is a failure as any other."""
    lane = after(Lane(), *[too_many(wish)] * 5)

    assert lane.state is LaneState.PARKED


def test_a_hold_is_never_made_shorter() -> None:
    """Of two wishes the later one counts."""
    lane = after(Lane(), too_many(MINUTE), too_many(SECOND))

    assert lane.closed_until(NOW) == NOW + MINUTE


def test_a_hold_outlives_what_becomes_of_the_lane() -> None:
    """Parked, opened, paused or resumed, a lane is held for as long as it was asked to."""
    held = after(Lane(), too_many(MINUTE))
    parked = after(held, *[DOWN] * 5)

    others = [parked, after(parked, ANSWERS[0]), held.paused().resumed(NOW)]

    assert {lane.closed_until(NOW) for lane in others} == {NOW + MINUTE}


def test_a_held_lane_opens_when_its_hold_ends() -> None:
    """A closed lane that answers, and is to be left alone for a while, flushes from then on."""
    asked = after(a_probing_lane(), too_many(MINUTE), lease=LATER)
    answered = after(Lane(), too_many(MINUTE), *[DOWN] * 5, ANSWERS[0])

    for lane in (asked, answered):
        assert (lane.state, lane.closed_until(NOW)) == (LaneState.OPEN, NOW + MINUTE)
        assert lane.allowance(NOW + MINUTE) == 10


@pytest.mark.parametrize("outcome", [*ANSWERS, DOWN, OURS, too_many(SECOND)])
def test_a_pause_outlasts_every_outcome(outcome: Outcome) -> None:
    """Whatever comes of what was in flight, a paused lane stays closed until it is resumed."""
    lane = after(a_probing_lane().paused(), *[outcome] * 6)

    assert (lane.state, lane.closed_until(NOW + HOUR)) == (LaneState.PAUSED, NEVER)
    assert lane.resumed(NOW + HOUR) == Lane(opened_at=NOW + HOUR, held_until=lane.held_until)


def test_only_a_paused_lane_is_resumed() -> None:
    """To resume a lane that nobody paused changes nothing."""
    lanes = [Lane(), a_parked_lane(), a_probing_lane(), after(Lane(), DOWN)]

    assert [lane.resumed(NOW) for lane in lanes] == lanes


def test_no_state_and_no_outcome_is_forgotten() -> None:
    """What is neither of the known states, nor of the known outcomes, is no lane's business."""
    strange: Any = "strange"
    lane = Lane(state=strange)

    with pytest.raises(AssertionError):
        lane.closed_until(NOW)
    with pytest.raises(AssertionError):
        after(lane, DOWN)
    with pytest.raises(AssertionError):
        after(Lane(), strange)


class Lanes(RuleBasedStateMachine):
    """A lane, and what was started in it, through whatever may happen to them."""

    def __init__(self) -> None:
        super().__init__()
        self.lane = Lane()
        self.now = NOW
        self.in_flight: list[LeaseId] = []
        self.probes: set[LeaseId] = set()
        self.row = 0
        self.paused = False
        self.leases = 0

    @rule(seconds=st.sampled_from([0.001, 0.5, 1, 5, 10, 15, 60, 4000]))
    def time_passes(self, seconds: float) -> None:
        """Move on."""
        self.now += timedelta(seconds=seconds)

    @rule(room=st.integers(1, 16))
    def claim(self, room: int) -> None:
        """Start as many as the lane allows, as a store does."""
        allowance = self.lane.allowance(self.now)
        count = room if allowance is None else min(room, allowance)
        if not count:
            return
        self.leases += 1
        lease = LeaseId(self.leases)
        if self.lane.state is LaneState.PARKED:
            assert count == 1
            self.probes.add(lease)
        self.lane = self.lane.started(count, self.now, lease)
        self.in_flight += [lease] * count

    @precondition(lambda self: self.in_flight)
    @rule(
        which=st.integers(0, 1000),
        outcome=st.sampled_from([*ANSWERS, *[DOWN] * 4, OURS, too_many(), too_many(20 * SECOND)]),
    )
    def settle(self, which: int, outcome: Outcome) -> None:
        """Let one attempt end."""
        lease = self.in_flight.pop(which % len(self.in_flight))
        before, self.lane = self.lane, self.lane.after(outcome, self.now, lease)
        self.probes.discard(lease)
        match outcome:
            case Withheld():
                assert self.lane.failures == before.failures
                assert self.lane.state in {before.state, LaneState.PARKED}
            case Unreachable() if outcome.retry_after is None:
                self._failed(before)
            case _:
                self._answered()

    def _failed(self, before: Lane) -> None:
        self.row += 1
        if before.state is LaneState.OPEN:
            parked = self.row >= PARKS_AFTER
            assert self.lane.state is (LaneState.PARKED if parked else LaneState.OPEN)
        else:
            assert self.lane.state in {before.state, LaneState.PARKED}

    def _answered(self) -> None:
        self.row = 0
        assert self.lane.failures == 0
        if not self.paused:
            assert self.lane.state is LaneState.OPEN
            self.probes.clear()

    @rule()
    def pause(self) -> None:
        """Stop the lane."""
        self.lane, self.paused, self.row = self.lane.paused(), True, 0
        self.probes.clear()

    @rule()
    def resume(self) -> None:
        """Let the lane go on."""
        self.lane = self.lane.resumed(self.now)
        self.row = 0 if self.paused else self.row
        self.paused = False

    @invariant()
    def closed_means_that_nothing_may_start(self) -> None:
        """Nothing may start exactly where the lane is closed until a later time."""
        until = self.lane.closed_until(self.now)
        assert (until is None) == (self.lane.allowance(self.now) != 0)
        assert until is None or until > self.now

    @invariant()
    def it_is_open_when_it_is_said_to_be(self) -> None:
        """When the time comes until which a lane is closed, something may be started."""
        until = self.lane.closed_until(self.now)
        assert until is None or until == NEVER or self.lane.closed_until(until) is None

    @invariant()
    def a_pause_wins(self) -> None:
        """See that a lane is paused from the pause to the resumption."""
        assert (self.lane.state is LaneState.PAUSED) == self.paused

    @invariant()
    def one_probe_at_a_time(self) -> None:
        """See that a lane probes exactly while its one probe is in flight."""
        probing = self.lane.state is LaneState.PROBING
        assert (self.lane.probe is not None) == probing
        assert self.probes == ({self.lane.probe} if probing else set())
        assert not probing or self.in_flight.count(self.lane.probe or FIRST) == 1

    @invariant()
    def nothing_is_closed_for_ever(self) -> None:
        """Nobody's help is needed to open a lane again, unless somebody paused it."""
        until = self.lane.closed_until(self.now)
        if until is not None and not self.paused and not self.in_flight:
            assert until <= self.now + LONGEST_HOLD

    @invariant()
    def a_lane_can_be_well_again(self) -> None:
        """To be well a lane needs one answer, and the time that it asked for."""
        if not self.paused:
            lane = self.lane.after(ANSWERS[0], self.now, FIRST)
            late = self.now + HOUR
            assert replace(lane.started(1, late, FIRST), failures=0) == Lane()


TestLanes = Lanes.TestCase
TestLanes.settings = settings(max_examples=200, stateful_step_count=40)
