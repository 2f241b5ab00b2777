"""Pruning: what is over is forgotten, a bite at a time, and never what is still owed."""

from collections.abc import Callable, Iterator
from datetime import timedelta

from dispatcher.adapters.sqlite.lanes import LaneChanges
from dispatcher.adapters.sqlite.transactions import Transaction
from dispatcher.domain.deliveries import DeliveryState
from dispatcher.ports import PRUNED_AT_ONCE, Retention
from dispatcher.stored.values import micros_of, packed

_OLD_DELIVERIES = f"""
SELECT json_group_array(json_array(number, client_id, event)) FROM (
    SELECT number, client_id, event FROM delivery
    WHERE state = ? AND settled_at IS NOT NULL AND settled_at < ?
    ORDER BY settled_at LIMIT {PRUNED_AT_ONCE})
"""  # noqa: S608 - a constant number
_DELETE_DELIVERIES = "DELETE FROM delivery WHERE number IN (SELECT value FROM json_each(?))"
_OWE_LESS = """
UPDATE event SET owes = owes - gone.deliveries FROM (
    SELECT value AS number, count(*) AS deliveries FROM json_each(?) GROUP BY value) AS gone
WHERE event.number = gone.number
"""
_DELETE_EVENTS = f"""
DELETE FROM event WHERE number IN (
    SELECT number FROM event WHERE owes = 0 AND due = 0 AND received_at < ? LIMIT {PRUNED_AT_ONCE})
"""  # noqa: S608 - a constant number
_DELETE_SESSIONS = f"""
DELETE FROM session WHERE sid IN (
    SELECT sid FROM session WHERE kept_from < ?
        AND NOT EXISTS (SELECT 1 FROM event WHERE event.sid = session.sid AND due = 1)
        AND NOT EXISTS (
            SELECT 1 FROM event WHERE event.sub = session.sub AND event.sid IS NULL AND due = 1)
    LIMIT {PRUNED_AT_ONCE})
"""  # noqa: S608 - a constant number
_DELETE_INTAKES = f"""
DELETE FROM intake WHERE (source, id) IN (
    SELECT source, id FROM intake WHERE received_at < ? LIMIT {PRUNED_AT_ONCE})
"""  # noqa: S608 - a constant number
_DELETE_TOKENS = f"""
DELETE FROM access_token WHERE hash IN (
    SELECT hash FROM access_token WHERE expires_at <= ? LIMIT {PRUNED_AT_ONCE})
"""  # noqa: S608 - a constant number

_NO_TIME = timedelta()


def prune(tx: Transaction, retention: Retention, wall: int) -> int:
    """Remove a bite of each kind that is older than its retention; return how many rows went.

    *wall* is the wall clock's time. Of it and the steady one the earlier counts: a clock that is
    set forward by mistake must not empty the store.
    """
    now = min(wall, tx.now)

    def before(kept: timedelta) -> int:
        return now - micros_of(kept)

    deliveries = sum(_prune_deliveries(tx, retention, before))
    events = _deleted(tx, _DELETE_EVENTS, before(retention.settled))
    sessions = _deleted(tx, _DELETE_SESSIONS, before(retention.sessions))
    intakes = _deleted(tx, _DELETE_INTAKES, before(retention.ids))
    tokens = _deleted(tx, _DELETE_TOKENS, before(_NO_TIME))
    return deliveries + events + sessions + intakes + tokens


def _prune_deliveries(
    tx: Transaction, retention: Retention, before: Callable[[timedelta], int]
) -> Iterator[int]:
    for state, kept in (
        (DeliveryState.DELIVERED, retention.settled),
        (DeliveryState.CANCELLED, retention.settled),
        (DeliveryState.FAILED, retention.failed),
    ):
        yield _prune_state(tx, state, before(kept))


def _prune_state(tx: Transaction, state: DeliveryState, before: int) -> int:
    old = tx.read(_OLD_DELIVERIES, state, before)
    if not old:
        return 0
    lanes = LaneChanges()
    for _, client_id, _ in old:
        lanes.went(client_id, state)
    tx.write(_DELETE_DELIVERIES, packed([number for number, _, _ in old]))
    tx.write(_OWE_LESS, packed([event for _, _, event in old]))
    lanes.write(tx)
    return len(old)


def _deleted(tx: Transaction, sql: str, before: int) -> int:
    tx.write(sql, before)
    return tx.connection.changes()
