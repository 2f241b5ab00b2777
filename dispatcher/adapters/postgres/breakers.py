"""Breakers: how lanes have been doing, as far as they are not simply open and well.

A lane that is well has no breaker in the store, and costs nothing here.
"""

from collections.abc import Callable, Mapping, Sequence

from dispatcher.adapters.postgres.lanes import LaneChanges, ask_to_hold, hold_lanes, make_missing
from dispatcher.adapters.postgres.transactions import Transaction
from dispatcher.domain.deliveries import DeliveryState
from dispatcher.domain.lanes import Lane
from dispatcher.stored.lanes import (
    MOST_HASTENED,
    SECOND_CHANCE,
    WELL,
    Ended,
    breaker_row,
    changed,
    judged,
    opened,
)
from dispatcher.stored.values import moment

_WRITE = """
UPDATE lane SET state = now.state, breaker = now.breaker, closed_until = now.closed_until
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
    AS now (client_id, state, breaker, closed_until)
WHERE lane.client_id = now.client_id
"""
_HASTEN = """
UPDATE delivery SET due_at = created_at WHERE number = ANY(ARRAY(
    SELECT number FROM delivery
    WHERE client_id = ANY($1::text[]) AND state = 'pending' AND due_at > $2
        AND (refusals = 0 OR due_at > $2::bigint + $3::bigint)
    ORDER BY number LIMIT $4))
"""
_TAKE_THEIR_PLACE = """
UPDATE delivery SET due_at = created_at WHERE number = ANY(ARRAY(
    SELECT number FROM delivery
    WHERE client_id = ANY($1::text[]) AND state = 'pending' AND tries > 0
        AND due_at > created_at AND due_at <= $2
    ORDER BY number LIMIT $3))
"""
"""What came due while the lane was closed is as old as it is, not as young as its last attempt."""


def write_breakers(tx: Transaction, lanes: Mapping[str, Lane]) -> None:
    """Write down how *lanes* are doing; a lane that is well again has no breaker."""
    if lanes:
        now = moment(tx.now)
        rows = [breaker_row(client_id, lane, now) for client_id, lane in lanes.items()]
        tx.write(_WRITE, *map(list, zip(*rows, strict=True)))


def judge(tx: Transaction, before: Mapping[str, Lane], ended: Sequence[Ended]) -> None:
    """Tell the lanes, which are held and were so *before*, how their attempts *ended*, in order.

    Before these deliveries are pending again: where a lane opens, what waits in it has waited for
    nothing else, but what was tried just now has its own time.
    """
    _change(tx, before, judged(before, ended, moment(tx.now)))


async def pause(tx: Transaction, client_id: str) -> None:
    """Start nothing more in a lane, which need not have had a delivery yet."""
    await make_missing(tx, [client_id], ask_to_hold(tx, [client_id]))
    await _steer(tx, client_id, Lane.paused)


async def resume(tx: Transaction, client_id: str) -> None:
    """Let a paused lane go on."""
    now = moment(tx.now)
    await _steer(tx, client_id, lambda lane: lane.resumed(now))


async def forget(tx: Transaction, client_id: str) -> None:
    """Open the lane of an application that is gone, so that what it was owed is called off."""
    await _steer(tx, client_id, lambda _: WELL)


async def _steer(tx: Transaction, client_id: str, how: Callable[[Lane], Lane]) -> None:
    before = await hold_lanes(tx, [client_id])
    if _change(tx, before, {client_id: how(before.get(client_id, WELL))}):
        # Nothing more and nothing less: but when its next delivery is due may have changed.
        counts = LaneChanges()
        counts.came(client_id, DeliveryState.PENDING, 0)
        counts.write(tx)
        tx.stir()


def _change(tx: Transaction, before: Mapping[str, Lane], after: Mapping[str, Lane]) -> bool:
    """Write down which lanes are another way than *before*; say whether there are any."""
    if hastened := opened(before, after):
        tx.write(_HASTEN, hastened, tx.now, SECOND_CHANCE, MOST_HASTENED)
        tx.write(_TAKE_THEIR_PLACE, hastened, tx.now, MOST_HASTENED)
    others = changed(before, after)
    write_breakers(tx, others)
    return bool(others)
