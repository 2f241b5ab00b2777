"""Lanes: each application's deliveries, counted by state, and when the next one is due.

What changes the state of deliveries notes it here and writes it down once, in the transaction of
the change. So a claim finds the lanes that have something due without a look at the backlog, and
counting a million deliveries is a sum over lanes.
"""

from dispatcher.adapters.sqlite.transactions import Transaction
from dispatcher.stored.lanes import LaneCounts
from dispatcher.stored.values import packed

_WRITE = """
INSERT INTO lane
    (client_id, pending, in_flight, delivered, failed, cancelled, served, next_due_at)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, ?2,
    (SELECT min(due_at) FROM (
        SELECT min(due_at) AS due_at FROM delivery
        WHERE client_id = value ->> 0 AND state = 'pending' AND (tries > 0) = 0
        UNION ALL SELECT min(due_at) FROM delivery
        WHERE client_id = value ->> 0 AND state = 'pending' AND (tries > 0) = 1))
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


class LaneChanges(LaneCounts):
    """What one command does to the lanes."""

    def write(self, tx: Transaction, *, served: int = 0) -> None:
        """Write the changes down; *served* is the number of the claim that took from these."""
        if rows := self.rows():
            tx.write(_WRITE, packed(rows), served)
            tx.change_dues()
