"""The machine's two clocks."""

import time
from datetime import UTC, datetime, timedelta

TOLERATED_DRIFT = timedelta(seconds=2)


class SystemClock:
    """The wall clock, and a steady one anchored to it when the service starts.

    Due times and leases follow the steady one: a wall clock that is set back or forward neither
    holds a logout up nor sends it twice.
    """

    def __init__(self) -> None:
        self._anchor = datetime.now(UTC)
        self._started = time.monotonic()

    def now(self) -> datetime:
        """Return the wall clock's time, in UTC."""
        return datetime.now(UTC)

    def steady(self) -> datetime:
        """Return a time that only goes forward."""
        return self._anchor + timedelta(seconds=time.monotonic() - self._started)

    def drift(self) -> timedelta:
        """Return how far the wall clock is ahead of the steady one (negative: behind)."""
        return self.now() - self.steady()

    def in_doubt(self) -> bool:
        """Whether the two have drifted apart further than is tolerated."""
        return abs(self.drift()) > TOLERATED_DRIFT
