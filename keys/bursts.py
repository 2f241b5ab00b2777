"""Bursts: what is asked for at one moment is done in a row.

A signature on an elliptic curve reads tables of 150 KB. Made amid other work it finds little of
them in the processor's caches, and leaves little there of what the other work needs: that costs
more than the signature itself, once for each, or once for a burst.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import anyio.lowlevel

_T = TypeVar("_T")


class _Call(Generic[_T]):
    """Something to be done, and what came of it."""

    __slots__ = ("_error", "_value", "_work", "done")

    def __init__(self, work: Callable[[], _T]) -> None:
        self.done = False
        self._work = work
        self._value: Any = None
        self._error: BaseException | None = None

    def perform(self) -> None:
        """Do it, and keep what came of it."""
        try:
            self._value = self._work()
        except BaseException as error:  # noqa: BLE001 - it is raised where the caller waits
            self._error = error
        self.done = True

    def get(self) -> _T:
        """Return or raise what came of it."""
        if self._error is not None:
            raise self._error
        value: _T = self._value
        return value


class Bursts:
    """Does what is asked for in one round of the event loop in a row, in the loop's own thread."""

    def __init__(self) -> None:
        self._asked: list[_Call[Any]] = []

    async def run(self, work: Callable[[], _T]) -> _T:
        """Return what *work* returns, or raise what it raises."""
        call = _Call(work)
        self._asked.append(call)
        # Whoever else is about to ask comes as far as this; the first to go on works for all.
        try:
            await anyio.lowlevel.checkpoint()
        except BaseException:
            if not call.done:
                self._asked.remove(call)
            raise
        if not call.done:
            asked, self._asked = self._asked, []
            for one in asked:
                one.perform()
        return call.get()
