"""Connections that are kept: one pool per application and origin, never shared between two.

A connection is authorised once, by the address check and by TLS; if another application, or another
name on the same address, could take it over, a token would go where nobody checked.
"""

import asyncio
from collections import deque

from dispatcher.adapters.egress.connection import Connection


class Pool:
    """The connections of one application to one origin; at most *limit* are in use at once."""

    __slots__ = ("_idle", "_waiting", "busy")

    def __init__(self) -> None:
        self.busy = 0
        self._idle: list[Connection] = []
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def empty(self) -> bool:
        """Whether nothing would be lost with this pool."""
        return not (self.busy or self._idle)

    async def enter(self, limit: int, *, deadline: float) -> None:
        """Take a place in the pool, waiting for one while *limit* are taken.

        Raises TimeoutError at *deadline*, a time of the loop's.
        """
        while self.busy >= limit:
            async with asyncio.timeout_at(deadline):
                await self._a_place()
        self.busy += 1

    async def _a_place(self) -> None:
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except BaseException:
            self._pass_on(place)
            raise

    def leave(self) -> None:
        """Give the place back."""
        self.busy -= 1
        self._wake_one()

    def _pass_on(self, place: "asyncio.Future[None]") -> None:
        """Let nobody miss a place that was offered to one who is gone."""
        if place in self._waiting:
            self._waiting.remove(place)
        elif not place.cancelled():
            self._wake_one()

    def _wake_one(self) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return

    def take(self, now: float) -> Connection | None:
        """Return the kept connection that was used last, if one is still fit."""
        while self._idle:
            connection = self._idle.pop()
            if connection.fit(now):
                return connection
            connection.abort()
        return None

    def keep(self, connection: Connection) -> None:
        """Keep *connection* for the next POST."""
        self._idle.append(connection)

    def sweep(self, now: float) -> None:
        """Close what has been kept for too long."""
        fit = [connection for connection in self._idle if connection.fit(now)]
        for connection in self._idle:
            if connection not in fit:
                connection.abort()
        self._idle = fit

    def close(self) -> None:
        """Close all that is kept."""
        while self._idle:
            self._idle.pop().abort()
