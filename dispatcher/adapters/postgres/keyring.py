"""The door ``KeyStore`` of the vault: one sealed ring, replaced as a whole."""

from dispatcher.adapters.postgres.doors import Door
from dispatcher.adapters.postgres.transactions import READING, Transaction
from keys import SealedRing

_LOAD = "SELECT version, document FROM key_ring"
_FIRST = "INSERT INTO key_ring (version, document) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_SWAP = "UPDATE key_ring SET version = $1, document = $2 WHERE version = $3"


class PostgresKeyRing(Door):
    """Keeps the sealed ring."""

    async def load(self) -> SealedRing | None:
        """Return the ring, or None if there was never one."""
        return await self._engine.run(_load, terms=READING)

    async def swap(self, ring: SealedRing, *, if_version: int) -> bool:
        """Replace the ring if its version is still *if_version* (0: none yet), else say False."""
        return await self._engine.run(lambda tx: _swap(tx, ring, if_version))


async def _load(tx: Transaction) -> SealedRing | None:
    rows = await tx.rows(_LOAD)
    return SealedRing(*rows[0]) if rows else None


async def _swap(tx: Transaction, ring: SealedRing, if_version: int) -> bool:
    if if_version == 0:
        return await tx.count(_FIRST, ring.version, ring.document) == 1
    return await tx.count(_SWAP, ring.version, ring.document, if_version) == 1
