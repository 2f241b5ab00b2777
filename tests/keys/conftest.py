"""What the tests of the vault share: made-up keys, a clock that stands, a shelf for one ring."""

import os
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import KeySet

from keys import Seal, SealedRing, SigningKey
from keys.algorithms import ALGORITHMS

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def read_token(token: str, jwks: Any, alg: str) -> jws.CompactSignature:
    """Verify `token` with the second implementation, by nothing but the published keys."""
    with warnings.catch_warnings():
        # RFC 9864 renames EdDSA to Ed25519; OpenID providers and applications still say EdDSA.
        warnings.simplefilter("ignore", SecurityWarning)
        return jws.deserialize_compact(token, KeySet.import_key_set(jwks), algorithms=[alg])


class Shelf:
    """A key store for one ring, in memory; `before_swap` lets another replica be faster."""

    def __init__(self) -> None:
        self.ring: SealedRing | None = None
        self.before_swap: list[Callable[[], None]] = []
        self.swaps = 0

    async def load(self) -> SealedRing | None:
        """Return the ring."""
        return self.ring

    async def swap(self, ring: SealedRing, *, if_version: int) -> bool:
        """Replace the ring if its version is `if_version`."""
        if self.before_swap:
            self.before_swap.pop()()
        if (self.ring.version if self.ring else 0) != if_version:
            return False
        self.ring = ring
        self.swaps += 1
        return True


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio: the signing threads answer to its loop."""
    return "asyncio"


@pytest.fixture(scope="session")
def made() -> dict[str, SigningKey]:
    """Make one key per algorithm; RSA keys are slow to make."""
    return {alg: SigningKey.generate(alg, now=NOW) for alg in ALGORITHMS}


@pytest.fixture
def seal() -> Seal:
    """Make a seal with a random master key."""
    return Seal([os.urandom(32)])


@pytest.fixture
def shelf() -> Shelf:
    """Make an empty key store."""
    return Shelf()
