"""Lanes: each application's deliveries, counted by state, and when the next one is due.

Whoever changes deliveries holds their lanes first, so that caps, turns and breakers are those of
all replicas together. What changes is noted here and written down once, at the end.
"""

from collections.abc import Collection, Iterable

from dispatcher.adapters.postgres.flights import Asked
from dispatcher.adapters.postgres.transactions import Transaction
from dispatcher.domain.lanes import Lane
from dispatcher.stored.lanes import LaneCounts, lane_of

_HOLD = """
SELECT client_id, breaker FROM lane WHERE client_id = ANY($1::text[]) ORDER BY client_id FOR UPDATE
"""
_MAKE = """
INSERT INTO lane (client_id) SELECT * FROM unnest($1::text[]) AS wanted (client_id)
ORDER BY client_id ON CONFLICT DO NOTHING
"""
_WRITE = """
UPDATE lane SET
    pending = pending + added.p, in_flight = in_flight + added.i, delivered = delivered + added.d,
    failed = failed + added.f, cancelled = cancelled + added.c, served = greatest(served, $7),
    next_due_at = (
        SELECT min(due_at) FROM delivery
        WHERE delivery.client_id = added.client_id AND delivery.state = 'pending')
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
    AS added (client_id, p, i, d, f, c)
WHERE lane.client_id = added.client_id
"""


def ask_to_hold(tx: Transaction, client_ids: Iterable[str]) -> Asked:
    """Hold these lanes until the end, before whatever is sent next."""
    return tx.ask(_HOLD, list(client_ids))


async def unwell(holding: Asked) -> dict[str, Lane]:
    """Return those of the lanes that are held which are not simply well."""
    held: dict[str, str | None] = dict(await holding.rows())
    return {name: lane_of(breaker) for name, breaker in held.items() if breaker is not None}


async def hold_lanes(tx: Transaction, client_ids: Iterable[str]) -> dict[str, Lane]:
    """Hold these lanes until the end; return those that are not simply well."""
    return await unwell(ask_to_hold(tx, client_ids))


async def make_missing(tx: Transaction, client_ids: Collection[str], holding: Asked) -> None:
    """Make those of these lanes that are not there to be held, and hold them too."""
    if len(await holding.rows()) < len(client_ids):
        tx.write(_MAKE, list(client_ids))
        tx.write(_HOLD, list(client_ids))


class LaneChanges(LaneCounts):
    """What one command does to the lanes, which it holds."""

    def write(self, tx: Transaction, *, served: int = 0) -> None:
        """Write the changes down; *served* is the number of the claim that took from these."""
        if rows := self.rows():
            tx.write(_WRITE, *map(list, zip(*rows, strict=True)), served)
            tx.change_dues()
