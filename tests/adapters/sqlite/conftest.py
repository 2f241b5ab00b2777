"""A folder for the store, a clock that stands, a seal under a made-up master key."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from dispatcher.adapters.sqlite import SqliteStore
from keys import Seal
from tests.kit.clock import FakeClock


@pytest.fixture
def path(folder: Path) -> Path:
    """Return where the store's file is."""
    return folder / "store.db"


Open = Callable[[], Awaitable[SqliteStore]]


@pytest.fixture
async def opens(path: Path, clock: FakeClock, seal: Seal) -> AsyncIterator[Open]:
    """Return how to open the store; what is still open at the end is closed."""
    stores: list[SqliteStore] = []

    async def opened() -> SqliteStore:
        stores.append(await SqliteStore.open(path, clock=clock, seal=seal))
        return stores[-1]

    yield opened
    for store in stores:
        await store.close()


@pytest.fixture
async def store(opens: Open) -> SqliteStore:
    """Return an open store."""
    return await opens()
