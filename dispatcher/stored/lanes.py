"""Lanes as they lie in a store: how many deliveries in each state, and how each has been doing.

A lane that is open and well has no breaker in the store. ``closed_until`` lies beside the breaker,
so that a claim passes over closed lanes without reading it.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from dispatcher.domain.deliveries import DeliveryState, LeaseId, Outcome
from dispatcher.domain.lanes import Lane, LaneState
from dispatcher.domain.retry import RetryPolicy
from dispatcher.stored.values import maybe_micros, maybe_moment, micros, micros_of, packed

STATES: tuple[DeliveryState, ...] = (
    DeliveryState.PENDING,
    DeliveryState.IN_FLIGHT,
    DeliveryState.DELIVERED,
    DeliveryState.FAILED,
    DeliveryState.CANCELLED,
)
"""The states, in the order of the lane's columns."""
WELL = Lane()
"""How a lane is that has no breaker in the store."""
SECOND_CHANCE = micros_of(RetryPolicy().after_refusal * (1 + RetryPolicy().jitter))
"""What was refused waits for its second chance, whoever answers meanwhile."""
MOST_HASTENED = 2000
"""Of what was put off in a lane that opens so many are due at once, the oldest; what else there is
keeps its time, as no transaction may take longer the more has gathered."""

Ended = tuple[str, LeaseId, Outcome | None]
"""Whose attempt it was, under which lease, and how it ended."""
NOT_SENT: Final = None
"""How an attempt ended that was never made: given back, called off, or lost with its lease."""


class LaneCounts:
    """What one command does to the number of deliveries that each lane has in each state."""

    def __init__(self) -> None:
        self._by_client: dict[str, dict[DeliveryState, int]] = defaultdict(
            lambda: dict.fromkeys(STATES, 0)
        )

    def came(self, client_id: str, state: DeliveryState, count: int = 1) -> None:
        """Note deliveries that came to be in *state*."""
        self._by_client[client_id][state] += count

    def went(self, client_id: str, state: DeliveryState, count: int = 1) -> None:
        """Note deliveries that are no longer in *state*."""
        self._by_client[client_id][state] -= count

    def moved(self, client_id: str, old: DeliveryState, new: DeliveryState, count: int = 1) -> None:
        """Note deliveries that went from one state to another, or came due at another time."""
        lane = self._by_client[client_id]
        lane[old] -= count
        lane[new] += count

    def rows(self) -> list[tuple[str | int, ...]]:
        """Return each lane that changed, with what is added to its counts, as ``STATES`` has it."""
        return [
            (client_id, *(counts[state] for state in STATES))
            for client_id, counts in self._by_client.items()
        ]


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


def breaker_row(
    client_id: str, lane: Lane, now: datetime
) -> tuple[str, LaneState, str | None, int | None]:
    """Return what is stored of *lane*: its state, its breaker, and until when it is closed."""
    breaker = None if lane == WELL else row_of_lane(lane)
    closed_until = maybe_micros(lane.closed_until(now))
    if lane.state is LaneState.PARKED:
        # Even when a probe is due: among the closed lanes it is found though no delivery is.
        closed_until = closed_until or micros(now)
    return client_id, lane.state, breaker, closed_until


def judged(before: Mapping[str, Lane], ended: Sequence[Ended], now: datetime) -> dict[str, Lane]:
    """Return how lanes are after their attempts *ended*, in order."""
    after = dict(before)
    for client_id, lease, outcome in ended:
        lane = after.get(client_id, WELL)
        after[client_id] = (
            lane.given_back(lease) if outcome is NOT_SENT else lane.after(outcome, now, lease)
        )
    return after


def changed(before: Mapping[str, Lane], after: Mapping[str, Lane]) -> dict[str, Lane]:
    """Return those that are another way than *before*."""
    return {
        client_id: lane for client_id, lane in after.items() if lane != before.get(client_id, WELL)
    }


def opened(before: Mapping[str, Lane], after: Mapping[str, Lane]) -> list[str]:
    """Return those that were not open *before*, and are now."""
    closed = (client_id for client_id, lane in before.items() if lane.state is not LaneState.OPEN)
    return [client_id for client_id in closed if after[client_id].state is LaneState.OPEN]
