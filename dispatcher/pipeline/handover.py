"""Handing things over to whoever waits for one, oldest first."""

from collections import deque
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")


class Handover(Generic[T]):
    """A queue between tasks of one loop, for those who take until the end.

    anyio's own streams do this and more; on the way of every delivery, the more costs a third
    of a POST. Whoever is cancelled while it waits may leave something to the next call of `take`
    alone, so takers are to be cancelled together or not at all.
    """

    def __init__(self) -> None:
        self._things: deque[T] = deque()
        self._waiting: deque[anyio.Event] = deque()
        self._closed = False

    def put(self, thing: T) -> None:
        """Hand *thing* over to who has waited longest."""
        self._things.append(thing)
        if self._waiting:
            self._waiting.popleft().set()

    def close(self) -> None:
        """Let who takes know that nothing more comes."""
        self._closed = True
        while self._waiting:
            self._waiting.popleft().set()

    async def take(self) -> T | None:
        """Return the next thing; None where it was the last."""
        while not self._things:
            if self._closed:
                return None
            arrived = anyio.Event()
            self._waiting.append(arrived)
            await arrived.wait()
        return self._things.popleft()
