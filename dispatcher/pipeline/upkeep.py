"""Upkeep: what is over is forgotten when its retention has passed."""

from collections.abc import Callable
from datetime import timedelta

import anyio
from anyio.lowlevel import checkpoint

from dispatcher.ports import Queue, Retention

EVERY = timedelta(seconds=30)


class Upkeep:
    """Prunes in bites, so that nothing else waits, and notes the state of things now and then."""

    def __init__(
        self, *, queue: Queue, retention: Retention, checks: Callable[[], None] = lambda: None
    ) -> None:
        self._queue = queue
        self._retention = retention
        self._checks = checks

    async def run(self) -> None:
        """Tidy up for ever."""
        while True:
            self._checks()
            while await self._queue.prune(self._retention):
                await checkpoint()
            await anyio.sleep(EVERY.total_seconds())
