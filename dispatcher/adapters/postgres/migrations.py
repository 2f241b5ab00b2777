"""Brings a store to the version that this release knows; says where it is behind.

Steps only add, so a store that is newer than this release serves it as well: while a new release is
rolled out, replicas of the old one go on working.
"""

from collections.abc import Sequence

from dispatcher.adapters.postgres.connections import Connection
from dispatcher.adapters.postgres.schema import STEPS
from dispatcher.domain.errors import Fault, InvalidSettings

STORE_SETTING = "DISPATCHER_STORE"
# Of several that migrate at one moment, each in a transaction, the others wait and find it done.
_ALONE = "SELECT pg_advisory_xact_lock(hashtext('dispatcher migrate'))"
# A step that waits for a table holds up all who come after it: rather try it again later.
_SOON = "SET LOCAL lock_timeout = '1s'"
_IS_THERE = "SELECT to_regclass('meta') IS NOT NULL"
_VERSION = "SELECT schema_version FROM meta"
_TAKEN = "UPDATE meta SET schema_version = %d"


async def take_steps(connection: Connection, steps: Sequence[str] = STEPS) -> None:
    """Take the missing *steps*, all or none."""
    async with connection.transaction():
        await connection.execute(_ALONE.encode())
        await connection.execute(_SOON.encode())
        version = await _version(connection)
        for step in steps[version:]:
            await connection.execute(step.encode())
        if version < len(steps):
            await connection.execute((_TAKEN % len(steps)).encode())


async def check_version(connection: Connection) -> None:
    """Raise InvalidSettings where the store is behind: replicas do not migrate by themselves."""
    version = await _version(connection)
    if version < len(STEPS):
        message = (
            f"has schema version {version}, this release needs {len(STEPS)}: run"
            " `dispatcher migrate` once"
        )
        raise InvalidSettings([Fault(STORE_SETTING, message)])


async def _version(connection: Connection) -> int:
    (there,) = await _row(connection, _IS_THERE)
    return int(str((await _row(connection, _VERSION))[0])) if there else 0


async def _row(connection: Connection, sql: str) -> tuple[object, ...]:
    row = await (await connection.execute(sql.encode())).fetchone()
    return row or (None,)
