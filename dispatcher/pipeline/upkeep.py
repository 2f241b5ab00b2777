"""Upkeep: what is over is forgotten in its time, what waits is counted, clocks are compared."""

from datetime import timedelta

import anyio
from anyio.lowlevel import checkpoint

from dispatcher.ports import PRUNED_AT_ONCE, Ledger, Queue, Retention, Telemetry

EVERY = timedelta(seconds=3)
"""How long what has to be told waits at most: a clock in doubt is an alert within five seconds."""


class Upkeep:
    """Prunes in bites, so that nothing else waits, and tells how much is waiting.

    The one does not wait for the other: there may be much to forget.
    """

    def __init__(
        self, *, queue: Queue, ledger: Ledger, telemetry: Telemetry, retention: Retention
    ) -> None:
        self._queue = queue
        self._ledger = ledger
        self._telemetry = telemetry
        self._retention = retention

    async def tell(self) -> None:
        """Tell how much is waiting, for ever."""
        while True:
            self._telemetry.waiting(await self._ledger.depth())
            await anyio.sleep(EVERY.total_seconds())

    async def tidy(self) -> None:
        """Forget what is over, for ever.

        What has come of age since the last look waits for the next: where as much grows old as
        comes, there is always a little, and a transaction for each row would never end.
        """
        while True:
            while await self._queue.prune(self._retention) >= PRUNED_AT_ONCE:
                await checkpoint()
            await anyio.sleep(EVERY.total_seconds())


async def watch_clock(telemetry: Telemetry) -> None:
    """Have the clocks compared for ever, by every process, and whatever its store does."""
    while True:
        telemetry.note_clock()
        await anyio.sleep(EVERY.total_seconds())
