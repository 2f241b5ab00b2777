"""The service with one of its guards removed: a journey that passes on it would be blind.

``python -m tests.kit.sabotage serve`` answers webhooks before their commit is on disk.
"""

import time
from collections.abc import Sequence
from typing import Any

import apsw

from dispatcher.__main__ import main
from dispatcher.adapters.sqlite.transactions import Answer, Command, Scribe
from dispatcher.stored.hint import Stir

COMMIT_EVERY_SECONDS = 0.3

_faithful = Scribe._group


class _Deaf:
    """A connection that commits only now and then, though it says that it did each time."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._committed = time.monotonic()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *arguments: Any) -> Any:
        """Pass everything on, but for the commits in between."""
        if sql == "BEGIN IMMEDIATE" and self._connection.in_transaction:
            return None
        if sql == "COMMIT":
            if time.monotonic() - self._committed < COMMIT_EVERY_SECONDS:
                return None
            self._committed = time.monotonic()
        return self._connection.execute(sql, *arguments)


_deaf: dict[int, _Deaf] = {}


def _before_commit(
    self: Scribe, connection: apsw.Connection, commands: Sequence[Command[Any]]
) -> tuple[list[Answer], Stir | None]:
    deaf: Any = _deaf.setdefault(id(connection), _Deaf(connection))
    return _faithful(self, deaf, commands)


if __name__ == "__main__":
    Scribe._group = _before_commit  # type: ignore[method-assign]  # the guard, removed
    main()
