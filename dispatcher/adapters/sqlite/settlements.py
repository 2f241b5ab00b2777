"""Settling: attempts are recorded and deliveries move on, where the lease is still ours.

A whole batch takes a handful of statements, whatever its size.
"""

from collections.abc import Sequence

from dispatcher.adapters.sqlite.breakers import judge
from dispatcher.adapters.sqlite.lanes import LaneChanges
from dispatcher.adapters.sqlite.transactions import Transaction
from dispatcher.domain.deliveries import (
    FIRST_ATTEMPTS_KEPT,
    LAST_ATTEMPTS_KEPT,
    DeliveryState,
    Settled,
)
from dispatcher.stored.rows import delivery_number
from dispatcher.stored.settling import Held, counted, counts, ended, row_of_attempt, state_after
from dispatcher.stored.values import maybe_micros, packed

_HELD = """
SELECT json_group_array(json_array(delivery.number, lease, uri, client_id, attempt_count))
FROM jsonb_each(?) CROSS JOIN delivery ON delivery.number = value ->> 0
WHERE lease = value ->> 1 AND state = 'in_flight'
"""
_RECORD = """
INSERT INTO attempt
    (delivery, number, started_at, duration, outcome, status, error, jti, kid)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
    value ->> 7, value ->> 8
FROM jsonb_each(?)
"""
_THIN_OUT = "DELETE FROM attempt WHERE delivery = ? AND number = ?"
# Two statements, for one that puts off leaves the index of what is not yet told alone.
_PUT_OFF = """
UPDATE delivery SET state = 'pending', lease = NULL, lease_until = NULL, due_at = value ->> 2,
    attempt_count = attempt_count + (value ->> 4), tries = tries + (value ->> 4),
    refusals = refusals + (value ->> 5), excerpt = iif(value ->> 4, value ->> 6, excerpt)
FROM jsonb_each(?1)
WHERE number = value ->> 0 AND lease = value ->> 1 AND state = 'in_flight'
"""
_FINISH = """
UPDATE delivery SET state = value ->> 2, reason = value ->> 3, lease = NULL, lease_until = NULL,
    settled_at = ?2,
    attempt_count = attempt_count + (value ->> 4), tries = tries + (value ->> 4),
    refusals = refusals + (value ->> 5), excerpt = iif(value ->> 4, value ->> 6, excerpt)
FROM jsonb_each(?1)
WHERE number = value ->> 0 AND lease = value ->> 1 AND state = 'in_flight'
"""


def settle(tx: Transaction, batch: Sequence[Settled]) -> list[bool]:
    """Write *batch* down; say for each whether its lease was ours."""
    keys = [(delivery_number(one.delivery.id), one.delivery.lease) for one in batch]
    held = _held(tx, keys)
    ours: list[tuple[Held, Settled]] = []
    answers: list[bool] = []
    for key, settled in zip(keys, batch, strict=True):
        # Popped, so that what is settled twice in one batch is settled once.
        found = held.pop(key, None)
        answers.append(found is not None)
        if found is not None:
            ours.append((found, settled))
    if ours:
        _record(tx, ours)
        judge(tx, [(held.client_id, one.delivery.lease, ended(one)) for held, one in ours])
        _move(tx, ours).write(tx)
        tx.stir()
    return answers


_Key = tuple[int | None, int]


def _held(tx: Transaction, keys: Sequence[_Key]) -> dict[_Key, Held]:
    rows = tx.read(_HELD, packed([*set(keys)]))
    return {(number, lease): Held(number, *row) for number, lease, *row in rows}


def _record(tx: Transaction, ours: Sequence[tuple[Held, Settled]]) -> None:
    """Record the attempts; of each delivery the first few and the last ones are kept."""
    made = [
        (held, settled.attempt)
        for held, settled in ours
        if settled.attempt is not None and counts(settled.attempt)
    ]
    if made:
        tx.write(_RECORD, packed([row_of_attempt(held, attempt) for held, attempt in made]))
    for held, _ in made:
        surplus = held.attempt_count + 1 - LAST_ATTEMPTS_KEPT
        if surplus > FIRST_ATTEMPTS_KEPT:
            tx.write(_THIN_OUT, held.number, surplus)


def _move(tx: Transaction, ours: Sequence[tuple[Held, Settled]]) -> LaneChanges:
    """Move the deliveries on; return what that does to their lanes, to be written."""
    lanes = LaneChanges()
    put_off: list[list[object]] = []
    finished: list[list[object]] = []
    for held, settled in ours:
        state = state_after(held, settled)
        lanes.moved(held.client_id, DeliveryState.IN_FLIGHT, state)
        if state is DeliveryState.PENDING:
            due_at = maybe_micros(settled.settlement.due_at)
            added = counted(settled.attempt)
            put_off.append([held.number, settled.delivery.lease, due_at or tx.now, None, *added])
        else:
            reason, added = settled.settlement.reason, counted(settled.attempt)
            finished.append([held.number, settled.delivery.lease, state, reason, *added])
    if put_off:
        tx.write(_PUT_OFF, packed(put_off))
    if finished:
        tx.write(_FINISH, packed(finished), tx.now)
    return lanes
