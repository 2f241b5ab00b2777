"""What the tests of the face share."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.domain.events import Audience, SourceName
from dispatcher.domain.sources import Source
from keys import Seal, SigningKey
from tests.web.builders import NOW
from tests.web.face import BEARER, SECRET, Face, StandingClock, opened

SOURCES = (
    Source(name=SourceName("idp"), secrets=(SECRET,)),
    Source(name=SourceName("crm"), bearer_tokens=(BEARER,), audience=Audience.SUBSCRIBERS),
    Source(name=SourceName("kiosk"), secrets=(SECRET,), initiators=frozenset({"rp-logout"})),
)


@pytest.fixture(scope="session")
def signing_key() -> SigningKey:
    """Make one key, of the kind that is quickly made."""
    return SigningKey.generate("ES256", now=NOW)


@pytest.fixture(scope="session")
def seal() -> Seal:
    """Make a seal with a random master key."""
    return Seal([os.urandom(32)])


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory, seal: Seal) -> Path:
    """Make a store with the sources once: a copy is there sooner than another one is made."""
    path = tmp_path_factory.mktemp("furnished") / "store.db"
    anyio.run(_furnish, path, seal)
    return path


async def _furnish(path: Path, seal: Seal) -> None:
    store = await SqliteStore.open(path, seal=seal, clock=StandingClock())
    for source in SOURCES:
        await store.put_source(source)
    await store.close()


@pytest.fixture
async def face(
    tmp_path: Path, furnished: Path, seal: Seal, signing_key: SigningKey
) -> AsyncIterator[Face]:
    """Open the face on a store of its own."""
    path = tmp_path / "store.db"
    shutil.copy(furnished, path)
    async with opened(path, seal, signing_key) as face:
        yield face
