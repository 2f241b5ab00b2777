"""What happens once, when a store is opened."""

import apsw

from dispatcher.adapters.sqlite.books import Books
from dispatcher.adapters.sqlite.breakers import take_back_probes
from dispatcher.adapters.sqlite.lanes import LaneChanges
from dispatcher.adapters.sqlite.migrations import migrate
from dispatcher.adapters.sqlite.sealed import check_canary, reseal
from dispatcher.adapters.sqlite.transactions import Transaction
from dispatcher.domain.deliveries import DeliveryState
from dispatcher.ports import Clock
from keys import Seal

_IN_FLIGHT = """
SELECT json_group_array(json_array(client_id, deliveries)) FROM (
    SELECT client_id, count(*) AS deliveries FROM delivery
    WHERE state = 'in_flight' GROUP BY client_id)
"""
_RECOVER = """
UPDATE delivery SET state = 'pending', due_at = ?, lease = NULL, lease_until = NULL
WHERE state = 'in_flight'
"""


def prepare(connection: apsw.Connection, seal: Seal, clock: Clock) -> int:
    """Bring the store up to date and take back what the last process held; return the boot.

    A store belongs to one process, and it is ours now: whoever held a lease is gone. Times of a
    steady clock that was anchored anew are compared with the old ones, never leases.
    """
    migrate(connection)
    tx = Transaction(connection, Books(), clock.steady())
    with connection:
        check_canary(connection, seal)
        reseal(connection, seal)
        _recover(tx)
        tx.write("UPDATE meta SET boots = boots + 1")
    return int(tx.read("SELECT boots FROM meta"))


def _recover(tx: Transaction) -> None:
    lanes = LaneChanges()
    for client_id, count in tx.read(_IN_FLIGHT):
        lanes.moved(client_id, DeliveryState.IN_FLIGHT, DeliveryState.PENDING, count)
    tx.write(_RECOVER, tx.now)
    lanes.write(tx)
    take_back_probes(tx)
