"""When a delivery is tried again.

The schedule is front-loaded, since a late logout is a live session, and then patient, since nothing
is ever discarded before its horizon: the application's longest session life.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

SCHEDULE: tuple[timedelta, ...] = (
    timedelta(seconds=1),
    timedelta(seconds=5),
    timedelta(seconds=15),
    timedelta(seconds=60),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(minutes=30),
    timedelta(hours=1),
)
"""The waits between attempts; the last one repeats. The first attempt is made at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """One application's schedule, and how long it is followed (``horizon``)."""

    horizon: timedelta = timedelta(hours=168)
    schedule: Sequence[timedelta] = SCHEDULE
    slow_tail: timedelta = timedelta(minutes=5)
    longest_retry_after: timedelta = timedelta(minutes=15)
    after_refusal: timedelta = timedelta(seconds=60)
    second_chances: int = 1
    shortest_withheld: timedelta = timedelta(seconds=1)
    longest_withheld: timedelta = timedelta(seconds=60)
    jitter: float = 0.2

    def wait_after(
        self, tries: int, *, slow: bool = False, retry_after: timedelta | None = None
    ) -> timedelta:
        """Return the wait after the *tries*-th try in vain, before jitter.

        *slow* skips to the schedule's slow tail. *retry_after* is the application's own wish: it
        only ever makes the wait longer, and no longer than ``longest_retry_after``.
        """
        wait = self.schedule[min(tries, len(self.schedule)) - 1]
        if slow:
            wait = max(wait, self.slow_tail)
        if retry_after is not None:
            wait = max(wait, min(retry_after, self.longest_retry_after))
        return wait

    def wait_withheld(self, age: timedelta) -> timedelta:
        """Return the wait after a fault of ours kept a token back that has been owed for *age*.

        It grows with what is owed, since nothing is counted: a fault that lasts is met once a
        minute, and none makes a logout later by more than an eighth of what it is late already.
        """
        return max(self.shortest_withheld, min(age / 8, self.longest_withheld))

    @property
    def longest_wait(self) -> timedelta:
        """What no wait is longer than, with all of its jitter."""
        return max(self.schedule[-1], self.longest_retry_after) * (1 + self.jitter)
