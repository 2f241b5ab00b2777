"""The store under test, its clock, and the small steps that most tests take."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keys import Seal
from tests.contract.stores import STORES, Opener, Reopen, Store
from tests.kit.clock import FakeClock


@pytest.fixture(params=list(STORES))
def opener(request: pytest.FixtureRequest) -> Opener:
    """Return how one kind of store is opened."""
    return STORES[str(request.param)]


@pytest.fixture
async def opened(
    opener: Opener, folder: Path, clock: FakeClock, seal: Seal
) -> AsyncIterator[list[Store]]:
    """Open a store; the last one in the list is open and is closed at the end."""
    stores = [await opener(folder, clock=clock, seal=seal)]
    yield stores
    await stores[-1].close()


@pytest.fixture
def store(opened: list[Store]) -> Store:
    """Return a new store."""
    return opened[0]


@pytest.fixture
def reopen(
    opened: list[Store], opener: Opener, folder: Path, clock: FakeClock, seal: Seal
) -> Reopen:
    """Return how to close the store and open it again."""

    async def again(*, disk_reserve: int = 0) -> Store:
        await opened[-1].close()
        opened.append(await opener(folder, clock=clock, seal=seal, disk_reserve=disk_reserve))
        return opened[-1]

    return again
