"""The store: one database, any number of processes, all of the doors."""

from collections.abc import Callable
from datetime import timedelta
from typing import Self

import psycopg

from dispatcher.adapters.postgres.connections import (
    PATIENCE,
    connect,
    cut_at,
    deadline_in,
    unavailable,
)
from dispatcher.adapters.postgres.durability import check_server
from dispatcher.adapters.postgres.engine import Engine, Heard
from dispatcher.adapters.postgres.health import PostgresHealth
from dispatcher.adapters.postgres.keyring import PostgresKeyRing
from dispatcher.adapters.postgres.ledger import PostgresLedger
from dispatcher.adapters.postgres.migrations import check_version, take_steps
from dispatcher.adapters.postgres.queue import PostgresQueue
from dispatcher.adapters.postgres.registry import PostgresRegistry
from dispatcher.adapters.postgres.schema import STEPS
from dispatcher.adapters.postgres.sealed import check_seal
from dispatcher.adapters.postgres.sessions import PostgresSessions
from dispatcher.adapters.postgres.signals import Signals
from dispatcher.adapters.postgres.transactions import DATABASE_TIME
from dispatcher.ports import Clock
from dispatcher.stored.sealed import opened_books
from keys import Seal

_MIGRATION_TAKES = timedelta(minutes=10)


class PostgresStore(
    PostgresQueue,
    PostgresRegistry,
    PostgresSessions,
    PostgresLedger,
    PostgresHealth,
    PostgresKeyRing,
):
    """Fulfils ``Queue``, ``Registry``, ``Sessions``, ``Ledger``, ``StoreHealth``, ``KeyStore``."""

    def __init__(self, engine: Engine, signals: Signals, server: str) -> None:
        super().__init__(engine)
        self._signals = signals
        self._server = server

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        clock: Clock,
        seal: Seal,
        heard: Heard = lambda _now, _took: None,
        listen_url: str | None = None,
        allow_unsafe: bool = False,
        time_sql: Callable[[], str] = lambda: DATABASE_TIME,
    ) -> Self:
        """Open the store in the database at *url*.

        *heard* is told the database's time whenever it is heard. *listen_url* reaches the server
        without a pooler. *time_sql* returns the SQL that reads the time. Raises InvalidSettings
        where the schema is behind, the server unsafe or the master key another; StoreUnavailable
        where the server does not answer.
        """
        server = await _checked(url, allow_unsafe=allow_unsafe)
        engine = Engine(
            url,
            clock=clock,
            seal=seal,
            time_sql=time_sql,
            heard=heard,
            opened=lambda applications, sources: opened_books(
                seal, applications=applications, sources=sources
            ),
        )
        try:
            await engine.run(lambda tx: check_seal(tx, seal))
        except BaseException:
            await engine.close()
            raise
        return cls(engine, Signals(engine, listen_url or url), server)

    @property
    def listening(self) -> bool:
        """Whether the other replicas are being heard; else their news takes up to a second."""
        return self._signals.listening

    async def close(self) -> None:
        """Finish what was asked for, and let go of the connections."""
        await self._signals.close()
        await self._engine.close()

    def describe(self) -> str:
        """Return what the store is, in a line for people."""
        return f"PostgreSQL {self._server}, schema {len(STEPS)}, shared by replicas"


async def _checked(url: str, *, allow_unsafe: bool) -> str:
    """Return the server's version, once it has been seen to be fit."""
    try:
        async with await connect(url, deadline := deadline_in(PATIENCE)) as connection:
            with cut_at(connection, deadline):
                await check_server(connection, allow_unsafe=allow_unsafe)
                await check_version(connection)
                version = connection.info.server_version
                return f"{version // 10000}.{version % 10000}"
    except (psycopg.Error, OSError) as error:
        raise unavailable(error, url) from error


async def migrate(url: str, *, allow_unsafe: bool = False) -> None:
    """Bring the schema in the database at *url* up to date, whoever works on it meanwhile."""
    try:
        async with await connect(url, deadline_in(PATIENCE)) as connection:
            with cut_at(connection, deadline_in(_MIGRATION_TAKES)):
                await check_server(connection, allow_unsafe=allow_unsafe)
                await take_steps(connection)
    except (psycopg.Error, OSError) as error:
        raise unavailable(error, url) from error
