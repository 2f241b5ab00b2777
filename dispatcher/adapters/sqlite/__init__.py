"""The embedded store: queue, registry, sessions, ledger and sealed key ring in one SQLite file.

It belongs to one process. One connection writes; all that waits to be written at one moment shares
one transaction and one flush to the disk, and nothing is answered before it. A few others read.

Read ``schema`` for what there is, ``transactions`` and ``writers`` for how it is written, then one
file for each thing that is done: ``intake`` and ``joins``, ``matching``, ``claims``,
``settlements``, ``pruning``. The files named for a port (``queue``, ``registry``, ``sessions``,
``ledger``, ``health``, ``keyring``) are the doors to them; ``store`` opens and closes it all.
"""

from dispatcher.adapters.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
