"""The machine's two clocks."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

TOLERATED_DRIFT = timedelta(seconds=2)


class SystemClock:
    """The wall clock, and a steady one anchored to it when the service starts.

    Due times and leases follow the steady one: a wall clock that is set back or forward neither
    holds a logout up nor sends it twice. Where replicas share a store, they ``follow`` its time.
    """

    def __init__(
        self,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._ahead = wall() - monotonic()
        self._latest = self._by_monotonic()

    def now(self) -> datetime:
        """Return the wall clock's time, in UTC."""
        return datetime.fromtimestamp(self._wall(), UTC)

    def steady(self) -> datetime:
        """Return a time that only goes forward."""
        self._latest = max(self._latest, self._by_monotonic())
        return datetime.fromtimestamp(self._latest, UTC)

    def follow(self, moment: datetime, took: timedelta) -> None:
        """Let the steady time be that of a store which told *moment* within the last *took*.

        It still only goes forward, and stands until a store that is a little behind catches up.
        Where it would have to stand for longer than is tolerated, it goes back: all that is due
        waits for the store's time, which will not come sooner for our being ahead of it.
        """
        ours, theirs = self._by_monotonic(), moment.timestamp()
        correction = min(max(ours, theirs), theirs + took.total_seconds()) - ours
        self._ahead += correction
        if correction < -TOLERATED_DRIFT.total_seconds():
            self._latest = self._by_monotonic()

    def _by_monotonic(self) -> float:
        return self._ahead + self._monotonic()

    def drift(self) -> timedelta:
        """Return how far the wall clock is ahead of the steady one (negative: behind)."""
        return self.now() - self.steady()

    def in_doubt(self) -> bool:
        """Whether the two have drifted apart further than is tolerated."""
        return abs(self.drift()) > TOLERATED_DRIFT
