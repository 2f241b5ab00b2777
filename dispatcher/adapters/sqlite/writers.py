"""Who runs the commands: a thread with group commit, or the caller itself.

The inline writer is for simulations on a clock that jumps while a thread works: the same SQL, one
command to a transaction.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

import anyio.lowlevel

from dispatcher.adapters.sqlite.transactions import Answer, Command, Scribe
from dispatcher.domain.errors import StoreUnavailable
from dispatcher.stored.hint import Stir

T = TypeVar("T")
_LARGEST_GROUP = 256

Stirred = Callable[[Stir], None]
"""Called on the event loop after a group that changed what is to be done."""


class Writer(Protocol):
    """Runs commands; when ``run`` returns, its command is on disk."""

    async def run(self, command: Command[T]) -> T:
        """Run *command* in a transaction; return or raise what it did."""

    async def close(self) -> None:
        """Finish what was asked for, then stop."""


class InlineWriter:
    """Runs each command at once, in the caller's own thread."""

    def __init__(self, scribe: Scribe, stirred: Stirred) -> None:
        self._scribe = scribe
        self._stirred = stirred
        self._closed = False

    async def run(self, command: Command[T]) -> T:
        """Run *command* in a transaction of its own."""
        # Before, not after: a caller that is cancelled here has not taken anything yet.
        await anyio.lowlevel.checkpoint()
        if self._closed:
            raise StoreUnavailable("The store is closed.")
        answers, stir = self._scribe.write([command])
        self._scribe.tidy()
        if stir is not None:
            self._stirred(stir)
        result: T = answers[0].get()
        return result

    async def close(self) -> None:
        """Stop."""
        self._closed = True
        self._scribe.close()


_Asked = tuple[Command[Any], "asyncio.Future[Any]"]


class ThreadWriter:
    """One thread that takes all that is waiting into one transaction.

    While one commit waits for the disk, the next group gathers: the busier, the larger the group.
    """

    def __init__(self, scribe: Scribe, stirred: Stirred) -> None:
        self._scribe = scribe
        self._stirred = stirred
        self._loop = asyncio.get_running_loop()
        self._asked: SimpleQueue[_Asked | None] = SimpleQueue()
        self._closed = False
        self._stopped: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._work, name="sqlite-writer", daemon=True)
        self._thread.start()

    async def run(self, command: Command[T]) -> T:
        """Run *command* with all that waits at the same moment; return or raise what it did."""
        if self._closed:
            raise StoreUnavailable("The store is closed.")
        future: asyncio.Future[T] = self._loop.create_future()
        self._asked.put((command, future))
        return await future

    async def close(self) -> None:
        """Finish what was asked for, then stop the thread."""
        if not self._closed:
            self._closed = True
            self._asked.put(None)
        await asyncio.shield(self._stopped)
        self._thread.join()

    def _work(self) -> None:
        while group := self._next_group():
            answers, stir = self._scribe.write([command for command, _ in group])
            self._on_loop(self._answer, group, answers, stir)
            self._scribe.tidy()
        self._scribe.close()
        self._on_loop(self._stop)

    def _next_group(self) -> list[_Asked]:
        """Return all that waits, once something does; nothing when the end was asked for."""
        group: list[_Asked] = []
        asked = self._asked.get()
        with contextlib.suppress(Empty):
            while asked is not None:
                group.append(asked)
                if len(group) == _LARGEST_GROUP:
                    return group
                asked = self._asked.get_nowait()
            if group:
                self._asked.put(None)  # nothing comes after the end: meet it once more, alone
        return group

    def _on_loop(self, function: Callable[..., None], *arguments: object) -> None:
        # A loop that is closed has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)

    def _answer(
        self, group: Sequence[_Asked], answers: Sequence[Answer], stir: Stir | None
    ) -> None:
        for (_, future), answer in zip(group, answers, strict=True):
            if future.done():
                continue
            if answer.error is None:
                future.set_result(answer.result)
            else:
                future.set_exception(answer.error)
        if stir is not None:
            self._stirred(stir)

    def _stop(self) -> None:
        if not self._stopped.done():
            self._stopped.set_result(None)
