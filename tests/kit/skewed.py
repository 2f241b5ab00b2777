"""The service on a wall clock that a test sets: ``python -m tests.kit.skewed serve``.

The file that ``TEST_CLOCK`` names holds how many seconds the clock is ahead. With
``TEST_ONE_CLOCK`` the steady clock follows the wall clock, and no store's, which it must not: what
a test sees then is a service whose guard was removed.
"""

import mmap
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from dispatcher import app
from dispatcher.__main__ import main
from dispatcher.adapters.clock import SystemClock

FILE, ONE_CLOCK = "TEST_CLOCK", "TEST_ONE_CLOCK"
_SECONDS = struct.Struct("d")


@dataclass(frozen=True, slots=True)
class SetClock:
    """A clock that can be set, also from another process."""

    shared: mmap.mmap

    def set_ahead(self, seconds: float) -> None:
        """Set the clock so many seconds forward of the time; back where they are negative."""
        _SECONDS.pack_into(self.shared, 0, seconds)

    def __call__(self) -> float:
        """Return the time as this clock shows it."""
        ahead: float = _SECONDS.unpack_from(self.shared)[0]
        return time.time() + ahead


@contextmanager
def a_clock(path: Path) -> Iterator[SetClock]:
    """Open the clock in the file *path*, right if it is new."""
    if not path.exists():
        path.write_bytes(_SECONDS.pack(0.0))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), _SECONDS.size) as shared:
        yield SetClock(shared)


class OneClock(SystemClock):
    """A wall clock by which everything is due."""

    def __init__(self, *, wall: SetClock) -> None:
        super().__init__(wall=wall, monotonic=wall)

    def follow(self, moment: datetime, took: timedelta) -> None:
        """Do not."""


if __name__ == "__main__":
    with a_clock(Path(os.environ[FILE])) as clock:
        made = OneClock if os.environ.get(ONE_CLOCK) else SystemClock
        setattr(app, "SystemClock", partial(made, wall=clock))  # noqa: B010 - it is no name of app's own
        main()
