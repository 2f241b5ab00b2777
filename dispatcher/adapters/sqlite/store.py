"""The store: one file, one process, all of the doors."""

from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Self

import apsw

from dispatcher.adapters.sqlite.connections import (
    check_library,
    open_reader,
    open_writer,
    unavailable,
)
from dispatcher.adapters.sqlite.disk import DiskReserve
from dispatcher.adapters.sqlite.engine import Engine
from dispatcher.adapters.sqlite.health import SqliteHealth
from dispatcher.adapters.sqlite.keyring import SqliteKeyRing
from dispatcher.adapters.sqlite.ledger import SqliteLedger
from dispatcher.adapters.sqlite.lock import StoreLock
from dispatcher.adapters.sqlite.opening import prepare
from dispatcher.adapters.sqlite.queue import SqliteQueue
from dispatcher.adapters.sqlite.readers import InlineReaders, ThreadReaders
from dispatcher.adapters.sqlite.registry import SqliteRegistry
from dispatcher.adapters.sqlite.schema import STEPS
from dispatcher.adapters.sqlite.sealed import recalled
from dispatcher.adapters.sqlite.sessions import SqliteSessions
from dispatcher.adapters.sqlite.transactions import Scribe
from dispatcher.adapters.sqlite.writers import InlineWriter, ThreadWriter
from dispatcher.ports import Clock
from dispatcher.stored.hint import Hint
from keys import Seal

_BITS_OF_A_BOOT = 40
"""A boot's leases: more than a claim a microsecond for twelve days."""


class SqliteStore(
    SqliteQueue, SqliteRegistry, SqliteSessions, SqliteLedger, SqliteHealth, SqliteKeyRing
):
    """Fulfils ``Queue``, ``Registry``, ``Sessions``, ``Ledger``, ``StoreHealth``, ``KeyStore``."""

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        clock: Clock,
        seal: Seal,
        disk_reserve: int = 0,
        inline: bool = False,
    ) -> Self:
        """Open the store in the file *path*, and make it where there is none.

        *inline* runs everything in the caller's thread, for simulations. Raises InvalidSettings
        where the store is another process's, newer than this release or under another master key;
        StoreUnavailable where the file can not be used.
        """
        check_library()
        lock = StoreLock(path)
        with ExitStack() as on_failure:
            on_failure.callback(lock.release)
            try:
                scribe, boot = _opened(path, seal, clock)
                on_failure.callback(scribe.close)
                readers = _readers(path, inline=inline)
            except (apsw.Error, OSError) as error:
                raise unavailable(error) from error
            on_failure.pop_all()
        hint = Hint(clock)
        writer = (InlineWriter if inline else ThreadWriter)(scribe, hint.take)
        disk = DiskReserve(path, disk_reserve, clock)
        leases = count((boot << _BITS_OF_A_BOOT) + 1)
        return cls(Engine(path, lock, clock, seal, scribe, writer, readers, hint, disk, leases))

    async def close(self) -> None:
        """Finish what was asked for, checkpoint, and let another process have the store."""
        self._engine.readers.close()
        await self._engine.writer.close()
        self._engine.lock.release()

    def describe(self) -> str:
        """Return what the store is, in a line for people."""
        return (
            f"SQLite {apsw.sqlite_lib_version()} at {self._engine.path}, schema {len(STEPS)},"
            " write-ahead log, synchronous=FULL"
        )


def _opened(path: Path, seal: Seal, clock: Clock) -> tuple[Scribe, int]:
    """Prepare the file, and return who writes to it and the number of this boot."""
    connection = open_writer(path)
    try:
        boot = prepare(connection, seal, clock)
    finally:
        connection.close()
    return Scribe(lambda: open_writer(path), lambda opened: recalled(opened, seal), clock), boot


def _readers(path: Path, *, inline: bool) -> InlineReaders | ThreadReaders:
    return (InlineReaders if inline else ThreadReaders)(lambda: open_reader(path))
