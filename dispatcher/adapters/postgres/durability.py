"""What the server must promise before anything is accepted: that on disk means on disk."""

from collections.abc import AsyncIterator

from dispatcher.adapters.postgres.connections import Connection
from dispatcher.adapters.postgres.migrations import STORE_SETTING
from dispatcher.domain.errors import Fault, InvalidSettings

UNSAFE_SETTING = "DISPATCHER_POSTGRES_ALLOW_UNSAFE"
LEAST_SERVER = 140000
_NEEDED = ("fsync", "synchronous_commit", "full_page_writes")
_ENCODING = "UTF8"


async def check_server(connection: Connection, *, allow_unsafe: bool) -> None:
    """Raise InvalidSettings for each reason why this server can not keep what it is given."""
    faults = [fault async for fault in _faults(connection)]
    if not allow_unsafe:
        faults += [fault async for fault in _unsafe(connection)]
    if faults:
        raise InvalidSettings([Fault(STORE_SETTING, fault) for fault in faults])


async def _faults(connection: Connection) -> AsyncIterator[str]:
    if connection.info.server_version < LEAST_SERVER:
        yield f"PostgreSQL {connection.info.server_version // 10000}: 14 is the least"
    if (encoding := await shown(connection, "server_encoding")) != _ENCODING:
        yield f"the database's encoding is {encoding}; it must be {_ENCODING}"
    if await shown(connection, "transaction_read_only") != "off":
        yield "the server takes no writes: it is a standby, or set so"


async def _unsafe(connection: Connection) -> AsyncIterator[str]:
    for name in _NEEDED:
        if await shown(connection, name) == "off":
            yield (
                f"{name} is off: what was accepted could be lost;"
                f" {UNSAFE_SETTING}=true takes that on"
            )


async def shown(connection: Connection, name: str) -> str:
    """Return the server's setting *name*, as it is for us."""
    row = await (await connection.execute(f"SHOW {name}".encode())).fetchone()
    return str(row[0]) if row else ""
