"""The machine's two clocks."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

TOLERATED_DRIFT = timedelta(seconds=2)


class SystemClock:
    """The wall clock, and a steady one anchored to it when the service starts.

    Due times and leases follow the steady one: a wall clock that is set back or forward neither
    holds a logout up nor sends it twice.
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

    def now(self) -> datetime:
        """Return the wall clock's time, in UTC."""
        return datetime.fromtimestamp(self._wall(), UTC)

    def steady(self) -> datetime:
        """Return a time that only goes forward."""
        return datetime.fromtimestamp(self._ahead + self._monotonic(), UTC)

    def drift(self) -> timedelta:
        """Return how far the wall clock is ahead of the steady one (negative: behind)."""
        return self.now() - self.steady()

    def in_doubt(self) -> bool:
        """Whether the two have drifted apart further than is tolerated."""
        return abs(self.drift()) > TOLERATED_DRIFT
