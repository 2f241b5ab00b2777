"""Signals: a replica tells the others that there may be something to do. A hint, never the truth.

Told in a transaction of its own, after the one that it is about, and at most once in a while: a
NOTIFY takes a lock that all of the server's transactions share when it commits. It is heard on a
connection of its own, to the server itself: a pooler that works by the transaction would go on
hearing for us, and tell whoever has the session next. What goes unheard is found by the next look
into the store. Whatever a round of these meets, the next one is made: who asks the store for
something is told of the same, and nobody would be of a task that has ended.
"""

import asyncio
import contextlib
from datetime import timedelta
from uuid import uuid4

from dispatcher.adapters.postgres.connections import (
    PATIENCE,
    Connection,
    connect,
    cut_at,
    deadline_in,
)
from dispatcher.adapters.postgres.engine import Engine
from dispatcher.adapters.postgres.transactions import READING, Transaction

_CHANNEL = "dispatcher"
_TELL = "SELECT pg_notify($1, $2)"
_WHO = "SELECT pg_backend_pid()"
AT_MOST_EVERY = timedelta(milliseconds=20)
PING_EVERY = timedelta(seconds=15)
"""A connection that is only listened on may be gone without anybody being told."""
LOOK_EVERY = timedelta(seconds=1)
"""How old the registry may be that an idle process knows."""
AGAIN_AFTER = timedelta(seconds=1)
_CANCEL_AGAIN = timedelta(milliseconds=100)


async def _look(_: Transaction) -> None:
    """Ask for nothing but what each transaction begins with: the time and the registry."""


class Signals:
    """Tells the other replicas, and listens to them at *url*."""

    def __init__(self, engine: Engine, url: str) -> None:
        self.listening = False
        """Whether the others are being heard."""
        self._engine = engine
        self._url = url
        self._name = uuid4().hex
        self._missed = False
        self._told = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._keep_telling()),
            loop.create_task(self._keep_listening()),
            loop.create_task(self._keep_looking()),
        ]

    async def close(self) -> None:
        """Stop."""
        running = set(self._tasks)
        while running:
            # Once may not be enough: up to Python 3.11, `wait_for` can lose a cancellation that
            # meets what it waits for, and the driver waits by it.
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=_CANCEL_AGAIN.total_seconds())

    async def _keep_telling(self) -> None:
        while True:
            await self._engine.news.wait()
            await asyncio.sleep(AT_MOST_EVERY.total_seconds())
            self._engine.news.clear()
            with contextlib.suppress(Exception):
                await self._engine.run(lambda tx: tx.rows(_TELL, _CHANNEL, self._name))

    async def _keep_looking(self) -> None:
        """Look into the store when told to, and once in a while: every look brings the registry.

        A process that only takes webhooks would else not know of a source that came meanwhile.
        """
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY.total_seconds()):
                    await self._told.wait()
            self._told.clear()
            with contextlib.suppress(Exception):
                await self._engine.run(_look, terms=READING)

    async def _keep_listening(self) -> None:
        while True:
            with contextlib.suppress(Exception):
                connection = await connect(self._url, deadline_in(PATIENCE))
                async with connection:
                    if not await _is_the_servers(connection):
                        return
                    await self._listen(connection)
            self.listening = False
            await asyncio.sleep(AGAIN_AFTER.total_seconds())

    async def _listen(self, connection: Connection) -> None:
        await connection.execute(f"LISTEN {_CHANNEL}".encode())
        self.listening = True
        if self._missed:
            self._engine.hint.wake()  # what was told meanwhile was not heard
        self._missed = True
        while True:
            async for told in connection.notifies(timeout=PING_EVERY.total_seconds()):
                if told.payload != self._name:
                    self._told.set()
                    self._engine.hint.wake()
            with cut_at(connection, deadline_in(PATIENCE)):
                await connection.execute(b"SELECT 1")


async def _is_the_servers(connection: Connection) -> bool:
    """Whether it is the server itself that is reached: a pooler tells of a pid that is another."""
    with cut_at(connection, deadline_in(PATIENCE)):
        row = await (await connection.execute(_WHO.encode())).fetchone()
    return row == (connection.info.backend_pid,)
