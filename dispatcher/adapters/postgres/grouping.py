"""Accepting in groups: what webhooks bring while a group is written goes into the next one.

One flush to the disk is shared by all that waited for it: the busier, the larger the group.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence

import psycopg

from dispatcher.adapters.postgres.connections import PATIENCE, unavailable
from dispatcher.adapters.postgres.engine import Engine
from dispatcher.adapters.postgres.intake import Overtaken, accept_all
from dispatcher.domain.errors import StoreUnavailable
from dispatcher.domain.events import Receipt
from dispatcher.stored.intake import Batch, Taken

_LARGEST_GROUP = 128
_GROUPS_AT_ONCE = 2
"""While one waits for the disk, another one is written."""

_TRIES = 3

_Asked = tuple[Batch, "asyncio.Future[Sequence[Receipt]]"]


class Gathering:
    """Gathers batches into groups, each of which is one transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._asked: deque[_Asked] = deque()
        self._at_work = 0

    async def accept(self, batch: Batch) -> Sequence[Receipt]:
        """Take *batch* in, together with all that waits at the same moment.

        The turn that it waits for counts: whoever asks is told in time what became of it.
        """
        future: asyncio.Future[Sequence[Receipt]] = asyncio.get_running_loop().create_future()
        self._asked.append((batch, future))
        if self._at_work < _GROUPS_AT_ONCE:
            self._at_work += 1
            self._engine.start(self._work())
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()):
                return await future
        except TimeoutError as error:
            raise unavailable(error, self._engine.url) from error

    async def _work(self) -> None:
        while group := self._next_group():
            await self._take(group)
        self._at_work -= 1

    def _next_group(self) -> list[_Asked]:
        group: list[_Asked] = []
        intakes = 0
        while self._asked and (not group or intakes + len(self._asked[0][0]) <= _LARGEST_GROUP):
            batch, future = self._asked.popleft()
            if not future.done():  # else nobody waits for it any more
                group.append((batch, future))
                intakes += len(batch)
        return group

    async def _take(self, group: Sequence[_Asked]) -> None:
        """Take *group* in, and tell each of those who wait what became of it."""
        try:
            taken = await self._taken([batch for batch, _ in group])
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must be told
            if len(group) > 1 and _is_fault_of_one_batch(error):
                for one in group:
                    await self._take([one])
                return
            taken = [error] * len(group)
        for (_, future), told in zip(group, taken, strict=True):
            if future.done():
                continue  # whoever asked is gone
            if isinstance(told, Exception):
                future.set_exception(told)
            else:
                future.set_result(told)

    async def _taken(self, batches: Sequence[Batch]) -> Sequence[Taken | Exception]:
        for _ in range(_TRIES):
            with contextlib.suppress(Overtaken):
                return await self._engine.run(lambda tx: accept_all(tx, batches))
        raise StoreUnavailable("Other replicas take in the same ids all the time.")


def _is_fault_of_one_batch(error: Exception) -> bool:
    """Whether a text that no store can keep spoils the batch that holds it, and nobody else's."""
    return isinstance(error, UnicodeError) or isinstance(error.__cause__, psycopg.DataError)
