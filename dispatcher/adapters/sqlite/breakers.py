"""Breakers: how lanes have been doing, as far as they are not simply open and well.

A lane that is well has no breaker in the store, and costs nothing here.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from dispatcher.adapters.sqlite.lanes import LaneChanges
from dispatcher.adapters.sqlite.transactions import Transaction
from dispatcher.domain.deliveries import DeliveryState
from dispatcher.domain.lanes import Lane
from dispatcher.stored.lanes import (
    MOST_HASTENED,
    NOT_SENT,
    SECOND_CHANCE,
    WELL,
    Ended,
    breaker_row,
    changed,
    judged,
    lane_of,
    opened,
)
from dispatcher.stored.values import moment, packed

_BREAKERS = """
SELECT json_group_object(client_id, breaker) FROM json_each(?)
CROSS JOIN lane ON client_id = value WHERE breaker IS NOT NULL
"""
_WRITE = """
UPDATE lane SET state = value ->> 1, breaker = value ->> 2, closed_until = value ->> 3
FROM jsonb_each(?) WHERE client_id = value ->> 0
"""
_HASTEN = """
UPDATE delivery SET due_at = created_at
WHERE number IN (
    SELECT number FROM delivery INDEXED BY delivery_pending
    WHERE client_id IN (SELECT value FROM json_each(?1)) AND state = 'pending'
        AND (tries > 0) IN (0, 1) AND due_at > ?2
        AND (refusals = 0 OR due_at > ?2 + ?3)
    ORDER BY number LIMIT ?4)
"""
_TAKE_THEIR_PLACE = """
UPDATE delivery SET due_at = created_at
WHERE number IN (
    SELECT number FROM delivery INDEXED BY delivery_pending
    WHERE client_id IN (SELECT value FROM json_each(?1)) AND state = 'pending' AND (tries > 0) = 1
        AND due_at > created_at AND due_at <= ?2
    ORDER BY number LIMIT ?3)
"""
"""What came due while the lane was closed is as old as it is, not as young as its last attempt."""
_UNWELL = "SELECT json_group_array(client_id) FROM lane WHERE breaker IS NOT NULL"


def breakers_of(tx: Transaction, client_ids: Sequence[str]) -> dict[str, Lane]:
    """Return those of the lanes of *client_ids* that are not simply well."""
    found: dict[str, Any] = tx.read(_BREAKERS, packed(client_ids))
    return {client_id: lane_of(row) for client_id, row in found.items()}


def write_breakers(tx: Transaction, lanes: Mapping[str, Lane]) -> None:
    """Write down how *lanes* are doing; a lane that is well again has no breaker."""
    if lanes:
        now = moment(tx.now)
        rows = [breaker_row(client_id, lane, now) for client_id, lane in lanes.items()]
        tx.write(_WRITE, packed(rows))


def judge(tx: Transaction, ended: Sequence[Ended]) -> None:
    """Tell the lanes how their attempts *ended*, in order.

    Before these deliveries are pending again: where a lane opens, what waits in it has waited for
    nothing else, but what was tried just now has its own time.
    """
    before = breakers_of(tx, list({client_id for client_id, _, _ in ended}))
    _change(tx, before, judged(before, ended, moment(tx.now)))


def carry_over(tx: Transaction, behind: timedelta) -> None:
    """Put the lanes' times in terms of a clock that is *behind* the one they were kept by."""
    now = moment(tx.now)
    lanes = breakers_of(tx, tx.read(_UNWELL))
    carried = {name: lane.at_clock(now, behind=behind) for name, lane in lanes.items()}
    write_breakers(tx, carried)


def take_back_probes(tx: Transaction) -> None:
    """Let probes that the last process had under way be made again."""
    lanes = breakers_of(tx, tx.read(_UNWELL))
    probes = {name: lane.probe for name, lane in lanes.items() if lane.probe is not None}
    judge(tx, [(client_id, lease, NOT_SENT) for client_id, lease in probes.items()])


def pause(tx: Transaction, client_id: str) -> None:
    """Start nothing more in a lane, which need not have had a delivery yet."""
    _touch(tx, client_id)
    _steer(tx, client_id, Lane.paused)


def resume(tx: Transaction, client_id: str) -> None:
    """Let a paused lane go on."""
    now = moment(tx.now)
    _steer(tx, client_id, lambda lane: lane.resumed(now))


def forget(tx: Transaction, client_id: str) -> None:
    """Open the lane of an application that is gone, so that what it was owed is called off."""
    _steer(tx, client_id, lambda _: WELL)


def _steer(tx: Transaction, client_id: str, how: Callable[[Lane], Lane]) -> None:
    before = breakers_of(tx, [client_id])
    after = {client_id: how(before.get(client_id, WELL))}
    if _change(tx, before, after):
        _touch(tx, client_id)
        tx.stir()


def _touch(tx: Transaction, client_id: str) -> None:
    """See to it that there is a lane, which knows when its next delivery is due."""
    counts = LaneChanges()
    counts.came(client_id, DeliveryState.PENDING, 0)
    counts.write(tx)


def _change(tx: Transaction, before: Mapping[str, Lane], after: Mapping[str, Lane]) -> bool:
    """Write down which lanes are another way than *before*; say whether there are any."""
    if hastened := opened(before, after):
        tx.write(_HASTEN, packed(hastened), tx.now, SECOND_CHANCE, MOST_HASTENED)
        tx.write(_TAKE_THEIR_PLACE, packed(hastened), tx.now, MOST_HASTENED)
    others = changed(before, after)
    write_breakers(tx, others)
    return bool(others)
