"""Upkeep: what is over is forgotten when its retention has passed, and what waits is counted."""

from datetime import timedelta

import anyio
from anyio.lowlevel import checkpoint

from dispatcher.ports import Ledger, Queue, Retention, Telemetry

EVERY = timedelta(seconds=3)
"""How long what has to be told waits at most: a clock in doubt is an alert within five seconds."""


class Upkeep:
    """Prunes in bites, so that nothing else waits, and tells how much is waiting meanwhile."""

    def __init__(
        self, *, queue: Queue, ledger: Ledger, telemetry: Telemetry, retention: Retention
    ) -> None:
        self._queue = queue
        self._ledger = ledger
        self._telemetry = telemetry
        self._retention = retention

    async def run(self) -> None:
        """Tidy up for ever."""
        while True:
            until = anyio.current_time() + EVERY.total_seconds()
            self._telemetry.waiting(await self._ledger.depth())
            while await self._queue.prune(self._retention) and anyio.current_time() < until:
                await checkpoint()
            await anyio.sleep_until(until)

    async def tell(self) -> None:
        """Tell how much is waiting, for ever, and leave the tidying to others."""
        while True:
            self._telemetry.waiting(await self._ledger.depth())
            await anyio.sleep(EVERY.total_seconds())
