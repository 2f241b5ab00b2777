"""The door ``Sessions``: the session registry, for reading."""

from collections import defaultdict
from collections.abc import Sequence

from dispatcher.adapters.postgres.doors import Door
from dispatcher.adapters.postgres.transactions import READING, Transaction
from dispatcher.domain.events import Sid, Sub
from dispatcher.domain.ledger import MOST_PER_PAGE
from dispatcher.domain.sessions import Joined, Session
from dispatcher.ports import SessionPlace
from dispatcher.stored.records import SESSION_COLUMNS, session_of
from dispatcher.stored.values import ALWAYS, micros, moment

_SESSION = f"SELECT {SESSION_COLUMNS} FROM session WHERE sid = $1"  # noqa: S608 - a constant list
_SESSIONS_OF = f"""
SELECT {SESSION_COLUMNS} FROM session
WHERE sub = $1 AND (created_at < $2 OR created_at = $2 AND sid > $3)
ORDER BY created_at DESC, sid LIMIT $4
"""  # noqa: S608 - a constant list of columns
_CLIENTS = """
SELECT client_id, sid, sub, joined_at FROM session_client WHERE sid = ANY($1::text[])
ORDER BY joined_at, client_id
"""


class PostgresSessions(Door):
    """The session registry."""

    async def session(self, sid: Sid) -> Session | None:
        """Return one session."""
        found = await self._engine.run(lambda tx: _sessions(tx, _SESSION, sid), terms=READING)
        return found[0] if found else None

    async def sessions_of(
        self, sub: Sub, *, after: SessionPlace | None = None, take: int = MOST_PER_PAGE
    ) -> Sequence[Session]:
        """Return the sessions of one user, newest first, those past *after*."""
        at, sid = (ALWAYS, "") if after is None else (micros(after.created_at), after.sid)
        return await self._engine.run(
            lambda tx: _sessions(tx, _SESSIONS_OF, sub, at, sid, take), terms=READING
        )


async def _sessions(tx: Transaction, sql: str, *wanted: str | int) -> list[Session]:
    rows = await tx.rows(sql, *wanted)
    clients: dict[str, list[Joined]] = defaultdict(list)
    for client_id, sid, sub, joined_at in await tx.rows(_CLIENTS, [row[0] for row in rows]):
        clients[sid].append(Joined(client_id, sid, sub, moment(joined_at)))
    return [session_of(row, tuple(clients[row[0]])) for row in rows]
