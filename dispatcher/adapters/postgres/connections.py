"""Connections to the server, a few of them kept, and what their errors mean.

A driver's cancellation asks the server to stop, and waits for it: in vain, where the server is what
hangs. So nothing is cancelled here. What takes too long loses its socket, which the driver meets as
a broken connection like any other; and who waits for a transaction and goes away leaves it to end
by itself.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.pq import TransactionStatus

from dispatcher.domain.errors import StoreUnavailable

PATIENCE = timedelta(seconds=1.75)
"""How long anything may take, before whoever asked is told that the store does not answer.

A webhook is to be answered within 2 s, and there is more to an answer than the store.
"""
KEPT = 8
"""How many connections a process keeps at most, the listener's aside."""
_NAME = "backchannel-logout-dispatcher"

Connection = AsyncConnection[tuple[Any, ...]]


async def connect(url: str, deadline: float) -> Connection:
    """Open a connection that keeps no prepared statement, so that a pooler may stand in between."""
    async with asyncio.timeout_at(deadline):
        return await AsyncConnection.connect(
            url,
            autocommit=True,
            prepare_threshold=None,
            cursor_factory=AsyncRawCursor,
            application_name=_NAME,
            client_encoding="utf8",
        )


def deadline_in(patience: timedelta) -> float:
    """Return when *patience* ends, by the event loop's clock."""
    return asyncio.get_running_loop().time() + patience.total_seconds()


@contextmanager
def cut_at(connection: Connection, deadline: float) -> Iterator[None]:
    """Take the socket away from what has not ended at the *deadline*."""
    timer = asyncio.get_running_loop().call_at(deadline, _cut, connection)
    try:
        yield
    finally:
        timer.cancel()


def _cut(connection: Connection) -> None:
    with (
        contextlib.suppress(OSError, psycopg.Error),
        socket.socket(fileno=os.dup(connection.fileno())) as other_handle,
    ):
        other_handle.shutdown(socket.SHUT_RDWR)


class Pool:
    """Keeps up to ``KEPT`` connections that work; new ones are opened by whoever needs one."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._idle: list[Connection] = []
        self._room = asyncio.Semaphore(KEPT)

    @asynccontextmanager
    async def place(self, deadline: float) -> AsyncIterator[None]:
        """Wait for one's turn to have a connection."""
        async with asyncio.timeout_at(deadline):
            await self._room.acquire()
        try:
            yield
        finally:
            self._room.release()

    def kept(self) -> Connection | None:
        """Return a connection that is kept; its server may have ended it meanwhile."""
        return self._idle.pop() if self._idle else None

    async def give_back(self, connection: Connection) -> None:
        """Keep *connection*, if it is as good as new."""
        if connection.closed or connection.info.transaction_status is not TransactionStatus.IDLE:
            await connection.close()
        else:
            self._idle.append(connection)

    async def close(self) -> None:
        """Close what is kept."""
        while self._idle:
            await self._idle.pop().close()


def unavailable(error: Exception, url: str) -> StoreUnavailable:
    """Return what crosses the port instead of a vendor's *error*; never the password."""
    if isinstance(error, TimeoutError):
        told = f"no answer within {PATIENCE.total_seconds():g} s"
    else:
        told = str(error).strip().partition("\n")[0] or type(error).__name__
    for secret in _passwords(url):
        told = told.replace(secret, "…")
    translated = StoreUnavailable(f"The store does not answer: {told}")
    translated.__cause__ = error
    return translated


def _passwords(url: str) -> set[str]:
    """Return the password in *url*, as it is written and as it is meant."""
    password = urlsplit(url).password
    return {password, unquote(password)} - {""} if password else set()
