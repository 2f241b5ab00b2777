"""Breakers: how lanes have been doing, as far as they are not simply open and well.

A lane that is well has no breaker in the store, and costs nothing here. ``closed_until`` lies
beside the breaker, so that a claim passes over closed lanes without reading it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from dispatcher.adapters.sqlite.lanes import LaneChanges
from dispatcher.adapters.sqlite.transactions import Transaction
from dispatcher.domain.deliveries import DeliveryState, LeaseId, Outcome
from dispatcher.domain.lanes import Lane, LaneState
from dispatcher.domain.retry import RetryPolicy
from dispatcher.stored.values import (
    maybe_micros,
    maybe_moment,
    micros_of,
    moment,
    packed,
)

Ended = tuple[str, LeaseId, Outcome | None]
"""Whose attempt it was, under which lease, and how it ended."""
NOT_SENT: Final = None
"""How an attempt ended that was never made: given back, called off, or lost with its lease."""

_WELL = Lane()
_SECOND_CHANCE = micros_of(RetryPolicy().after_refusal * (1 + RetryPolicy().jitter))
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
WHERE client_id IN (SELECT value FROM json_each(?1)) AND state = 'pending' AND due_at > ?2
    AND (refusals = 0 OR due_at > ?2 + ?3)
"""
"""What was refused waits for its second chance, whoever answers meanwhile."""
_UNWELL = "SELECT json_group_array(client_id) FROM lane WHERE breaker IS NOT NULL"


def row_of_lane(lane: Lane) -> str:
    """Return *lane* as it is stored."""
    return packed(
        [
            lane.state,
            lane.failures,
            maybe_micros(lane.parked_at),
            lane.probes,
            maybe_micros(lane.next_probe_at),
            lane.probe,
            maybe_micros(lane.opened_at),
            lane.flushed,
            maybe_micros(lane.held_until),
        ]
    )


def lane_of(row: str) -> Lane:
    """Return the lane that ``row_of_lane`` stored."""
    state, failures, parked_at, probes, next_probe_at, probe, *flush = json.loads(row)
    opened_at, flushed, held_until = flush
    return Lane(
        state=LaneState(state),
        failures=failures,
        parked_at=maybe_moment(parked_at),
        probes=probes,
        next_probe_at=maybe_moment(next_probe_at),
        probe=probe,
        opened_at=maybe_moment(opened_at),
        flushed=flushed,
        held_until=maybe_moment(held_until),
    )


def breakers_of(tx: Transaction, client_ids: Sequence[str]) -> dict[str, Lane]:
    """Return those of the lanes of *client_ids* that are not simply well."""
    found: dict[str, Any] = tx.read(_BREAKERS, packed(client_ids))
    return {client_id: lane_of(row) for client_id, row in found.items()}


def write_breakers(tx: Transaction, lanes: Mapping[str, Lane]) -> None:
    """Write down how *lanes* are doing; a lane that is well again has no breaker."""
    if lanes:
        tx.write(_WRITE, packed([_row(client_id, lane, tx) for client_id, lane in lanes.items()]))


def _row(client_id: str, lane: Lane, tx: Transaction) -> list[object]:
    breaker = None if lane == _WELL else row_of_lane(lane)
    closed_until = maybe_micros(lane.closed_until(moment(tx.now)))
    if lane.state is LaneState.PARKED:
        # Even when a probe is due: among the closed lanes it is found though no delivery is.
        closed_until = closed_until or tx.now
    return [client_id, lane.state, breaker, closed_until]


def judge(tx: Transaction, ended: Sequence[Ended]) -> None:
    """Tell the lanes how their attempts *ended*, in order.

    Before these deliveries are pending again: where a lane opens, what waits in it has waited for
    nothing else, but what was tried just now has its own time.
    """
    now = moment(tx.now)
    before = breakers_of(tx, list({client_id for client_id, _, _ in ended}))
    after = dict(before)
    for client_id, lease, outcome in ended:
        lane = after.get(client_id, _WELL)
        after[client_id] = (
            lane.given_back(lease) if outcome is NOT_SENT else lane.after(outcome, now, lease)
        )
    _change(tx, before, after)


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
    _steer(tx, client_id, lambda _: _WELL)


def _steer(tx: Transaction, client_id: str, how: Callable[[Lane], Lane]) -> None:
    before = breakers_of(tx, [client_id])
    after = {client_id: how(before.get(client_id, _WELL))}
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
    changed = {
        client_id: lane for client_id, lane in after.items() if lane != before.get(client_id, _WELL)
    }
    closed = {client_id for client_id, lane in before.items() if lane.state is not LaneState.OPEN}
    opened = [client_id for client_id in closed if after[client_id].state is LaneState.OPEN]
    if opened:
        tx.write(_HASTEN, packed(opened), tx.now, _SECOND_CHANCE)
    write_breakers(tx, changed)
    return bool(changed)
