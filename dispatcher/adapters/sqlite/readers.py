"""Readers: short read transactions, each on a connection that can not write."""

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from queue import LifoQueue
from typing import Any, Protocol, TypeVar

import anyio.lowlevel
import apsw

from dispatcher.adapters.sqlite.connections import unavailable
from dispatcher.adapters.sqlite.transactions import read
from dispatcher.domain.errors import StoreUnavailable

T = TypeVar("T")
_THREADS = 2


class Reading:
    """What a query is given: one moment of the store, to read from."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def read(self, sql: str, *bindings: Any) -> Any:
        """Return the one value that *sql* selects, a JSON text read."""
        return read(self._connection, sql, *bindings)

    def named(self, sql: str, values: Mapping[str, str | int | None]) -> Any:
        """Return the one JSON text that *sql* selects, read, given its named parameters."""
        return json.loads(str(self._connection.execute(sql, dict(values)).get))


Query = Callable[[Reading], T]


class Readers(Protocol):
    """Runs queries, each at one moment of the store."""

    async def run(self, query: Query[T]) -> T:
        """Run *query* in a read transaction of its own."""

    def close(self) -> None:
        """Wait for what is running, then stop."""


def _ask(connection: apsw.Connection, query: Query[T]) -> T:
    """Run *query*; a transaction that is forgotten would let the log grow without end."""
    try:
        connection.execute("BEGIN")
        try:
            return query(Reading(connection))
        finally:
            connection.execute("ROLLBACK")
    except apsw.Error as error:
        raise unavailable(error) from error


class InlineReaders:
    """Runs each query at once, in the caller's own thread."""

    def __init__(self, opened: Callable[[], apsw.Connection]) -> None:
        self._connection = opened()

    async def run(self, query: Query[T]) -> T:
        """Run *query* in a read transaction of its own."""
        await anyio.lowlevel.checkpoint()
        return _ask(self._connection, query)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class ThreadReaders:
    """A few threads, so that a page that somebody reads holds up no delivery."""

    def __init__(self, opened: Callable[[], apsw.Connection]) -> None:
        self._idle: LifoQueue[apsw.Connection] = LifoQueue()
        for _ in range(_THREADS):
            self._idle.put(opened())
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="sqlite-reader")
        self._closed = False

    async def run(self, query: Query[T]) -> T:
        """Run *query* on one of the threads."""
        if self._closed:
            raise StoreUnavailable("The store is closed.")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._on_idle, query)

    def close(self) -> None:
        """Wait for what is running, then close the connections."""
        self._closed = True
        self._threads.shutdown()
        while not self._idle.empty():
            self._idle.get().close()

    def _on_idle(self, query: Query[T]) -> T:
        connection = self._idle.get()
        try:
            return _ask(connection, query)
        finally:
            self._idle.put(connection)
