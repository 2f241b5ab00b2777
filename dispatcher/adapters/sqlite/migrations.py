"""Brings a store to the version that this release knows, or refuses it."""

from collections.abc import Sequence

import apsw

from dispatcher.adapters.sqlite.lock import STORE_SETTING
from dispatcher.adapters.sqlite.schema import STEPS
from dispatcher.domain.errors import Fault, InvalidSettings


def migrate(connection: apsw.Connection, steps: Sequence[str] = STEPS) -> None:
    """Take the missing *steps*, all or none; raise InvalidSettings for a newer store's file."""
    version, known = int(connection.pragma("user_version")), len(steps)
    if version > known:
        message = f"has schema version {version}, this release knows {known}; run the newer one"
        raise InvalidSettings([Fault(STORE_SETTING, message)])
    if version == known:
        return
    with connection:
        for step in steps[version:]:
            connection.execute(step)
        connection.pragma("user_version", known)
