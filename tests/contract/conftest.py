"""The store under test, its clock, and the small steps that most tests take."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from keys import Seal
from tests.contract.stores import (
    DATABASE,
    DIRECT,
    POOLED,
    SHARED,
    STORES,
    Opener,
    Reopen,
    Store,
)
from tests.kit.clock import FakeClock
from tests.kit.folders import a_folder
from tests.kit.pgbouncer import Pooler
from tests.kit.postgres import Server


@pytest.fixture(params=list(STORES))
def opener(request: pytest.FixtureRequest) -> Opener:
    """Return how one kind of store is opened."""
    one_process = request.node.get_closest_marker("one_process")
    if one_process is not None and request.param in SHARED:
        pytest.skip(one_process.args[0])
    return STORES[str(request.param)]


def furnishing(
    kind: str, request: pytest.FixtureRequest
) -> Callable[[Path], AbstractContextManager[None]]:
    """Return what puts into a folder all that a store of that *kind* needs to be opened there."""

    def pooled(url: str) -> str:
        pooler: Pooler = request.getfixturevalue("pooler")
        return pooler.url(url)

    @contextmanager
    def furnished(folder: Path) -> Iterator[None]:
        if kind not in SHARED:
            yield
            return
        server: Server = request.getfixturevalue("postgres")
        with server.database(request.getfixturevalue("migrated")) as url:
            (folder / DIRECT).write_text(url)
            (folder / DATABASE).write_text(pooled(url) if kind == POOLED else url)
            yield

    return furnished


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> Iterator[Path]:
    """Return a folder in which the store can be opened that the test is about."""
    callspec = getattr(request.node, "callspec", None)
    kinds = () if callspec is None else callspec.params.values()
    kind = next((kind for kind in kinds if kind in SHARED), "")
    with a_folder() as folder, furnishing(kind, request)(folder):
        yield folder


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
