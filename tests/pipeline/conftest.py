"""The work on a real store, with a real vault and a real way out to servers on loopback."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dispatcher.adapters.egress import EgressPolicy, HttpSender
from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.adapters.vault import VaultSigner
from keys import Seal, SigningKey, Vault
from tests.kit.clock import NOON, FakeClock
from tests.kit.telemetry import RecordingTelemetry
from tests.pipeline.stage import Stage

LOOPBACK = EgressPolicy.from_text("public", ["127.0.0.0/8"], allow_http=True)


@pytest.fixture(scope="session")
def signing_keys() -> list[SigningKey]:
    """Make keys of the two kinds that are quickly made."""
    return [SigningKey.generate(alg, now=NOON) for alg in ("ES256", "EdDSA")]


@pytest.fixture
async def store(folder: Path, clock: FakeClock, seal: Seal) -> AsyncIterator[SqliteStore]:
    """Open a new store."""
    store = await SqliteStore.open(folder / "store.db", clock=clock, seal=seal)
    yield store
    await store.close()


@pytest.fixture
async def signer(
    store: SqliteStore, seal: Seal, signing_keys: list[SigningKey]
) -> AsyncIterator[VaultSigner]:
    """Open the vault on the keys."""
    algorithms = [key.alg for key in signing_keys]
    vault = await Vault.open(
        store=store, seal=seal, now=NOON, algorithms=algorithms, imported=signing_keys, threads=0
    )
    yield VaultSigner(vault)
    vault.close()


@pytest.fixture
async def sender(clock: FakeClock) -> AsyncIterator[HttpSender]:
    """Open the way out, to loopback alone."""
    sender = HttpSender(LOOPBACK, now=clock.now, user_agent="dispatcher-test/1")
    yield sender
    await sender.close()


@pytest.fixture
def stage(store: SqliteStore, signer: VaultSigner, sender: HttpSender, clock: FakeClock) -> Stage:
    """Set the work up."""
    return Stage(store, signer, sender, clock, RecordingTelemetry())
