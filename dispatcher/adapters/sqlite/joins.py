"""Joins: a user logged in to applications in a session, and it may be over already.

There is one writer, so a join and a match never overlap; what decides is the order of their
commits. ``after_event`` remembers the latest event when an application joined: every later event of
its session finds it. For the earlier ones ``ends_late_join`` decides, here and at once, and hands
those that say yes out for matching once more.

A client that the session knows already owes nothing more by joining again, though the session has
ended since: a repeat of a fact is no new login, for which an OP gives out a new ``sid``.
"""

from collections.abc import Sequence

from dispatcher.adapters.sqlite.transactions import Transaction
from dispatcher.domain.events import Intake, LogoutEvent, SessionJoined
from dispatcher.domain.sessions import ends_late_join
from dispatcher.stored.rows import EVENT_COLUMNS, event_number, event_of
from dispatcher.stored.values import maybe_micros, micros, packed, packed_plainly, packed_texts

_SUBS = """
SELECT json_group_array(json_array(sid, sub)) FROM json_each(?) CROSS JOIN session ON sid = value
"""
_KEEP_SESSION = """
INSERT INTO session (sid, sub, session_metadata, created_at, expires_at, kept_from)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (sid) DO UPDATE SET
    session_metadata = coalesce(excluded.session_metadata, session_metadata),
    expires_at = coalesce(excluded.expires_at, expires_at),
    kept_from = max(kept_from, excluded.kept_from)
"""
_KNOWN_CLIENTS = """
SELECT json_group_array(json_array(client_id, sub)) FROM session_client WHERE sid = ?
"""
_KEEP_CLIENTS = """
INSERT INTO session_client (sid, client_id, sub, joined_at, after_event)
SELECT ?1, value ->> 0, value ->> 1, ?2, ?3 FROM jsonb_each(?4) WHERE true
ON CONFLICT (sid, client_id) DO UPDATE SET
    sub = excluded.sub, joined_at = max(joined_at, excluded.joined_at)
"""
_EARLIER_ENDS = f"""
SELECT json_group_array(json_array({EVENT_COLUMNS}) ORDER BY number) FROM (
    SELECT * FROM event WHERE sid = ?1
    UNION ALL SELECT * FROM event WHERE sub = ?2 AND sid IS NULL)
"""  # noqa: S608 - a constant list of columns
_COME_LATE = """
INSERT OR IGNORE INTO late_join (event, sid, client_id)
SELECT ended.value, ?2, client.value FROM json_each(?1) AS ended, json_each(?3) AS client
"""
_MATCH_AGAIN = "UPDATE event SET due = 1 WHERE number IN (SELECT value FROM json_each(?))"
_END = "UPDATE session SET ended_at = ?, ended_by = ? WHERE sid = ? AND ended_at IS NULL"


def known_subs(tx: Transaction, intakes: Sequence[Intake]) -> dict[str, str]:
    """Return the ``sub`` of each session that is known and that *intakes* join."""
    sids = {intake.sid for intake in intakes if isinstance(intake, SessionJoined)}
    return dict(tx.read(_SUBS, packed([*sids]))) if sids else {}


def join(tx: Transaction, joined: SessionJoined, *, after_event: int) -> None:
    """Keep what *joined* says, whose ``sub`` is that of the session, if there is one."""
    _keep_session(tx, joined)
    added = _keep_clients(tx, joined, after_event)
    if added:
        _end_late(tx, joined, added)


def _keep_session(tx: Transaction, joined: SessionJoined) -> None:
    received_at, expires_at = micros(joined.received_at), maybe_micros(joined.expires_at)
    tx.write(
        _KEEP_SESSION,
        joined.sid,
        joined.sub,
        packed_texts(joined.session_metadata),
        maybe_micros(joined.occurred_at) or received_at,
        expires_at,
        max(received_at, expires_at or 0),
    )


def _keep_clients(tx: Transaction, joined: SessionJoined, after_event: int) -> list[str]:
    """Keep who joined; return those that were not in the session before.

    Who is named without a ``sub`` keeps the one that it is known to have.
    """
    known: dict[str, str] = dict(tx.read(_KNOWN_CLIENTS, joined.sid))
    subs = {
        client.client_id: client.sub or known.get(client.client_id) or joined.sub
        for client in joined.clients
    }
    joined_at = micros(joined.occurred_at or joined.received_at)
    keep = packed_plainly([*subs.items()])
    tx.write(_KEEP_CLIENTS, joined.sid, joined_at, after_event, keep)
    return [client_id for client_id in subs if client_id not in known]


def _end_late(tx: Transaction, joined: SessionJoined, added: Sequence[str]) -> None:
    """Hand out again those earlier events that end what *joined* tells of."""
    earlier = map(event_of, tx.read(_EARLIER_ENDS, joined.sid, joined.sub))
    ending = [event for event in earlier if ends_late_join(event, joined)]
    if not ending:
        return
    numbers = packed([event_number(event.event_id) for event in ending])
    tx.write(_COME_LATE, numbers, joined.sid, packed(added))
    tx.write(_MATCH_AGAIN, numbers)
    _end(tx, joined, ending[0])
    tx.stir()


def _end(tx: Transaction, joined: SessionJoined, event: LogoutEvent) -> None:
    tx.write(_END, micros(event.ended_at), event_number(event.event_id), joined.sid)
