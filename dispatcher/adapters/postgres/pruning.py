"""Pruning: what is over is forgotten, a bite at a time, and never what is still owed.

Any replica may prune, and one at a time does. What somebody else holds is left for the next bite.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta

from dispatcher.adapters.postgres.lanes import LaneChanges, ask_to_hold
from dispatcher.adapters.postgres.transactions import Transaction, columns
from dispatcher.domain.deliveries import DeliveryState
from dispatcher.ports import PRUNED_AT_ONCE, Retention
from dispatcher.stored.values import micros_of

_ALONE = "SELECT pg_try_advisory_xact_lock(hashtext('dispatcher prune'))"

_OLD_DELIVERIES = f"""
SELECT number, client_id, event, state FROM delivery
WHERE state = $1 AND settled_at IS NOT NULL AND settled_at < $2
ORDER BY settled_at LIMIT {PRUNED_AT_ONCE}
"""  # noqa: S608 - a constant number
_HOLD_EVENTS = """
SELECT number FROM event WHERE number = ANY($1::bigint[]) ORDER BY number FOR UPDATE SKIP LOCKED
"""
_DELETE_DELIVERIES = """
DELETE FROM delivery USING unnest($1::bigint[], $2::text[]) AS old (number, state)
WHERE delivery.number = old.number AND delivery.state = old.state AND settled_at IS NOT NULL
RETURNING delivery.number, client_id, event, delivery.state
"""
_DELETE_ATTEMPTS = "DELETE FROM attempt WHERE delivery = ANY($1::bigint[])"
_OWE_LESS = """
UPDATE event SET owes = owes - gone.deliveries FROM (
    SELECT number, count(*) AS deliveries FROM unnest($1::bigint[]) AS number GROUP BY number
) AS gone
WHERE event.number = gone.number
"""
_OLD_EVENTS = f"""
SELECT number FROM event WHERE owes = 0 AND NOT due AND received_at < $1
LIMIT {PRUNED_AT_ONCE} FOR UPDATE SKIP LOCKED
"""  # noqa: S608 - a constant number
_DELETE_EVENTS = (
    "DELETE FROM event WHERE number = ANY($1::bigint[])",
    "DELETE FROM late_join WHERE event = ANY($1::bigint[])",
)
_OLD_SESSIONS = f"""
SELECT sid FROM session WHERE kept_from < $1
    AND NOT EXISTS (SELECT 1 FROM event WHERE event.sid = session.sid AND due)
    AND NOT EXISTS (
        SELECT 1 FROM event WHERE event.sub = session.sub AND event.sid IS NULL AND due)
LIMIT {PRUNED_AT_ONCE} FOR UPDATE OF session SKIP LOCKED
"""  # noqa: S608 - a constant number
_DELETE_SESSIONS = (
    "DELETE FROM session WHERE sid = ANY($1::text[])",
    "DELETE FROM session_client WHERE sid = ANY($1::text[])",
)
_OLD_INTAKES = f"""
SELECT source, id FROM intake WHERE received_at < $1 LIMIT {PRUNED_AT_ONCE} FOR UPDATE SKIP LOCKED
"""  # noqa: S608 - a constant number
_DELETE_INTAKES = (
    """
    DELETE FROM intake USING unnest($1::text[], $2::text[]) AS gone (source, id)
    WHERE intake.source = gone.source AND intake.id = gone.id
    """,
)
_OLD_TOKENS = f"""
SELECT hash FROM access_token WHERE expires_at <= $1 LIMIT {PRUNED_AT_ONCE} FOR UPDATE SKIP LOCKED
"""  # noqa: S608 - a constant number
_DELETE_TOKENS = ("DELETE FROM access_token WHERE hash = ANY($1::text[])",)

_NO_TIME = timedelta()


async def prune(tx: Transaction, retention: Retention, wall: int) -> int:
    """Remove a bite of each kind that is older than its retention; return how many rows went.

    *wall* is the wall clock's time. Of it and the database's the earlier counts: a clock that is
    set forward by mistake must not empty the store.
    """
    if not await tx.value(_ALONE):
        return 0
    now = min(wall, tx.now)

    def before(kept: timedelta) -> int:
        return now - micros_of(kept)

    gone = 0
    for old, deletes, kept in (
        (_OLD_EVENTS, _DELETE_EVENTS, retention.settled),
        (_OLD_SESSIONS, _DELETE_SESSIONS, retention.sessions),
        (_OLD_INTAKES, _DELETE_INTAKES, retention.ids),
        (_OLD_TOKENS, _DELETE_TOKENS, _NO_TIME),
    ):
        gone += await _bite(tx, old, deletes, before(kept))
    # Last, since whoever claims or settles waits for the lanes that this holds.
    return gone + await _prune_deliveries(tx, retention, before)


async def _bite(tx: Transaction, old: str, deletes: Sequence[str], before: int) -> int:
    """Delete the rows whose keys *old* selects; return how many there were.

    By their keys, one statement after the other: in one the planner would go through all rows.
    """
    rows = await tx.rows(old, before)
    if rows:
        for delete in deletes:
            tx.write(delete, *columns(rows))
    return len(rows)


async def _prune_deliveries(
    tx: Transaction, retention: Retention, before: Callable[[timedelta], int]
) -> int:
    """Delete old deliveries of every state, whose lanes are held once, in their order."""
    old: list[tuple[int, str, int, str]] = []
    for state, kept in (
        (DeliveryState.DELIVERED, retention.settled),
        (DeliveryState.CANCELLED, retention.settled),
        (DeliveryState.FAILED, retention.failed),
    ):
        old += await tx.rows(_OLD_DELIVERIES, state, before(kept))
    if not old:
        return 0
    held = {row[0] for row in await tx.rows(_HOLD_EVENTS, [event for _, _, event, _ in old])}
    old = [row for row in old if row[2] in held]
    ask_to_hold(tx, {client_id for _, client_id, _, _ in old})
    return await _delete_deliveries(tx, [(number, state) for number, _, _, state in old])


async def _delete_deliveries(tx: Transaction, old: Sequence[tuple[int, str]]) -> int:
    """Delete those of *old* that are still in the state that they were seen in."""
    numbers, states = [number for number, _ in old], [state for _, state in old]
    gone = await tx.rows(_DELETE_DELIVERIES, numbers, states)
    tx.write(_DELETE_ATTEMPTS, [number for number, _, _, _ in gone])
    tx.write(_OWE_LESS, [event for _, _, event, _ in gone])
    lanes = LaneChanges()
    for _, client_id, _, state in gone:
        lanes.went(client_id, DeliveryState(state))
    lanes.write(tx)
    return len(gone)
