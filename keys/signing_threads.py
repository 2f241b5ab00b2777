"""Threads that sign, so that the event loop does not.

`cryptography` lets go of the interpreter lock while it signs, so every core can sign at once. A
hop through `anyio.to_thread` costs 80 to 110 µs of CPU, a third of an RSA signature; here a call
goes down by a SimpleQueue, and one wake-up of the loop brings back several results: 15 to 40 µs
when many sign at once.
"""

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, TypeVar

from keys.errors import KeyUnavailable

_T = TypeVar("_T")
_GATHERED = 16
"""How many results wait, while there is more to sign, until the loop is woken for them."""


class _Call(NamedTuple):
    future: asyncio.Future[Any]
    work: Callable[[], Any]


class _Result(NamedTuple):
    future: asyncio.Future[Any]
    value: Any
    error: BaseException | None


class SigningThreads:
    """A fixed number of daemon threads that serve the asyncio loop they were made in."""

    def __init__(self, count: int | None = None) -> None:
        """Start `count` threads, at least one; None means one per core. Needs a running loop."""
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._results: deque[_Result] = deque()
        self._woken = False
        self._closed = False
        size = (os.cpu_count() or 1) if count is None else count
        self._loop = asyncio.get_running_loop()
        self._threads = [
            Thread(target=self._serve, name=f"signing-{n}", daemon=True) for n in range(size)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, work: Callable[[], _T]) -> _T:
        """Return what `work` returns, or raise what it raises; KeyUnavailable once closed."""
        if self._closed:
            raise KeyUnavailable("The vault is closed.")
        future: asyncio.Future[_T] = self._loop.create_future()
        self._calls.put(_Call(future, work))
        return await future

    def close(self) -> None:
        """Let the threads finish what they were given, and end. It may be called twice."""
        self._closed = True
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()
        self._threads = []

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            if not call.future.cancelled():
                self._results.append(_perform(call))
            if self._calls.empty() or len(self._results) >= _GATHERED:
                self._wake()
        self._wake()

    def _wake(self) -> None:
        # The flag is lowered before the results are taken, so one that comes later wakes again.
        if self._woken:
            return
        self._woken = True
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._woken = False
        while self._results:
            result = self._results.popleft()
            if result.future.done():  # its caller was cancelled
                continue
            if result.error is None:
                result.future.set_result(result.value)
            else:
                result.future.set_exception(result.error)


def _perform(call: _Call) -> _Result:
    try:
        return _Result(call.future, call.work(), None)
    except BaseException as error:  # noqa: BLE001 - it is raised where the caller waits
        return _Result(call.future, None, error)
