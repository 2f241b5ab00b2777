"""Joins: a user logged in to applications in a session, and it may be over already.

``after_event`` remembers the latest event when an application joined: every later event of its
session finds it. For the earlier ones ``ends_late_join`` decides, here and at once, and hands those
that say yes out for matching once more. Both are read under the lock of the scopes.

A client that the session knows already owes nothing more by joining again, though the session has
ended since: a repeat of a fact is no new login, for which an OP gives out a new ``sid``.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dispatcher.adapters.postgres.transactions import Transaction
from dispatcher.domain.events import Intake, LogoutEvent, SessionJoined
from dispatcher.domain.sessions import ends_late_join
from dispatcher.stored.rows import EVENT_COLUMNS, event_number, event_of
from dispatcher.stored.values import maybe_micros, micros, packed_texts

_SUBS = "SELECT sid, sub FROM session WHERE sid = ANY($1::text[])"
_KEEP_SESSIONS = """
INSERT INTO session (sid, sub, session_metadata, created_at, expires_at, kept_from)
SELECT * FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[]) AS joined (sid)
ORDER BY sid
ON CONFLICT (sid) DO UPDATE SET
    session_metadata = coalesce(excluded.session_metadata, session.session_metadata),
    expires_at = coalesce(excluded.expires_at, session.expires_at),
    kept_from = greatest(session.kept_from, excluded.kept_from)
"""
_KNOWN_CLIENTS = "SELECT sid, client_id, sub FROM session_client WHERE sid = ANY($1::text[])"
_KEEP_CLIENTS = """
INSERT INTO session_client (sid, client_id, sub, joined_at, after_event)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
ON CONFLICT (sid, client_id) DO UPDATE SET
    sub = excluded.sub, joined_at = greatest(session_client.joined_at, excluded.joined_at)
"""
_EARLIER_ENDS = f"""
SELECT {EVENT_COLUMNS} FROM event
WHERE sid = ANY($1::text[]) OR sid IS NULL AND sub = ANY($2::text[]) ORDER BY number FOR UPDATE
"""  # noqa: S608 - a constant list of columns
_COME_LATE = """
INSERT INTO late_join (event, sid, client_id)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[]) ON CONFLICT DO NOTHING
"""
_MATCH_AGAIN = "UPDATE event SET due = true WHERE number = ANY($1::bigint[])"
_END = """
UPDATE session SET ended_at = late.ended_at, ended_by = late.ended_by
FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS late (sid, ended_at, ended_by)
WHERE session.sid = late.sid AND session.ended_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class Join:
    """A join, and the number of the latest event before it."""

    joined: SessionJoined
    after_event: int


async def known_subs(tx: Transaction, intakes: Sequence[Intake]) -> dict[str, str]:
    """Return the ``sub`` of those of the sessions to be joined that are known."""
    sids = {intake.sid for intake in intakes if isinstance(intake, SessionJoined)}
    return dict(await tx.rows(_SUBS, list(sids))) if sids else {}


async def join_all(tx: Transaction, joins: Sequence[Join]) -> None:
    """Keep what *joins* say, each of a session and a user of its own."""
    _keep_sessions(tx, [join.joined for join in joins])
    added = await _keep_clients(tx, joins)
    late = [join.joined for join in joins if added[join.joined.sid]]
    if late:
        await _end_late(tx, late, added)


def _keep_sessions(tx: Transaction, joins: Sequence[SessionJoined]) -> None:
    received = [micros(join.received_at) for join in joins]
    expires = [maybe_micros(join.expires_at) for join in joins]
    tx.write(
        _KEEP_SESSIONS,
        [join.sid for join in joins],
        [join.sub for join in joins],
        [packed_texts(join.session_metadata) for join in joins],
        [maybe_micros(join.occurred_at) or at for join, at in zip(joins, received, strict=True)],
        expires,
        [max(at, end or 0) for at, end in zip(received, expires, strict=True)],
    )


async def _keep_clients(tx: Transaction, joins: Sequence[Join]) -> dict[str, list[str]]:
    """Keep who joined; return by session those that were not in it before.

    Who is named without a ``sub`` keeps the one that it is known to have.
    """
    sids = [join.joined.sid for join in joins]
    known = {(sid, client_id): sub for sid, client_id, sub in await tx.rows(_KNOWN_CLIENTS, sids)}
    added: dict[str, list[str]] = defaultdict(list)
    rows: dict[tuple[str, str], tuple[str, int, int]] = {}
    for join in joins:
        joined, sid = join.joined, join.joined.sid
        at = micros(joined.occurred_at or joined.received_at)
        for client in joined.clients:
            key = sid, client.client_id
            rows[key] = client.sub or known.get(key) or joined.sub, at, join.after_event
            if key not in known and client.client_id not in added[sid]:
                added[sid].append(client.client_id)
    tx.write(
        _KEEP_CLIENTS,
        [sid for sid, _ in rows],
        [client_id for _, client_id in rows],
        [sub for sub, _, _ in rows.values()],
        [at for _, at, _ in rows.values()],
        [after for _, _, after in rows.values()],
    )
    return added


async def _end_late(
    tx: Transaction, joins: Sequence[SessionJoined], added: Mapping[str, Sequence[str]]
) -> None:
    """Hand out again those earlier events that end what *joins* tell of."""
    sids, subs = [join.sid for join in joins], [join.sub for join in joins]
    earlier = [event_of(row) for row in await tx.rows(_EARLIER_ENDS, sids, subs)]
    ending = {
        join.sid: [event for event in earlier if ends_late_join(event, join)] for join in joins
    }
    late = [
        (event_number(event.event_id), sid, client_id)
        for sid, events in ending.items()
        for event in events
        for client_id in added[sid]
    ]
    if late:
        tx.write(_COME_LATE, *map(list, zip(*late, strict=True)))
        tx.write(_MATCH_AGAIN, list({number for number, _, _ in late}))
        _end(tx, {sid: events[0] for sid, events in ending.items() if events})
        tx.stir()


def _end(tx: Transaction, ended: Mapping[str, LogoutEvent]) -> None:
    tx.write(
        _END,
        list(ended),
        [micros(event.ended_at) for event in ended.values()],
        [event_number(event.event_id) for event in ended.values()],
    )
