"""Stores on one database, each as a replica's, by a clock that stands."""

from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from dispatcher.adapters.postgres import PostgresStore
from dispatcher.stored.values import micros
from keys import Seal
from tests.kit.clock import FakeClock


class Open(Protocol):
    """Opens one more store on the database."""

    async def __call__(
        self, url: str | None = None, *, seal: Seal | None = None, listen_url: str | None = None
    ) -> PostgresStore:
        """Open it, by another *url* or *listen_url* or under another *seal* where one is given."""


@pytest.fixture
async def opens(database: str, clock: FakeClock, seal: Seal) -> AsyncIterator[Open]:
    """Return how to open a store as one more replica; all are closed at the end."""
    stores: list[PostgresStore] = []
    given = seal

    async def opened(
        url: str | None = None, *, seal: Seal | None = None, listen_url: str | None = None
    ) -> PostgresStore:
        store = await PostgresStore.open(
            url or database,
            clock=clock,
            seal=seal or given,
            listen_url=listen_url,
            time_sql=lambda: f"{micros(clock.steady())}::bigint",
        )
        stores.append(store)
        return store

    yield opened
    for store in stores:
        await store.close()


@pytest.fixture
async def store(opens: Open) -> PostgresStore:
    """Return a replica's store."""
    return await opens()


@pytest.fixture
async def other(opens: Open) -> PostgresStore:
    """Return another replica's store on the same database."""
    return await opens()
