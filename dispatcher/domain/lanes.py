"""Lanes: one application's deliveries, and the breaker that spares it and everybody else.

A lane parks after a row of unreachable outcomes, so that a dead application costs one probe now and
then instead of every slot. Being parked is a fact of the lane, never written to its deliveries, and
costs them nothing. Any answer, good or bad, opens the lane; then it flushes what has gathered, at a
rate that doubles each second, so that whoever has just come back is not knocked down again.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import assert_never

from dispatcher.domain.deliveries import (
    Acknowledged,
    LeaseId,
    Outcome,
    Refused,
    Unreachable,
    Withheld,
)

TOO_MANY_REQUESTS = 429

PARKS_AFTER = 5
"""How many unreachable outcomes in a row park a lane."""
PROBES: tuple[timedelta, ...] = (
    timedelta(seconds=5),
    timedelta(seconds=10),
    timedelta(seconds=15),
)
"""The waits before the first probes; the last one repeats."""
AFTER_WITHHELD = timedelta(seconds=5)
"""The wait after a probe that a fault of ours kept back: it may keep the next one back too."""
LONG_PARKED, LONG_PARKED_PROBE = timedelta(hours=1), timedelta(seconds=60)
"""Whoever has been away for so long is probed at this pace."""
FLUSH_AT_FIRST = 10
"""Deliveries that a lane may start in its first second after it opens; each second doubles it."""
FLUSH_ENDS = timedelta(seconds=10)
"""After so long the flush is over: 10,000 a second is no limit to anybody."""
_SECOND = timedelta(seconds=1)
NEVER = datetime.max.replace(tzinfo=UTC)
"""Closed until something happens, not until some time."""
LONGEST_HOLD = timedelta(minutes=15)
"""How long a 429 can hold a lane at most."""


class LaneState(StrEnum):
    """Whether a lane's deliveries go out."""

    OPEN = "open"
    PARKED = "parked"
    PROBING = "probing"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """How one application has been doing.

    ``failures`` counts unreachable outcomes in a row. ``probes`` counts those made since
    ``parked_at``; the next may be made at ``next_probe_at``. ``probe`` is the lease of the one that
    is under way: what else was in flight when the lane parked ends as it will. ``opened_at`` is set
    while the lane flushes, and ``flushed`` counts what it has started since. ``held_until`` is the
    application's own wish (429), which outlives whatever else becomes of the lane.
    """

    state: LaneState = LaneState.OPEN
    failures: int = 0
    parked_at: datetime | None = None
    probes: int = 0
    next_probe_at: datetime | None = None
    probe: LeaseId | None = None
    opened_at: datetime | None = None
    flushed: int = 0
    held_until: datetime | None = None

    def closed_until(self, now: datetime) -> datetime | None:
        """Return before when nothing may be started; None where something may be started now."""
        closed = self._closed_by_state(now)
        if self.held_until is None or self.held_until <= now:
            return closed
        return max(self.held_until, closed or self.held_until)

    def _closed_by_state(self, now: datetime) -> datetime | None:
        match self.state:
            case LaneState.OPEN:
                return self._flush_closed_until(now)
            case LaneState.PARKED:
                due = self.next_probe_at
                return due if due is not None and now < due else None
            case LaneState.PROBING | LaneState.PAUSED:
                return NEVER
            case _:
                assert_never(self.state)

    def _flush_closed_until(self, now: datetime) -> datetime | None:
        if self.opened_at is None or self._flush_allowance(now) != 0:
            return None
        return self.opened_at + (self._flush_second(now) + 1) * _SECOND

    def allowance(self, now: datetime) -> int | None:
        """Return how many deliveries may be started now; None for as many as there is room for."""
        if self.closed_until(now) is not None:
            return 0
        return 1 if self.state is LaneState.PARKED else self._flush_allowance(now)

    def _flush_allowance(self, now: datetime) -> int | None:
        if self.opened_at is None or now - self.opened_at >= FLUSH_ENDS:
            return None
        return max(0, FLUSH_AT_FIRST * ((2 << self._flush_second(now)) - 1) - self.flushed)

    def _flush_second(self, now: datetime) -> int:
        return max(0, (now - (self.opened_at or now)) // _SECOND)

    def started(self, count: int, now: datetime, lease: LeaseId) -> "Lane":
        """Return the lane after *count* deliveries were started under *lease*: a probe, if parked.

        A flush that is over is forgotten, and so is a hold.
        """
        lane = replace(self, held_until=None)
        if lane.state is LaneState.PARKED:
            return replace(lane, state=LaneState.PROBING, probe=lease)
        if lane.opened_at is None:
            return lane
        if now - lane.opened_at >= FLUSH_ENDS:
            return replace(lane, opened_at=None, flushed=0)
        return replace(lane, flushed=lane.flushed + count)

    def after(self, outcome: Outcome, now: datetime, lease: LeaseId) -> "Lane":
        """Return the lane after the *outcome* of what was started under *lease*.

        A fault of ours says nothing of the application: it only puts off a probe.
        """
        match outcome:
            case Acknowledged() | Refused():
                return self._answered(now)
            case Unreachable():
                return self._unreachable(outcome, now, lease)
            case Withheld():
                return self._probe_withheld(now, lease)
            case _:
                assert_never(outcome)

    def _answered(self, now: datetime) -> "Lane":
        if self.state is LaneState.OPEN or self.state is LaneState.PAUSED:
            return self if not self.failures else replace(self, failures=0)
        return self._opened(now)

    def _opened(self, now: datetime) -> "Lane":
        """Return the lane as it starts to flush: now, or when it is no longer held."""
        return Lane(opened_at=max(now, self.held_until or now), held_until=self.held_until)

    def _unreachable(self, outcome: Unreachable, now: datetime, lease: LeaseId) -> "Lane":
        wish = outcome.retry_after or timedelta()
        if outcome.status == TOO_MANY_REQUESTS and wish > timedelta():
            return self._held(wish, now)
        failures = self.failures + 1
        match self.state:
            case LaneState.OPEN if failures >= PARKS_AFTER:
                return self._parked(failures, now)
            case LaneState.PROBING if lease == self.probe:
                return self._parked_again(failures, now)
            case LaneState.OPEN | LaneState.PARKED | LaneState.PROBING | LaneState.PAUSED:
                return replace(self, failures=failures)
            case _:
                assert_never(self.state)

    def _held(self, wish: timedelta, now: datetime) -> "Lane":
        """Hold the lane as it was asked to: whoever answers is there, and only wants less."""
        until = max(now + min(wish, LONGEST_HOLD), self.held_until or now)
        return replace(self._answered(until), held_until=until)

    def _parked(self, failures: int, now: datetime) -> "Lane":
        return Lane(
            state=LaneState.PARKED,
            failures=failures,
            parked_at=now,
            next_probe_at=now + PROBES[0],
            held_until=self.held_until,
        )

    def _parked_again(self, failures: int, now: datetime) -> "Lane":
        probes = self.probes + 1
        wait = PROBES[min(probes, len(PROBES) - 1)]
        if self.parked_at is not None and now - self.parked_at >= LONG_PARKED:
            wait = LONG_PARKED_PROBE
        return replace(
            self,
            state=LaneState.PARKED,
            failures=failures,
            probes=probes,
            next_probe_at=now + wait,
            probe=None,
        )

    def _probe_withheld(self, now: datetime, lease: LeaseId) -> "Lane":
        lane = self.given_back(lease)
        return lane if lane is self else replace(lane, next_probe_at=now + AFTER_WITHHELD)

    def given_back(self, lease: LeaseId) -> "Lane":
        """Return the lane after what was started under *lease* was not attempted after all.

        If that was the probe, it may be made again at once.
        """
        if self.state is not LaneState.PROBING or lease != self.probe:
            return self
        return replace(self, state=LaneState.PARKED, probe=None)

    def at_clock(self, now: datetime, *, behind: timedelta) -> "Lane":
        """Return the lane by a clock that reads *now*, which is *behind* the one it was kept by.

        What lies ahead is as far ahead as it was, and never further than a lane can plan.
        """

        def carried(moment: datetime | None, most: timedelta) -> datetime | None:
            if moment is None or moment <= now:
                return moment
            return min(moment - behind, now + most)

        return replace(
            self,
            parked_at=carried(self.parked_at, timedelta()),
            next_probe_at=carried(self.next_probe_at, LONG_PARKED_PROBE),
            opened_at=carried(self.opened_at, LONGEST_HOLD),
            held_until=carried(self.held_until, LONGEST_HOLD),
        )

    def paused(self) -> "Lane":
        """Return the lane as an operator stops it."""
        return Lane(state=LaneState.PAUSED, held_until=self.held_until)

    def resumed(self, now: datetime) -> "Lane":
        """Return the lane as an operator lets it go on; one that was not paused stays as it is."""
        return self._opened(now) if self.state is LaneState.PAUSED else self
