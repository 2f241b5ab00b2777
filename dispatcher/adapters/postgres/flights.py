"""Flights: statements that go to the server together, and whose answers come back together.

What waits for no other's answer costs no round trip of its own, so that locks are held the shorter.
Nothing is sent before an answer is needed, and then the end of the flight right behind it: a server
that has got a part of a flight takes whoever stalls in between to be at work, and only from
PostgreSQL 17 on can end the transaction that holds everybody else up.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from psycopg import errors, generators
from psycopg.abc import PQGen
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from dispatcher.adapters.postgres.connections import Connection

Rows = Sequence[tuple[Any, ...]]


class _Statement(NamedTuple):
    """What libpq sends: the SQL, and its bindings as the server reads them."""

    sql: bytes
    values: Sequence[Any]
    types: Sequence[int]
    formats: Sequence[int]


class Asked:
    """What was asked for; its rows are there once its flight has landed."""

    def __init__(self, flights: "Flights") -> None:
        self._flights = flights
        self._rows: Rows | None = None

    async def rows(self) -> Rows:
        """Return the rows, for which everything sets off that is not on its way yet."""
        if self._rows is None:
            await self._flights.land()
        if self._rows is None:
            raise errors.InterfaceError("this was asked for in a flight that failed")
        return self._rows

    async def value(self) -> Any:
        """Return the one value that was asked for; None where there is nothing."""
        rows = await self.rows()
        return rows[0][0] if rows else None

    def land(self, rows: Rows) -> None:
        """Take what the server answered."""
        self._rows = rows


class Flights:
    """The statements of one transaction, in their order."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._adapters = Transformer(connection)
        self._boarded: list[tuple[_Statement, Asked]] = []

    def ask(self, sql: str, bindings: Sequence[Any]) -> Asked:
        """Let *sql* go with the next flight."""
        values = self._adapters.dump_sequence(bindings, [PyFormat.AUTO] * len(bindings))
        types, formats = self._adapters.types or (), self._adapters.formats or ()
        asked = Asked(self)
        self._boarded.append((_Statement(sql.encode(), values, types, formats), asked))
        return asked

    async def land(self) -> None:
        """Send what was asked for, and take the answers.

        Raises the error of the first statement that failed; those behind it were passed over.
        """
        boarded, self._boarded = self._boarded, []
        if not boarded:
            return
        flight = _flight(self._connection.pgconn, [statement for statement, _ in boarded])
        answers = await self._connection.wait(flight)
        for (_, asked), answer in zip(boarded, answers, strict=False):
            asked.land(self._read(answer))
        if len(answers) < len(boarded):
            raise errors.OperationalError("the server's answers end before their time")

    def _read(self, answer: PGresult) -> Rows:
        if answer.status == ExecStatus.TUPLES_OK:
            self._adapters.set_pgresult(answer)
            return self._adapters.load_rows(0, answer.ntuples, tuple)
        if answer.status == ExecStatus.COMMAND_OK:
            return ()
        raise errors.error_from_result(answer, encoding=self._adapters.encoding)


def _flight(server: PGconn, statements: Sequence[_Statement]) -> PQGen[list[PGresult]]:
    server.enter_pipeline_mode()
    for statement in statements:
        server.send_query_params(*statement)
    server.pipeline_sync()
    yield from generators.send(server)
    answers: list[PGresult] = []
    try:
        for _ in statements:
            answers += yield from generators.fetch_many(server)
        yield from generators.fetch_many(server)  # the end of the flight
        server.exit_pipeline_mode()
    except errors.DatabaseError:
        # Where the server has ended the connection, it has said why before.
        if not any(answer.status == ExecStatus.FATAL_ERROR for answer in answers):
            raise
    return answers
