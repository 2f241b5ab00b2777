"""One transaction: its beginning tells the time and the registry's version, in one round trip.

A command is a function of a ``Transaction``. The time is the database's, for there is one database
and there are many hosts: what is due, and when a lease ends, is the same for all of them.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

from dispatcher.adapters.postgres.connections import PATIENCE, Connection
from dispatcher.adapters.postgres.flights import Asked, Flights, Rows
from dispatcher.domain.errors import InvalidSettings, StoreUnavailable
from dispatcher.stored.books import Books

T = TypeVar("T")

DATABASE_TIME = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
"""The SQL that reads the time, in microseconds since the epoch."""
_LOCKS_WAIT = timedelta(seconds=1)
_MILLISECOND = timedelta(milliseconds=1)
# Settings of one transaction alone: behind a pooler the next one is somebody else's. And where the
# commit waits for a standby, a timeout of the server's would have it say that it is done. That of
# the whole transaction ends as the commit begins; it alone ends what goes on, statement after
# statement, for somebody who has given up. Set twice, for one that the server has of its own runs
# already, and what runs is not set anew.
_BEGIN = f"""
BEGIN ISOLATION LEVEL {{isolation}};
SET LOCAL statement_timeout = {{patience}};
SET LOCAL lock_timeout = {_LOCKS_WAIT // _MILLISECOND};
SET LOCAL idle_in_transaction_session_timeout = {PATIENCE // _MILLISECOND};
{{aged}}SELECT {{time}}, version FROM registry
"""  # noqa: S608 - constants, and the terms of the transaction
_AGED = "SET LOCAL transaction_timeout = 0; SET LOCAL transaction_timeout = {};"
_AGED_SINCE = 170000
_COMMIT = ("SET LOCAL statement_timeout = 0", "COMMIT")
# Row locks know no queue: who shares one is let in past whoever waits to have it alone, and where
# matches overlap without a pause nobody would ever change the registry. Advisory locks do queue.
_IN_TURN = "SELECT pg_advisory_xact_lock_shared(hashtext('dispatcher registry'))"
_ALONE_IN_TURN = "SELECT pg_advisory_xact_lock(hashtext('dispatcher registry'))"
_VERSION = "SELECT version FROM registry FOR SHARE"
_NEXT_VERSION = "UPDATE registry SET version = version + 1 RETURNING version"
_APPLICATIONS = """
SELECT client_id, document, record, sealed_key, version FROM application ORDER BY position
"""
_SOURCES = "SELECT name, record, sealed, version FROM source ORDER BY name"

_COUNT = "WITH written AS ({} RETURNING 1) SELECT count(*) FROM written"

Opened = Callable[[Rows, Rows], Books]
"""Opens the books from the rows of applications and of sources."""


def columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Return *rows* as the lists that ``unnest`` makes rows of again."""
    return [list(column) for column in zip(*rows, strict=True)]


@dataclass(frozen=True, slots=True)
class Shelf:
    """The books, and the version of the registry that they are of; 0: none was read yet."""

    version: int
    books: Books


@dataclass(frozen=True, slots=True)
class Moment:
    """The database's time, as it was when a transaction began, and how long it took to tell."""

    now: int
    took: timedelta


class Transaction:
    """What a command is given: the connection, the time, and what is known of the registry."""

    def __init__(self, connection: Connection, opened: Opened, shelf: Shelf, now: int) -> None:
        self._flights = Flights(connection)
        self._opened = opened
        self.shelf = shelf
        self.now = now
        self.stirs = False
        self.dues_changed = False

    @property
    def books(self) -> Books:
        """The registry, as this transaction knows it."""
        return self.shelf.books

    @books.setter
    def books(self, books: Books) -> None:
        self.shelf = replace(self.shelf, books=books)

    def ask(self, sql: str, *bindings: Any) -> Asked:
        """Let *sql* be run, in its turn; its answer may be waited for together with others."""
        return self._flights.ask(sql, bindings)

    async def rows(self, sql: str, *bindings: Any) -> Rows:
        """Return all rows that *sql* selects."""
        return await self.ask(sql, *bindings).rows()

    async def value(self, sql: str, *bindings: Any) -> Any:
        """Return the one value that *sql* selects; None where it selects nothing."""
        return await self.ask(sql, *bindings).value()

    def write(self, sql: str, *bindings: Any) -> None:
        """Let a statement be run that returns nothing; where it fails, the next answer says so."""
        self.ask(sql, *bindings)

    async def count(self, sql: str, *bindings: Any) -> int:
        """Run one statement that returns nothing; say how many rows it wrote."""
        return int(await self.value(_COUNT.format(sql), *bindings))

    async def commit(self) -> None:
        """Commit; when this returns, it is on disk."""
        for sql in _COMMIT:
            self.write(sql)
        await self._flights.land()

    def stir(self) -> None:
        """Say that there may be something to match or to claim, once this is on disk."""
        self.stirs = True

    def change_dues(self) -> None:
        """Say that another delivery, or another lease's end, may come next."""
        self.dues_changed = True

    async def hold_registry(self) -> None:
        """Let nobody change the registry before this is over, and know it as it is."""
        self.write(_IN_TURN)
        await self.read_registry(await self.value(_VERSION))

    async def change_registry(self) -> None:
        """Hold the registry for a change, known as it is: what follows makes its next version."""
        self.write(_ALONE_IN_TURN)
        version = await self.value(_NEXT_VERSION)
        await self.read_registry(version - 1)
        self.shelf = replace(self.shelf, version=version)

    async def read_registry(self, version: int) -> None:
        """Read the registry where what is known of it is not of that *version*."""
        if self.shelf.version != version:
            asked = self.ask(_APPLICATIONS), self.ask(_SOURCES)
            applications, sources = [await one.rows() for one in asked]
            try:
                self.shelf = Shelf(version, self._opened(applications, sources))
            except InvalidSettings as error:
                if not self.shelf.version:
                    raise  # at the start, where an operator is told what to mend
                raise StoreUnavailable(f"The registry can not be read: {error.message}") from error


Command = Callable[[Transaction], Awaitable[T]]


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms a transaction is made: how long it may take, and what it sees of others."""

    patience: timedelta = PATIENCE
    isolation: str = "READ COMMITTED"


WRITING = Terms()
TIDYING = Terms(patience=5 * PATIENCE)
MOVING = Terms(patience=30 * PATIENCE)
"""For what an operator asks for once, and what grows with a backlog."""
READING = Terms(isolation="REPEATABLE READ, READ ONLY")
BROWSING = Terms(patience=5 * PATIENCE, isolation="REPEATABLE READ, READ ONLY")


async def begin(connection: Connection, time_sql: str, terms: Terms) -> tuple[Moment, int]:
    """Begin a transaction; return the database's time and the registry's version."""
    asked = time.monotonic()
    patience = terms.patience // _MILLISECOND
    aged = _AGED.format(patience) if connection.info.server_version >= _AGED_SINCE else ""
    sql = _BEGIN.format(isolation=terms.isolation, patience=patience, aged=aged, time=time_sql)
    cursor = await connection.execute(sql.encode())
    while cursor.nextset():
        pass
    row: Any = await cursor.fetchone()
    return Moment(row[0], timedelta(seconds=time.monotonic() - asked)), row[1]
