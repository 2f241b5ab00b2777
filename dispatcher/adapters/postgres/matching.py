"""Matching in the store: what the registry knows of an event's scope, and what the event owes.

The events are held from the beginning, and what was joined is read after that: a join that hands an
event out once more waits for us, and is then found by the next look.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from dispatcher.adapters.postgres.flights import Rows
from dispatcher.adapters.postgres.lanes import LaneChanges, ask_to_hold, make_missing
from dispatcher.adapters.postgres.transactions import Transaction, columns
from dispatcher.domain.deliveries import DeliveryState, Reason
from dispatcher.domain.matching import Matched, Matcher
from dispatcher.stored.rows import EVENT_COLUMNS
from dispatcher.stored.scopes import Scope, gathered, matched_of, row_of_outcome, row_of_owed

_DUE = f"""
SELECT {EVENT_COLUMNS}, state FROM event WHERE due AND number > $1
ORDER BY number LIMIT $2 FOR UPDATE SKIP LOCKED
"""  # noqa: S608 - a constant list of columns
_SESSIONS = """
SELECT event.number, session.sub, session.session_metadata
FROM event JOIN session ON session.sid = event.sid WHERE event.number = ANY($1::bigint[])
"""
_JOINED = """
WITH scope (event, sid) AS (
    SELECT number, sid FROM event WHERE number = ANY($1::bigint[]) AND sid IS NOT NULL
    UNION ALL
    SELECT event.number, session.sid FROM event JOIN session ON session.sub = event.sub
    WHERE event.number = ANY($1::bigint[]) AND event.sid IS NULL)
SELECT scope.event, client.after_event < scope.event, late.matched,
    client.client_id, client.sid, client.sub, client.joined_at
FROM scope JOIN session_client AS client ON client.sid = scope.sid
LEFT JOIN late_join AS late ON late.event = scope.event
    AND late.sid = client.sid AND late.client_id = client.client_id
WHERE client.after_event < scope.event OR late.event IS NOT NULL
ORDER BY client.joined_at, client.sid, client.client_id
"""
_OWE = """
INSERT INTO delivery
    (event, client_id, uri, sub, sid, state, reason, due_at, created_at, started_at, settled_at)
SELECT event, client_id, uri, sub, sid, CASE WHEN failed IS NULL THEN 'pending' ELSE 'failed' END,
    failed, $7, $7, $7, CASE WHEN failed IS NULL THEN NULL ELSE $7 END
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
    AS owed (event, client_id, uri, sub, sid, failed)
ON CONFLICT DO NOTHING RETURNING number, event, client_id, state
"""
_SUPERSEDED = """
SELECT DISTINCT older.number, older.client_id
FROM delivery AS newer JOIN delivery AS older
    ON older.client_id = newer.client_id AND older.sub = newer.sub AND older.uri = newer.uri
JOIN event AS later ON later.number = newer.event
JOIN event AS earlier ON earlier.number = older.event AND earlier.initiator = later.initiator
WHERE newer.number = ANY($1::bigint[]) AND newer.sid IS NULL AND newer.state = 'pending'
    AND older.sid IS NULL AND older.settled_at IS NULL AND older.state = 'pending'
    AND older.event < newer.event
"""
_CANCEL = """
UPDATE delivery SET state = 'cancelled', reason = $2, settled_at = $3
WHERE number = ANY($1::bigint[]) AND state = 'pending'
"""
_MATCHED = """
UPDATE event SET due = false, state = matched.state, reason = matched.reason,
    unknown_clients = matched.unknown, owes = owes + matched.owed
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::integer[])
    AS matched (number, state, reason, unknown, owed)
WHERE event.number = matched.number
"""
_LATE_MATCHED = "UPDATE late_join SET matched = true WHERE event = ANY($1::bigint[])"


async def match(tx: Transaction, limit: int, matcher: Matcher) -> list[Matched]:
    """Match up to *limit* events that are due, oldest first, and store what they owe."""
    await tx.hold_registry()
    matched: list[Matched] = []
    after = 0
    while not matched and (due := await tx.rows(_DUE, after, limit)):
        matched = await _matched(tx, due, matcher)
        after = due[-1][0]
    return matched


async def _matched(tx: Transaction, due: Rows, matcher: Matcher) -> list[Matched]:
    """Match *due*, but for those that the matcher can not tell of: they are left as they are."""
    scopes = await _scopes(tx, [row[0] for row in due])
    applications = tx.books.applications
    judged = [(row, matched_of(row, scopes[row[0]], matcher, applications)) for row in due]
    told = [(row, one) for row, one in judged if one is not None]
    if told:
        owed = await _owe(tx, {row[0]: one for row, one in told})
        outcomes = [row_of_outcome(row, one.matching, owed[row[0]]) for row, one in told]
        tx.write(_MATCHED, *columns(outcomes))
        tx.write(_LATE_MATCHED, [row[0] for row, _ in told])
        tx.stir()
    return [one for _, one in told]


async def _scopes(tx: Transaction, numbers: Sequence[int]) -> dict[int, Scope]:
    sessions = tx.ask(_SESSIONS, numbers)
    joined = await tx.rows(_JOINED, numbers)
    return gathered(await sessions.rows(), joined)


async def _owe(tx: Transaction, matched: Mapping[int, Matched]) -> dict[int, int]:
    """Store the deliveries that are not there yet; return how many each event has more."""
    rows = [
        row_of_owed(event, new) for event, one in matched.items() for new in one.matching.deliveries
    ]
    owed: dict[int, int] = defaultdict(int)
    if not rows:
        return owed
    owing = {new.client_id for one in matched.values() for new in one.matching.deliveries}
    holding = ask_to_hold(tx, owing)
    stored = await tx.rows(_OWE, *columns(rows), tx.now)
    await make_missing(tx, owing, holding)
    lanes = LaneChanges()
    for _, event, client_id, state in stored:
        owed[event] += 1
        lanes.came(client_id, DeliveryState(state))
    if any(one.event.user_wide for one in matched.values()):
        await _supersede(tx, [row[0] for row in stored], lanes)
    lanes.write(tx)
    return owed


async def _supersede(tx: Transaction, stored: Sequence[int], lanes: LaneChanges) -> None:
    """Cancel what a newer user-wide delivery to the same URI says as well.

    Of the same initiator alone: of two, the application may drop the newer one's before it is sent,
    and would then hear of neither.
    """
    older: Any = await tx.rows(_SUPERSEDED, stored)
    if not older:
        return
    tx.write(_CANCEL, [number for number, _ in older], Reason.SUPERSEDED, tx.now)
    for _, client_id in older:
        lanes.moved(client_id, DeliveryState.PENDING, DeliveryState.CANCELLED)
