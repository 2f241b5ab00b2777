"""Waiting: a source may hold on until the first outcomes of its event are known.

So an OP can hold its redirect until the applications have answered (RP-Initiated Logout 1.0 section
2 has them notified before it). All who wait are looked after by one loop, which asks the store one
question for all of them when something was matched or settled, and now and then besides: a lane may
be paused by hand, and another replica may settle what is waited for here.
"""

from datetime import timedelta

import anyio

from dispatcher.domain.events import EventId
from dispatcher.ports import Ledger

MOST_WAITING = 256
BREATH = timedelta(milliseconds=20)
"""How long the store is left in peace between two questions."""
UNASKED = timedelta(seconds=1)
"""How long nothing need have happened here until it is asked again."""


class Waiting:
    """Everybody who waits for first outcomes; in memory, and never more than *most*."""

    def __init__(self, *, ledger: Ledger, most: int = MOST_WAITING) -> None:
        self._ledger = ledger
        self._most = most
        self._waiters: dict[anyio.Event, EventId] = {}
        self._news = anyio.Event()
        self._closed = False

    async def first_outcomes(self, event_id: EventId, *, at_most: timedelta) -> bool:
        """Return True as soon as each delivery of the event was tried once, or can not be soon.

        False after *at_most*; at once where too many wait already, or the service is ending.
        """
        if self._closed or len(self._waiters) >= self._most:
            return False
        heard = anyio.Event()
        self._waiters[heard] = event_id
        self.stir()
        try:
            with anyio.move_on_after(at_most.total_seconds()):
                await heard.wait()
        finally:
            del self._waiters[heard]
        return heard.is_set() and not self._closed

    def stir(self) -> None:
        """Say that something was matched or settled, which somebody may wait for."""
        if self._waiters:
            self._news.set()

    def close(self) -> None:
        """Let everybody go unheard: the service is ending."""
        self._closed = True
        for waiter in self._waiters:
            waiter.set()

    async def run(self) -> None:
        """Look after all who wait, for ever."""
        while True:
            with anyio.move_on_after(UNASKED.total_seconds() if self._waiters else None):
                await self._news.wait()
            self._news = anyio.Event()
            if self._waiters:
                await self._look()
                await anyio.sleep(BREATH.total_seconds())

    async def _look(self) -> None:
        heard = set(await self._ledger.heard_of(set(self._waiters.values())))
        for waiter, event_id in self._waiters.items():
            if event_id in heard:
                waiter.set()
