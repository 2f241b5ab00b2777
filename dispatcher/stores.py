"""Opens the store that the settings name, behind all of its doors."""

from typing import Protocol

from dispatcher.adapters.clock import SystemClock
from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.ports import Ledger, Queue, Registry, Sessions, StoreHealth
from dispatcher.settings import Settings
from keys import KeyStore, Seal


class Store(Queue, Registry, Sessions, Ledger, StoreHealth, KeyStore, Protocol):
    """All the doors of a store."""

    async def close(self) -> None:
        """Finish what was asked for, and let go."""

    def describe(self) -> str:
        """Return what the store is, in a line for people."""


async def open_store(settings: Settings, *, seal: Seal, clock: SystemClock) -> Store:
    """Open the store; where it is shared, *clock* follows its time.

    Raises InvalidSettings for what an operator has to mend; StoreUnavailable.
    """
    if not settings.store.is_postgres:
        return await SqliteStore.open(
            settings.store_path, seal=seal, clock=clock, disk_reserve=settings.disk_reserve
        )
    # Imported where it is needed: an embedded store starts without the driver of another.
    from dispatcher.adapters.postgres import PostgresStore

    direct = settings.postgres_direct
    return await PostgresStore.open(
        settings.store.text,
        clock=clock,
        seal=seal,
        heard=clock.follow,
        listen_url=None if direct is None else direct.text,
        allow_unsafe=settings.postgres_allow_unsafe,
    )


async def migrate_store(settings: Settings) -> None:
    """Bring the schema of a shared store up to date; an embedded one does so when it is opened."""
    if settings.store.is_postgres:
        from dispatcher.adapters.postgres import migrate

        past_a_pooler = settings.postgres_direct or settings.store
        await migrate(past_a_pooler.text, allow_unsafe=settings.postgres_allow_unsafe)
