"""Matching in the store: what the registry knows of an event's scope, and what the event owes."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from dispatcher.adapters.sqlite.lanes import LaneChanges
from dispatcher.adapters.sqlite.transactions import Transaction
from dispatcher.domain.deliveries import DeliveryState, Reason
from dispatcher.domain.matching import Matched, Matcher
from dispatcher.stored.rows import EVENT_COLUMNS
from dispatcher.stored.scopes import Scope, gathered, matched_of, row_of_outcome, row_of_owed
from dispatcher.stored.values import packed

_DUE = f"""
SELECT json_group_array(json_array({EVENT_COLUMNS}, state) ORDER BY number)
FROM (SELECT * FROM event INDEXED BY event_due
    WHERE due = 1 AND number > ?1 ORDER BY number LIMIT ?2)
"""  # noqa: S608 - a constant list of columns
_SESSIONS = """
SELECT json_group_array(json_array(event.number, session.sub, session.session_metadata))
FROM json_each(?) AS wanted
JOIN event ON event.number = wanted.value
JOIN session ON session.sid = event.sid
"""
_JOINED = """
WITH scope (event, sid) AS (
    SELECT number, sid FROM event
    WHERE number IN (SELECT value FROM json_each(?1)) AND sid IS NOT NULL
    UNION ALL
    SELECT event.number, session.sid FROM event JOIN session ON session.sub = event.sub
    WHERE event.number IN (SELECT value FROM json_each(?1)) AND event.sid IS NULL)
SELECT json_group_array(
    json_array(scope.event, client.after_event < scope.event, late.matched,
        client.client_id, client.sid, client.sub, client.joined_at)
    ORDER BY client.joined_at, client.sid, client.client_id)
FROM scope CROSS JOIN session_client AS client ON client.sid = scope.sid
LEFT JOIN late_join AS late ON late.event = scope.event
    AND late.sid = client.sid AND late.client_id = client.client_id
WHERE client.after_event < scope.event OR late.event IS NOT NULL
"""
_OWE = """
INSERT OR IGNORE INTO delivery
    (event, client_id, uri, sub, sid, state, reason, due_at, created_at, started_at, settled_at)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4,
    iif(value ->> 5 IS NULL, 'pending', 'failed'), value ->> 5, ?2, ?2, ?2,
    iif(value ->> 5 IS NULL, NULL, ?2)
FROM jsonb_each(?1)
"""
_LATEST = "SELECT coalesce(max(number), 0) FROM delivery"
_OWED = """
SELECT json_group_array(json_array(event, client_id, state, deliveries)) FROM (
    SELECT event, client_id, state, count(*) AS deliveries
    FROM delivery NOT INDEXED WHERE number > ? GROUP BY event, client_id, state)
"""
"""What was just stored. Not by an index that spares the sorting, and goes through everything."""
_SUPERSEDED = """
SELECT json_group_array(json_array(older.number, older.client_id))
FROM delivery AS newer CROSS JOIN delivery AS older
    ON older.client_id = newer.client_id AND older.sub IS newer.sub AND older.uri = newer.uri
CROSS JOIN event AS later ON later.number = newer.event
CROSS JOIN event AS earlier ON earlier.number = older.event
    AND earlier.initiator = later.initiator
WHERE newer.number > ? AND newer.sid IS NULL AND newer.state = 'pending'
    AND older.sid IS NULL AND older.settled_at IS NULL AND older.state = 'pending'
    AND older.event < newer.event
"""
_CANCEL = """
UPDATE delivery SET state = 'cancelled', reason = ?2, settled_at = ?3
WHERE number IN (SELECT value FROM json_each(?1)) AND state = 'pending'
"""
_MATCHED = """
UPDATE event SET due = 0, state = value ->> 1, reason = value ->> 2,
    unknown_clients = value ->> 3, owes = owes + (value ->> 4)
FROM jsonb_each(?) WHERE number = value ->> 0
"""
_LATE_MATCHED = """
UPDATE late_join SET matched = 1 WHERE event IN (SELECT value FROM json_each(?))
"""


def match(tx: Transaction, limit: int, matcher: Matcher) -> list[Matched]:
    """Match up to *limit* events that are due, oldest first, and store what they owe."""
    matched: list[Matched] = []
    after = 0
    while not matched and (due := tx.read(_DUE, after, limit)):
        matched = _matched(tx, due, matcher)
        after = due[-1][0]
    return matched


def _matched(tx: Transaction, due: Sequence[Sequence[Any]], matcher: Matcher) -> list[Matched]:
    """Match *due*, but for those that the matcher can not tell of: they are left as they are."""
    scopes = _scopes(tx, packed([row[0] for row in due]))
    applications = tx.books.applications
    judged = [(row, matched_of(row, scopes[row[0]], matcher, applications)) for row in due]
    told = [(row, one) for row, one in judged if one is not None]
    owed = _owe(tx, {row[0]: one for row, one in told})
    outcomes = [row_of_outcome(row, one.matching, owed[row[0]]) for row, one in told]
    tx.write(_MATCHED, packed(outcomes))
    tx.write(_LATE_MATCHED, packed([row[0] for row, _ in told]))
    if told:
        tx.stir()
    return [one for _, one in told]


def _scopes(tx: Transaction, numbers: str) -> dict[int, Scope]:
    return gathered(tx.read(_SESSIONS, numbers), tx.read(_JOINED, numbers))


def _owe(tx: Transaction, matched: dict[int, Matched]) -> dict[int, int]:
    """Store the deliveries that are not there yet; return how many each event has more."""
    latest = int(tx.read(_LATEST))
    rows = [
        row_of_owed(event, new) for event, one in matched.items() for new in one.matching.deliveries
    ]
    owed: dict[int, int] = defaultdict(int)
    if not rows:
        return owed
    tx.write(_OWE, packed(rows), tx.now)
    lanes = LaneChanges()
    for event, client_id, state, count in tx.read(_OWED, latest):
        owed[event] += count
        lanes.came(client_id, DeliveryState(state), count)
    if any(one.event.user_wide for one in matched.values()):
        _supersede(tx, latest, lanes)
    lanes.write(tx)
    return owed


def _supersede(tx: Transaction, latest: int, lanes: LaneChanges) -> None:
    """Cancel what a newer user-wide delivery to the same URI says as well.

    Of the same initiator alone: of two, the application may drop the newer one's before it is sent,
    and would then hear of neither.
    """
    older = tx.read(_SUPERSEDED, latest)
    if not older:
        return
    by_number = dict(older)
    tx.write(_CANCEL, packed(list(by_number)), Reason.SUPERSEDED, tx.now)
    for client_id in by_number.values():
        lanes.moved(client_id, DeliveryState.PENDING, DeliveryState.CANCELLED)
