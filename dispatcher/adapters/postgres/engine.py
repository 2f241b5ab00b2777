"""What the doors of the store share: how a command is run, and what is known of the registry."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar

import anyio
import psycopg

from dispatcher.adapters.postgres.connections import (
    PATIENCE,
    Connection,
    Pool,
    connect,
    cut_at,
    deadline_in,
    unavailable,
)
from dispatcher.adapters.postgres.transactions import (
    WRITING,
    Command,
    Moment,
    Opened,
    Shelf,
    Terms,
    Transaction,
    begin,
)
from dispatcher.domain.errors import StoreUnavailable
from dispatcher.ports import Clock
from dispatcher.stored.books import Books
from dispatcher.stored.hint import Hint, Stir
from dispatcher.stored.values import moment
from keys import Seal

T = TypeVar("T")

Heard = Callable[[datetime, timedelta], None]
"""Told the database's time, and how long it took to hear it."""

_TRIES = 3
_TRY_AGAIN = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
_NEXT_DUE = """
SELECT min(moment) FROM (
    SELECT min(next_due_at) AS moment FROM lane WHERE next_due_at > $1 AND closed_until IS NULL
    UNION ALL SELECT min(closed_until) FROM lane WHERE closed_until > $1
    UNION ALL SELECT min(next_due_at) FROM lane WHERE closed_until <= $1 AND next_due_at > $1
    UNION ALL SELECT min(lease_until) FROM delivery WHERE state = 'in_flight' AND lease_until > $1
) AS moments
"""


class Engine:
    """Runs commands, each in a transaction of its own, on whichever connection is free."""

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        seal: Seal,
        time_sql: Callable[[], str],
        heard: Heard,
        opened: Opened,
    ) -> None:
        self.url = url
        self.clock = clock
        self.seal = seal
        self._pool = Pool(url)
        self.hint = Hint(clock)
        self.news = asyncio.Event()
        """Set when the other replicas are to be told."""
        self.shelf = Shelf(0, Books())
        self._time_sql = time_sql
        self._heard = heard
        self._opened = opened
        self._running: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._stirs = 0

    async def run(self, command: Command[T], *, terms: Terms = WRITING) -> T:
        """Run *command* in a transaction; when this returns, it is on disk.

        Whoever is cancelled here waits until the transaction has ended, as it would have anyway.
        Raises StoreUnavailable where the store does not answer in time: nobody knows then what was
        written.
        """
        if self._closed:
            raise StoreUnavailable("The store is closed.")
        task = self.start(self._tried(command, terms))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            with anyio.CancelScope(shield=True):
                await asyncio.wait([task])
            raise

    def start(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Start *work*, which comes to its end whatever becomes of who waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited may be gone

    async def _tried(self, command: Command[T], terms: Terms) -> T:
        deadline = deadline_in(terms.patience)
        for tried in range(1, _TRIES + 1):
            try:
                async with self._pool.place(deadline):
                    return await self._once(command, terms, deadline)
            except _TRY_AGAIN as error:
                if tried == _TRIES:
                    raise unavailable(error, self.url) from error
            except (psycopg.Error, OSError) as error:
                raise unavailable(error, self.url) from error
        raise AssertionError  # the last try returns or raises

    async def _once(self, command: Command[T], terms: Terms, deadline: float) -> T:
        # Whatever the rest may take: a server that does not answer shows before it has begun.
        soon = min(deadline, deadline_in(PATIENCE))
        connection, when, version = await self._begun(terms, soon)
        self._heard(moment(when.now), when.took)
        stirs = self._stirs
        tx = Transaction(connection, self._opened, self.shelf, when.now)
        try:
            with cut_at(connection, deadline):
                result, stir = await self._written(connection, tx, command, version)
        finally:
            await self._pool.give_back(connection)
        self._committed(tx, stir, overlapped=stirs != self._stirs)
        return result

    async def _written(
        self, connection: Connection, tx: Transaction, command: Command[T], version: int
    ) -> tuple[T, Stir | None]:
        """Run *command* and commit; where it raises, nothing of it stays."""
        try:
            await tx.read_registry(version)
            self._know(tx.shelf)
            result = await command(tx)
            changed = tx.stirs or tx.dues_changed
            next_due = tx.ask(_NEXT_DUE, tx.now) if changed else None
            await tx.commit()
        except BaseException:
            with contextlib.suppress(psycopg.Error):
                await connection.execute(b"ROLLBACK")
            raise
        if next_due is None:
            return result, None
        return result, Stir(await next_due.value(), tx.stirs)

    async def _begun(self, terms: Terms, deadline: float) -> tuple[Connection, Moment, int]:
        """Begin on a connection that is kept, or on a new one where none is, or it has ended."""
        while connection := self._pool.kept():
            with contextlib.suppress(psycopg.OperationalError):
                return await self._begin(connection, terms, deadline)
            await connection.close()
        return await self._begin(await connect(self.url, deadline), terms, deadline)

    async def _begin(
        self, connection: Connection, terms: Terms, deadline: float
    ) -> tuple[Connection, Moment, int]:
        try:
            with cut_at(connection, deadline):
                return connection, *await begin(connection, self._time_sql(), terms)
        except BaseException:
            await connection.close()
            raise

    def _committed(self, tx: Transaction, stir: Stir | None, *, overlapped: bool) -> None:
        self._know(tx.shelf)
        if stir is not None:
            self._stirs += 1
            # Who overlaps may not have seen what comes due by the other: the earlier counts.
            (self.hint.add if overlapped else self.hint.take)(stir)
            if stir.wakes:
                self.news.set()

    def _know(self, shelf: Shelf) -> None:
        """Know the registry as it is in *shelf*, unless a later one is known."""
        if shelf.version > self.shelf.version:
            self.shelf = shelf

    async def close(self) -> None:
        """Let what is running come to its end, then close the connections."""
        while self._running:
            await asyncio.wait([*self._running])
        self._closed = True
        await self._pool.close()
