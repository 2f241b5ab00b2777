"""Retrying: what failed or was cancelled is owed once more, because a person asks for it."""

from collections.abc import Sequence

from dispatcher.adapters.sqlite.lanes import LaneChanges
from dispatcher.adapters.sqlite.transactions import Transaction
from dispatcher.domain.deliveries import DeliveryId, DeliveryState, Retrial
from dispatcher.stored.retrying import Over
from dispatcher.stored.rows import delivery_number
from dispatcher.stored.values import packed

_FOUND = """
SELECT json_group_array(json_array(delivery.number, delivery.client_id, delivery.uri, delivery.sid,
    delivery.state, delivery.reason, event.except_sids IS NOT NULL))
FROM json_each(?) CROSS JOIN delivery ON delivery.number = value
JOIN event ON event.number = delivery.event
"""
_REPOINT = """
UPDATE OR IGNORE delivery SET uri = value ->> 1 FROM jsonb_each(?) WHERE number = value ->> 0
"""
_OWE_AGAIN = """
UPDATE delivery SET state = 'pending', reason = NULL, due_at = ?2, started_at = ?2, tries = 0,
    refusals = 0, settled_at = NULL
WHERE number IN (SELECT value FROM json_each(?1))
"""


def retry(tx: Transaction, ids: Sequence[DeliveryId]) -> list[Retrial]:
    """Owe those of *ids* once more that may be; say what came of each."""
    numbers = [delivery_number(known_as) for known_as in ids]
    rows = tx.read(_FOUND, packed(numbers))
    found = {row[0]: Over(*row) for row in rows}
    retried = [one for one in found.values() if one.retrial is Retrial.RETRIED]
    if retried:
        _owe_again(tx, retried)
    return [found[number].retrial if number in found else Retrial.UNKNOWN for number in numbers]


def _owe_again(tx: Transaction, retried: Sequence[Over]) -> None:
    applications = tx.books.applications
    moved = [[one.number, uri] for one in retried if (uri := one.uri_now(applications)) != one.uri]
    tx.write(_REPOINT, packed(moved))
    tx.write(_OWE_AGAIN, packed([one.number for one in retried]), tx.now)
    lanes = LaneChanges()
    for one in retried:
        lanes.moved(one.client_id, DeliveryState(one.state), DeliveryState.PENDING)
    lanes.write(tx)
    tx.stir()
