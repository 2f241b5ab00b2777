"""What most tests stand on: the service's own loop, a clock that stands, a folder, a seal."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from dispatcher.adapters.postgres import migrate
from keys import Seal
from tests.kit.clock import FakeClock
from tests.kit.folders import a_folder
from tests.kit.pgbouncer import Pooler, a_pooler, program
from tests.kit.postgres import Server, a_server

MASTER_KEY = b"k" * 32
POOL = 3


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio, as the service does."""
    return "asyncio"


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands at noon."""
    return FakeClock()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return an empty folder."""
    with a_folder() as folder:
        yield folder


@pytest.fixture
def seal() -> Seal:
    """Return a seal under a made-up master key."""
    return Seal([MASTER_KEY])


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """Return a PostgreSQL server, the same for all tests."""
    with a_server() as server:
        yield server


@pytest.fixture(scope="session")
def pooler(postgres: Server) -> Iterator[Pooler]:
    """Return a PgBouncer before that server, with fewer connections than a store would keep."""
    if program() is None:
        pytest.skip("no PgBouncer on this machine: `apt-get install pgbouncer`")
    with a_pooler(postgres, pool=POOL) as pooler:
        yield pooler


@pytest.fixture(scope="session")
def migrated(postgres: Server) -> Iterator[str]:
    """Return the URL of a database that others are copied from: its schema is there."""
    with postgres.database() as url:
        anyio.run(migrate, url)
        yield url


@pytest.fixture
def database(postgres: Server, migrated: str) -> Iterator[str]:
    """Return the URL of a new database with today's schema."""
    with postgres.database(migrated) as url:
        yield url
