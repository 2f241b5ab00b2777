"""The door ``Sessions``: the session registry, for reading."""

from collections import defaultdict
from collections.abc import Sequence

from dispatcher.adapters.sqlite.engine import Door
from dispatcher.adapters.sqlite.readers import Reading
from dispatcher.domain.events import Sid, Sub
from dispatcher.domain.ledger import MOST_PER_PAGE
from dispatcher.domain.sessions import Joined, Session
from dispatcher.ports import SessionPlace
from dispatcher.stored.records import SESSION_COLUMNS, session_of
from dispatcher.stored.values import (
    ALWAYS,
    micros,
    moment,
    packed,
)

_SESSION = f"""
SELECT json_group_array(json_array({SESSION_COLUMNS})) FROM session WHERE sid = ?
"""  # noqa: S608 - a constant list of columns
_SESSIONS_OF = f"""
SELECT json_group_array(json_array({SESSION_COLUMNS}) ORDER BY created_at DESC, sid) FROM (
    SELECT * FROM session
    WHERE sub = ?1 AND (created_at < ?2 OR created_at = ?2 AND sid > ?3)
    ORDER BY created_at DESC, sid LIMIT ?4)
"""  # noqa: S608 - a constant list of columns
_CLIENTS = """
SELECT json_group_array(json_array(client_id, sid, sub, joined_at) ORDER BY joined_at, client_id)
FROM json_each(?) CROSS JOIN session_client ON sid = value
"""


class SqliteSessions(Door):
    """The session registry."""

    async def session(self, sid: Sid) -> Session | None:
        """Return one session."""
        found = await self._engine.readers.run(lambda reading: _sessions(reading, _SESSION, sid))
        return found[0] if found else None

    async def sessions_of(
        self, sub: Sub, *, after: SessionPlace | None = None, take: int = MOST_PER_PAGE
    ) -> Sequence[Session]:
        """Return the sessions of one user, newest first, those past *after*."""
        at, sid = (ALWAYS, "") if after is None else (micros(after.created_at), after.sid)
        return await self._engine.readers.run(
            lambda reading: _sessions(reading, _SESSIONS_OF, sub, at, sid, take)
        )


def _sessions(reading: Reading, sql: str, *wanted: str | int) -> list[Session]:
    rows = reading.read(sql, *wanted)
    clients: dict[str, list[Joined]] = defaultdict(list)
    for client_id, sid, sub, joined_at in reading.read(_CLIENTS, packed([row[0] for row in rows])):
        clients[sid].append(Joined(client_id, sid, sub, moment(joined_at)))
    return [session_of(row, tuple(clients[row[0]])) for row in rows]
