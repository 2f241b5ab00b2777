"""Lanes: each application's deliveries, counted by state, and when the next one is due.

What changes the state of deliveries notes it here and writes it down once, in the transaction of
the change. So a claim finds the lanes that have something due without a look at the backlog, and
counting a million deliveries is a sum over lanes.
"""

from collections import defaultdict

from dispatcher.adapters.sqlite.transactions import Transaction
from dispatcher.domain.deliveries import DeliveryState
from dispatcher.stored.values import packed

STATES: tuple[DeliveryState, ...] = (
    DeliveryState.PENDING,
    DeliveryState.IN_FLIGHT,
    DeliveryState.DELIVERED,
    DeliveryState.FAILED,
    DeliveryState.CANCELLED,
)
"""The states, in the order of the lane's columns."""

_WRITE = """
INSERT INTO lane
    (client_id, pending, in_flight, delivered, failed, cancelled, served, next_due_at)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, ?2,
    (SELECT min(due_at) FROM delivery WHERE client_id = value ->> 0 AND state = 'pending')
FROM jsonb_each(?1) WHERE true
ON CONFLICT (client_id) DO UPDATE SET
    pending = pending + excluded.pending,
    in_flight = in_flight + excluded.in_flight,
    delivered = delivered + excluded.delivered,
    failed = failed + excluded.failed,
    cancelled = cancelled + excluded.cancelled,
    served = max(served, excluded.served),
    next_due_at = excluded.next_due_at
"""


class LaneChanges:
    """What one command does to the lanes."""

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

    def write(self, tx: Transaction, *, served: int = 0) -> None:
        """Write the changes down; *served* is the number of the claim that took from these."""
        if self._by_client:
            rows = [[client_id, *lane.values()] for client_id, lane in self._by_client.items()]
            tx.write(_WRITE, packed(rows), served)
            tx.change_dues()
