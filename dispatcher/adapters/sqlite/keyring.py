"""The door ``KeyStore`` of the vault: one sealed ring, replaced as a whole."""

from dispatcher.adapters.sqlite.engine import Door
from dispatcher.adapters.sqlite.readers import Reading
from dispatcher.adapters.sqlite.transactions import Transaction
from keys import SealedRing

_LOAD = "SELECT json_array(version, document) FROM key_ring"
_FIRST = "INSERT OR IGNORE INTO key_ring (only_row, version, document) VALUES (1, ?, ?)"
_SWAP = "UPDATE key_ring SET version = ?, document = ? WHERE version = ?"


class SqliteKeyRing(Door):
    """Keeps the sealed ring."""

    async def load(self) -> SealedRing | None:
        """Return the ring, or None if there was never one."""
        return await self._engine.readers.run(_load)

    async def swap(self, ring: SealedRing, *, if_version: int) -> bool:
        """Replace the ring if its version is still *if_version* (0: none yet), else say False."""
        return await self._engine.writer.run(lambda tx: _swap(tx, ring, if_version))


def _load(reading: Reading) -> SealedRing | None:
    row = reading.read(_LOAD)
    return None if row is None else SealedRing(*row)


def _swap(tx: Transaction, ring: SealedRing, if_version: int) -> bool:
    if if_version == 0:
        tx.write(_FIRST, ring.version, ring.document)
    else:
        tx.write(_SWAP, ring.version, ring.document, if_version)
    return tx.connection.changes() == 1
