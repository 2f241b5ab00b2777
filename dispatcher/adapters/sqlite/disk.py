"""The disk's reserve: what is left is kept for recording outcomes."""

import os
from datetime import datetime, timedelta
from pathlib import Path

from dispatcher.ports import Clock

_FRESH = timedelta(seconds=1)


class DiskReserve:
    """Tells whether the disk at *path* has less than *reserve* bytes free, asked once a second."""

    def __init__(self, path: Path, reserve: int, clock: Clock) -> None:
        self._folder = path.parent
        self._reserve = reserve
        self._clock = clock
        self._asked_at: datetime | None = None
        self._low = False

    def low(self) -> bool:
        """Whether free disk is below the reserve; a disk that does not answer is low."""
        now = self._clock.steady()
        if self._asked_at is None or now - self._asked_at >= _FRESH:
            self._low = self._ask()
            self._asked_at = now
        return self._low

    def _ask(self) -> bool:
        if self._reserve <= 0:
            return False
        try:
            disk = os.statvfs(self._folder)
        except OSError:
            return True
        return disk.f_bavail * disk.f_frsize < self._reserve
