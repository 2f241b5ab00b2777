"""Settling: what became of deliveries is written down, as many at once as have come in.

While one batch is being committed the next one gathers, so that under load a commit is shared by
many deliveries, and an idle service settles each at once.
"""

from collections.abc import Callable, Sequence

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from dispatcher.domain.deliveries import Settled
from dispatcher.domain.errors import Unavailable
from dispatcher.ports import Queue, Telemetry

PATIENCE_SECONDS = 0.25
"""How long to wait for a store that does not answer before it is asked again."""


class Settler:
    """Writes settlements down until its stream ends, and says whose slots became free."""

    def __init__(
        self, *, queue: Queue, telemetry: Telemetry, freed: Callable[[Sequence[Settled]], None]
    ) -> None:
        self._queue = queue
        self._telemetry = telemetry
        self._freed = freed

    async def run(self, finished: MemoryObjectReceiveStream[Settled]) -> None:
        """Settle everything that comes out of *finished*."""
        async for first in finished:
            batch = [first, *_gathered(finished)]
            held = await self._written(batch)
            self._freed(batch)
            for settled, ours in zip(batch, held, strict=True):
                self._tell(settled, held=ours)

    def _tell(self, settled: Settled, *, held: bool) -> None:
        """Tell of a settlement, after it was written down: what goes wrong here changes nothing."""
        try:
            self._telemetry.settled(settled, held=held)
        except Exception as error:  # noqa: BLE001 - it is only the telling that went wrong
            self._telemetry.worker_failed("telemetry", error)

    async def _written(self, batch: list[Settled]) -> list[bool]:
        """Write *batch* down, however long the store takes: a lost outcome would be sent again.

        If a lease ends meanwhile the write is fenced, and the delivery is somebody else's.
        """
        while True:
            try:
                return list(await self._queue.settle(batch))
            except Unavailable as error:
                self._telemetry.worker_failed("settle", error)
                await anyio.sleep(PATIENCE_SECONDS)
            except Exception as error:  # noqa: BLE001 - whatever it is, the others must go on
                self._telemetry.worker_failed("settle", error)
                return await self._one_by_one(batch)

    async def _one_by_one(self, batch: list[Settled]) -> list[bool]:
        """Write down what can be; what can not is let go of, and sent again when its lease ends."""
        if len(batch) == 1:
            return [False]
        return [held for settled in batch for held in await self._written([settled])]


def _gathered(finished: MemoryObjectReceiveStream[Settled]) -> list[Settled]:
    gathered: list[Settled] = []
    while True:
        try:
            gathered.append(finished.receive_nowait())
        except (anyio.WouldBlock, anyio.EndOfStream):
            return gathered
