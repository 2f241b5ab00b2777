"""The store for many replicas: queue, registry, sessions, ledger and sealed ring in PostgreSQL.

Any number of processes may work on one. None of them leads: whatever has to be done once is done by
whoever comes first, under a lock that ends with its transaction.

Read ``schema`` for what there is, ``connections`` and ``transactions`` for how it is reached, then
one file for each thing that is done: ``intake`` and ``joins``, ``matching``, ``claims``,
``settlements``, ``pruning``. The files named for a port (``queue``, ``registry``, ``sessions``,
``ledger``, ``health``, ``keyring``) are the doors to them; ``store`` opens and closes it all.

Locks are always taken in one order, so that nobody waits in a circle: the registry, scopes, events,
lanes, deliveries. No transaction outlives a few statements, none is open while anything is sent,
and nothing lasts longer than a transaction in the session: a pooler may stand in between.
"""

from dispatcher.adapters.postgres.store import PostgresStore, migrate

__all__ = ["PostgresStore", "migrate"]
