"""Retrying: what failed or was cancelled is owed once more, because a person asks for it."""

from collections.abc import Sequence

from dispatcher.adapters.postgres.lanes import LaneChanges, ask_to_hold
from dispatcher.adapters.postgres.transactions import Transaction
from dispatcher.domain.deliveries import DeliveryId, DeliveryState, Retrial
from dispatcher.stored.retrying import Over
from dispatcher.stored.rows import delivery_number

_LANES = "SELECT DISTINCT client_id FROM delivery WHERE number = ANY($1::bigint[])"
_FOUND = """
SELECT delivery.number, delivery.client_id, delivery.uri, delivery.sid, delivery.state,
    delivery.reason, (event.except_sids IS NOT NULL)::integer
FROM delivery JOIN event ON event.number = delivery.event
WHERE delivery.number = ANY($1::bigint[]) ORDER BY delivery.number FOR UPDATE OF delivery
"""
_REPOINT = """
UPDATE delivery SET uri = $2 WHERE number = $1 AND NOT EXISTS (
    SELECT 1 FROM delivery AS other
    WHERE other.event = delivery.event AND other.client_id = delivery.client_id
        AND other.uri = $2 AND coalesce(other.sid, '') = coalesce(delivery.sid, ''))
"""
_OWE_AGAIN = """
UPDATE delivery SET state = 'pending', reason = NULL, due_at = $2, started_at = $2, tries = 0,
    refusals = 0, settled_at = NULL
WHERE number = ANY($1::bigint[])
"""


async def retry(tx: Transaction, ids: Sequence[DeliveryId]) -> list[Retrial]:
    """Owe those of *ids* once more that may be; say what came of each."""
    await tx.hold_registry()
    numbers = [delivery_number(known_as) for known_as in ids]
    ask_to_hold(tx, [client_id for (client_id,) in await tx.rows(_LANES, numbers)])
    found = {row[0]: Over(*row) for row in await tx.rows(_FOUND, numbers)}
    retried = [one for one in found.values() if one.retrial is Retrial.RETRIED]
    if retried:
        _owe_again(tx, retried)
    return [found[number].retrial if number in found else Retrial.UNKNOWN for number in numbers]


def _owe_again(tx: Transaction, retried: Sequence[Over]) -> None:
    for one in retried:
        uri = one.uri_now(tx.books.applications)
        if uri != one.uri:
            # One after another: two that went to different URIs may both go to the same one now.
            tx.write(_REPOINT, one.number, uri)
    tx.write(_OWE_AGAIN, [one.number for one in retried], tx.now)
    lanes = LaneChanges()
    for one in retried:
        lanes.moved(one.client_id, DeliveryState(one.state), DeliveryState.PENDING)
    lanes.write(tx)
    tx.stir()
