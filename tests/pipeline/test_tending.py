"""Tending: the keys are looked after for ever, whatever goes wrong meanwhile."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import anyio
import pytest

from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.adapters.vault import VaultSigner
from dispatcher.domain.errors import Unavailable
from dispatcher.pipeline import tending
from dispatcher.pipeline.tending import Tending
from keys import Seal, Vault
from keys.vault import PREVIOUS_IS_KEPT
from tests.kit.clock import NOON, FakeClock
from tests.pipeline.stage import Stage, until


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a look follow the other at once."""
    monkeypatch.setattr(tending, "EVERY", timedelta())


@pytest.fixture
async def vault(store: SqliteStore, seal: Seal) -> Vault:
    """Open a vault with keys that are quickly made."""
    return await Vault.open(store=store, seal=seal, algorithms=["ES256"], now=NOON, threads=0)


class Stumbling:
    """The real keys, which can not be looked after the first time."""

    def __init__(self, keys: VaultSigner) -> None:
        self._keys = keys
        self.looks = 0

    @property
    def algorithms(self) -> Sequence[str]:
        """The algorithms of the real keys."""
        return self._keys.algorithms

    def jwks(self) -> Mapping[str, object]:
        """Return the JWK Set of the real keys."""
        return self._keys.jwks()

    async def tend(self, now: datetime) -> None:
        """Count; fail at first, and tend the real keys then."""
        self.looks += 1
        if self.looks == 1:
            raise Unavailable("not now")
        await self._keys.tend(now)

    async def self_check(self) -> None:
        """Check the real keys."""
        await self._keys.self_check()


async def test_old_keys_are_forgotten_while_the_service_runs(
    vault: Vault, stage: Stage, clock: FakeClock
) -> None:
    """A key whose margin is over is published no more, without a restart; a stumble is told."""
    await vault.rotate(NOON)
    old = {*_published(vault)}
    keys = Stumbling(VaultSigner(vault))
    clock.advance(PREVIOUS_IS_KEPT)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Tending(keys=keys, telemetry=stage.telemetry, clock=clock).run)
        await until(lambda: len(_published(vault)) < len(old))
        tasks.cancel_scope.cancel()

    assert {*_published(vault)} < old
    assert [worker for worker, _ in stage.telemetry.failures] == ["keys"]


async def test_a_clock_set_forward_forgets_no_key(
    vault: Vault, stage: Stage, clock: FakeClock
) -> None:
    """A wall clock that jumps ahead by mistake takes no key out of publication."""
    await vault.rotate(NOON)
    published = _published(vault)
    keys = Stumbling(VaultSigner(vault))
    clock.set_wall_ahead(timedelta(days=365))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Tending(keys=keys, telemetry=stage.telemetry, clock=clock).run)
        await until(lambda: keys.looks > 2)
        tasks.cancel_scope.cancel()

    assert _published(vault) == published


def _published(vault: Vault) -> list[str]:
    return [jwk["kid"] for jwk in vault.jwks()["keys"]]
