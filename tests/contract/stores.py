"""What the contract asks of a store, and how each kind is opened.

The tests know the ports alone. A store joins by one function here, and by its name in ``STORES``.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from dispatcher.adapters.postgres import PostgresStore
from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.ports import Clock, Ledger, Queue, Registry, Sessions, StoreHealth
from dispatcher.stored.values import micros
from keys import KeyStore, Seal


class Store(Queue, Registry, Sessions, Ledger, StoreHealth, KeyStore, Protocol):
    """All the doors of a store."""

    async def close(self) -> None:
        """Finish what was asked for, and let go."""


class Opener(Protocol):
    """Opens one and the same store, again and again."""

    def __call__(
        self, folder: Path, *, clock: Clock, seal: Seal, disk_reserve: int = 0
    ) -> Awaitable[Store]:
        """Open the store whose files are in *folder*."""


async def open_sqlite(
    folder: Path, *, clock: Clock, seal: Seal, disk_reserve: int = 0
) -> SqliteStore:
    """Open the embedded store, with its threads."""
    path = folder / "store.db"
    return await SqliteStore.open(path, clock=clock, seal=seal, disk_reserve=disk_reserve)


async def open_sqlite_inline(
    folder: Path, *, clock: Clock, seal: Seal, disk_reserve: int = 0
) -> SqliteStore:
    """Open the embedded store as simulations do, without a thread."""
    path = folder / "store.db"
    return await SqliteStore.open(
        path, clock=clock, seal=seal, disk_reserve=disk_reserve, inline=True
    )


async def open_postgres(
    folder: Path, *, clock: Clock, seal: Seal, disk_reserve: int = 0
) -> PostgresStore:
    """Open the store for many replicas, whose database tells the time of *clock*.

    Its folder holds nothing but the database's URLs, and the disk is the server's.
    """
    assert disk_reserve == 0
    return await PostgresStore.open(
        (folder / DATABASE).read_text(),
        listen_url=(folder / DIRECT).read_text(),
        clock=clock,
        seal=seal,
        time_sql=lambda: f"{micros(clock.steady())}::bigint",
    )


POSTGRES, POOLED = "postgres", "postgres-pgbouncer"
SHARED = (POSTGRES, POOLED)
"""The stores that many processes work on at once."""
DATABASE, DIRECT = "database.url", "direct.url"
STORES: dict[str, Opener] = {
    "sqlite": open_sqlite,
    "sqlite-inline": open_sqlite_inline,
    POSTGRES: open_postgres,
    POOLED: open_postgres,
}

Reopen = Callable[..., Awaitable[Store]]
"""Closes the store and opens it again, perhaps with another ``disk_reserve``."""
