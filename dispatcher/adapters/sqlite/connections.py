"""Connections to the file, each set up for its part, and what their errors mean.

Only the writer writes, and only it checkpoints: two connections that do so at one moment are what
corrupted WAL files up to SQLite 3.51.2.
"""

import os
from pathlib import Path

import apsw

from dispatcher.adapters.sqlite.lock import STORE_SETTING
from dispatcher.domain.errors import Fault, InvalidSettings, StoreUnavailable

LEAST_SQLITE = (3, 51, 3)
_BUSY_MILLISECONDS = 5000
_WRITER_CACHE_KIBIBYTES = 64 * 1024
_LARGEST_IDLE_WAL = 64 * 1024 * 1024
_READ_WRITE = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE

_FAULTS_OF_ONE_COMMAND = (
    apsw.BindingsError,
    apsw.ConstraintError,
    apsw.MismatchError,
    apsw.RangeError,
    apsw.SQLError,
    apsw.TooBigError,
)


def check_library() -> None:
    """Raise InvalidSettings where SQLite has the bug that corrupts WAL files."""
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if version < LEAST_SQLITE:
        least = ".".join(map(str, LEAST_SQLITE))
        message = f"SQLite {apsw.sqlite_lib_version()} can corrupt a store; {least} is the least"
        raise InvalidSettings([Fault(STORE_SETTING, message)])


def open_writer(path: Path) -> apsw.Connection:
    """Open the connection that writes; the file is for its owner alone."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    connection = apsw.Connection(str(path), flags=_READ_WRITE)
    # Or each new value of a parameter has the statement planned anew, which costs more than it.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    connection.set_busy_timeout(_BUSY_MILLISECONDS)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.pragma("foreign_keys", True)  # noqa: FBT003 - a pragma's value has no name
    connection.pragma("wal_autocheckpoint", 0)  # `Scribe.tidy` checkpoints when all are answered
    connection.pragma("journal_size_limit", _LARGEST_IDLE_WAL)
    connection.pragma("cache_size", -_WRITER_CACHE_KIBIBYTES)
    connection.pragma("temp_store", "memory")
    return connection


def open_reader(path: Path) -> apsw.Connection:
    """Open a connection that can not write."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    connection.set_busy_timeout(_BUSY_MILLISECONDS)
    connection.pragma("query_only", True)  # noqa: FBT003 - a pragma's value has no name
    connection.pragma("wal_autocheckpoint", 0)
    return connection


def is_fault_of_one_command(error: apsw.Error) -> bool:
    """Whether *error* spoils the command that met it and nobody else's."""
    return isinstance(error, _FAULTS_OF_ONE_COMMAND)


def unavailable(error: Exception) -> StoreUnavailable:
    """Return what crosses the port instead of a vendor's *error*."""
    translated = StoreUnavailable(f"The store does not answer: {error}")
    translated.__cause__ = error
    return translated
