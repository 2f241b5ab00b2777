"""What most tests stand on: the service's own loop, a clock that stands, a folder, a seal."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from keys import Seal
from tests.kit.clock import FakeClock
from tests.kit.folders import a_folder

MASTER_KEY = b"k" * 32


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
