"""The door ``StoreHealth``: whether the store can be relied upon now."""

import contextlib

from dispatcher.adapters.sqlite.engine import Door
from dispatcher.adapters.sqlite.transactions import Transaction
from dispatcher.domain.errors import Unavailable


class SqliteHealth(Door):
    """Tells whether the store works."""

    async def writable(self) -> str | None:
        """Return what is wrong, having truly written and rolled back; None where nothing is."""
        try:
            with contextlib.suppress(_RolledBack):
                await self._engine.writer.run(_write_and_roll_back)
        except Unavailable as error:
            return error.message
        return None

    def disk_low(self) -> bool:
        """Whether free disk is below the reserve, so that intake is refused."""
        return self._engine.disk.low()


class _RolledBack(Exception):
    """A command that raises is rolled back: this one means to be."""


def _write_and_roll_back(tx: Transaction) -> None:
    tx.write("UPDATE meta SET probe = probe + 1")
    raise _RolledBack
