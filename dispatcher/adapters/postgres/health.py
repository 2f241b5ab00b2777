"""The door ``StoreHealth``: whether the store can be relied upon now."""

import contextlib

from dispatcher.adapters.postgres.doors import Door
from dispatcher.adapters.postgres.transactions import Transaction
from dispatcher.domain.errors import Unavailable


class PostgresHealth(Door):
    """Tells whether the store works."""

    async def writable(self) -> str | None:
        """Return what is wrong, having truly written and rolled back; None where nothing is."""
        try:
            with contextlib.suppress(_RolledBack):
                await self._engine.run(_write_and_roll_back)
        except Unavailable as error:
            return error.message
        return None

    def disk_low(self) -> bool:
        """Say no: the server's disk is not ours to see, and a full one refuses to write."""
        return False


class _RolledBack(Exception):
    """A command that raises is rolled back: this one means to be."""


async def _write_and_roll_back(tx: Transaction) -> None:
    await tx.count("UPDATE meta SET probe = probe + 1")
    raise _RolledBack
