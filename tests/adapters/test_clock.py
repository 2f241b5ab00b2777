"""The machine's two clocks: one that others read, and one that nobody can set."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.adapters.clock import SystemClock

MOMENT = datetime(2026, 1, 15, 12, tzinfo=UTC)


@dataclass
class Machine:
    """What a machine's two clocks show, in seconds."""

    wall: float = MOMENT.timestamp()
    monotonic: float = 1000.0

    def clock(self) -> SystemClock:
        """Start a service's clock on this machine."""
        return SystemClock(wall=lambda: self.wall, monotonic=lambda: self.monotonic)

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += seconds
        self.monotonic += seconds


def test_both_times_start_together() -> None:
    """The steady time is anchored to the wall clock's when the service starts, both in UTC."""
    clock = Machine().clock()

    assert clock.now() == clock.steady() == MOMENT
    assert (clock.now().tzinfo, clock.steady().tzinfo) == (UTC, UTC)
    assert not clock.in_doubt()


def test_both_times_go_on() -> None:
    """While nobody sets the wall clock, the two show the same."""
    machine = Machine()
    clock = machine.clock()

    machine.pass_time(3600)

    assert clock.now() == clock.steady() == MOMENT + timedelta(hours=1)


@pytest.mark.parametrize("step", [-86400.0, -5.0, 5.0, 86400.0])
def test_the_steady_time_is_not_set(step: float) -> None:
    """A wall clock that is set moves what others read, and nothing that is due."""
    machine = Machine()
    clock = machine.clock()

    machine.wall += step

    assert clock.steady() == MOMENT
    assert clock.now() == MOMENT + timedelta(seconds=step)
    assert clock.drift() == timedelta(seconds=step)


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(-1e6, 1e6))))
def test_the_steady_time_never_goes_back(happened: list[tuple[float, float]]) -> None:
    """Whatever is done to the wall clock, the steady time only goes forward."""
    machine = Machine()
    clock = machine.clock()
    seen = [clock.steady()]

    for passed, step in happened:
        machine.pass_time(passed)
        machine.wall += step
        seen.append(clock.steady())

    assert seen == sorted(seen)


@pytest.mark.parametrize(
    ("step", "doubted"), [(2.0, False), (-2.0, False), (2.001, True), (-2.001, True), (0.5, False)]
)
def test_a_clock_that_was_set_is_in_doubt(step: float, *, doubted: bool) -> None:
    """Over two seconds between the two put the clock in doubt, in either direction."""
    machine = Machine()
    clock = machine.clock()

    machine.wall += step

    assert clock.in_doubt() is doubted


def test_doubt_ends_with_its_reason() -> None:
    """A wall clock that is set right again is believed again."""
    machine = Machine()
    clock = machine.clock()
    machine.wall += 3600
    assert clock.in_doubt()

    machine.wall -= 3600

    assert not clock.in_doubt()


def test_the_machines_own_clocks_are_read() -> None:
    """Without other word the wall clock is the machine's, and the steady one starts from it."""
    before = time.time()
    clock = SystemClock()

    told = clock.now().timestamp()

    assert before <= told <= time.time()
    assert not clock.in_doubt()


@pytest.mark.parametrize("ahead", [-86400.0, -1.0, 0.0, 1.0, 86400.0])
def test_the_steady_time_follows_a_stores(ahead: float) -> None:
    """Once a store has told its time, due times are by it; the wall clock stays what it is."""
    machine = Machine()
    clock = machine.clock()
    clock.follow(MOMENT + timedelta(seconds=ahead), timedelta())
    machine.pass_time(10)

    assert clock.steady() == MOMENT + timedelta(seconds=ahead + 10)
    assert clock.now() == MOMENT + timedelta(seconds=10)
    assert clock.in_doubt() is (abs(ahead) > 2)


@given(ahead=st.floats(-3600, 3600), took=st.floats(0, 5))
def test_what_may_be_right_is_left(ahead: float, took: float) -> None:
    """A store's answer that was on its way for a while corrects no more than it proves."""
    machine = Machine()
    clock = machine.clock()

    clock.follow(MOMENT + timedelta(seconds=ahead), timedelta(seconds=took))
    machine.pass_time(10)

    earliest = MOMENT + timedelta(seconds=ahead + 10)
    latest = earliest + timedelta(seconds=took)
    assert earliest <= clock.steady() <= latest
    if -took <= ahead <= 0:
        assert clock.steady() == MOMENT + timedelta(seconds=10)


def test_the_steady_time_stands_rather_than_goes_back() -> None:
    """A store that is a little behind makes the steady time stand until it has caught up."""
    machine = Machine()
    clock = machine.clock()
    shown = [clock.steady()]

    clock.follow(MOMENT - timedelta(seconds=1), timedelta())
    for _ in range(4):
        shown.append(clock.steady())
        machine.pass_time(0.5)

    assert shown == sorted(shown)
    assert clock.steady() == MOMENT + timedelta(seconds=1)
