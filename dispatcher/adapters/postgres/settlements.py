"""Settling: attempts are recorded and deliveries move on, where the lease is still ours.

A whole batch takes a handful of statements, whatever its size.
"""

from collections.abc import Sequence

from dispatcher.adapters.postgres.breakers import judge
from dispatcher.adapters.postgres.lanes import LaneChanges, ask_to_hold, unwell
from dispatcher.adapters.postgres.transactions import Transaction, columns
from dispatcher.domain.deliveries import (
    FIRST_ATTEMPTS_KEPT,
    LAST_ATTEMPTS_KEPT,
    DeliveryState,
    Settled,
)
from dispatcher.stored.rows import delivery_number
from dispatcher.stored.settling import Held, counted, counts, ended, row_of_attempt, state_after
from dispatcher.stored.values import maybe_micros

_HELD = """
SELECT delivery.number, delivery.lease, uri, client_id, attempt_count
FROM unnest($1::bigint[], $2::bigint[]) AS wanted (number, lease)
JOIN delivery ON delivery.number = wanted.number
WHERE delivery.lease = wanted.lease AND state = 'in_flight'
ORDER BY delivery.number FOR UPDATE OF delivery
"""
_RECORD = """
INSERT INTO attempt (delivery, number, started_at, duration, outcome, status, error, jti, kid)
SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::bigint[], $5::text[],
    $6::integer[], $7::text[], $8::text[], $9::text[])
"""
_THIN_OUT = """
DELETE FROM attempt USING unnest($1::bigint[], $2::integer[]) AS surplus (delivery, number)
WHERE attempt.delivery = surplus.delivery AND attempt.number = surplus.number
"""
_MOVE_ON = """
UPDATE delivery SET state = moved.state, reason = moved.reason, lease = NULL, lease_until = NULL,
    due_at = coalesce(moved.due_at, delivery.due_at), settled_at = moved.settled_at,
    attempt_count = attempt_count + made, tries = tries + made, refusals = refusals + refused,
    excerpt = CASE made WHEN 0 THEN delivery.excerpt ELSE moved.excerpt END
FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[],
    $7::integer[], $8::integer[], $9::text[])
    AS moved (number, lease, state, reason, due_at, settled_at, made, refused, excerpt)
WHERE delivery.number = moved.number AND delivery.lease = moved.lease
    AND delivery.state = 'in_flight'
"""

_Key = tuple[int | None, int]


async def settle(tx: Transaction, batch: Sequence[Settled]) -> list[bool]:
    """Write *batch* down; say for each whether its lease was ours."""
    keys = [(delivery_number(one.delivery.id), one.delivery.lease) for one in batch]
    holding = ask_to_hold(tx, {one.delivery.client_id for one in batch})
    held = await _held(tx, keys)
    lanes = await unwell(holding)
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
        told = [(held.client_id, one.delivery.lease, ended(one)) for held, one in ours]
        judge(tx, lanes, told)
        _move(tx, ours)
        tx.stir()
    return answers


async def _held(tx: Transaction, keys: Sequence[_Key]) -> dict[_Key, Held]:
    wanted = set(keys)
    numbers, leases = [number for number, _ in wanted], [lease for _, lease in wanted]
    rows = await tx.rows(_HELD, numbers, leases)
    return {(number, lease): Held(number, *row) for number, lease, *row in rows}


def _record(tx: Transaction, ours: Sequence[tuple[Held, Settled]]) -> None:
    """Record the attempts; of each delivery the first few and the last ones are kept."""
    made = [
        (held, settled.attempt)
        for held, settled in ours
        if settled.attempt is not None and counts(settled.attempt)
    ]
    if made:
        rows = [row_of_attempt(held, attempt) for held, attempt in made]
        tx.write(_RECORD, *columns(rows))
    surplus = [(held.number, held.attempt_count + 1 - LAST_ATTEMPTS_KEPT) for held, _ in made]
    surplus = [(number, attempt) for number, attempt in surplus if attempt > FIRST_ATTEMPTS_KEPT]
    if surplus:
        tx.write(_THIN_OUT, *columns(surplus))


def _move(tx: Transaction, ours: Sequence[tuple[Held, Settled]]) -> None:
    """Move the deliveries on, and their lanes along."""
    lanes = LaneChanges()
    rows: list[list[object]] = []
    for held, settled in ours:
        state = state_after(held, settled)
        lanes.moved(held.client_id, DeliveryState.IN_FLIGHT, state)
        waits = state is DeliveryState.PENDING
        due_at = (maybe_micros(settled.settlement.due_at) or tx.now) if waits else None
        reason = None if waits else settled.settlement.reason
        settled_at = None if waits else tx.now
        key = held.number, settled.delivery.lease
        rows.append([*key, state, reason, due_at, settled_at, *counted(settled.attempt)])
    tx.write(_MOVE_ON, *columns(rows))
    lanes.write(tx)
