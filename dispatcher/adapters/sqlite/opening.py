"""What happens once, when a store is opened.

Stored times are by the steady clock, which each process anchors anew to the wall clock; one boot
with a wrong wall clock must neither hold logouts up nor let them die. So the store keeps what the
clock showed last, and the next opening compares:

- The clock is *behind* that: it was ahead before, or is wrong now. Whatever lies in the future by
  the new clock was written by the old one, and goes back by the difference; what it would then
  still put off for longer than anything waits, does so no more. Sessions stay: one that is kept too
  long does no harm, and one that is forgotten too early is a logout lost.
- It is *ahead* by more than an ordinary restart takes: the service was down, or the clock was
  behind before, and nobody can know which. Either way nobody could deliver meanwhile, so that the
  time counts neither for a delivery's horizon nor for a session's retention. What was due is due.
"""

from datetime import timedelta

import apsw

from dispatcher.adapters.sqlite.breakers import carry_over, take_back_probes
from dispatcher.adapters.sqlite.lanes import LaneChanges
from dispatcher.adapters.sqlite.migrations import migrate
from dispatcher.adapters.sqlite.sealed import check_canary, reseal
from dispatcher.adapters.sqlite.transactions import Transaction
from dispatcher.domain.deliveries import DeliveryState
from dispatcher.domain.retry import RetryPolicy
from dispatcher.ports import Clock
from dispatcher.stored.books import Books
from dispatcher.stored.values import micros_of, span
from keys import Seal

ORDINARY_RESTART = timedelta(hours=1)
"""A gap up to this, the longest wait of the schedule, counts as time like any other."""
_LONGEST_WAIT = RetryPolicy().longest_wait

_DUE_EARLIER = """
UPDATE delivery SET due_at = min(due_at - ?2, ?1 + ?3) WHERE state = 'pending' AND due_at > ?1
"""
_BEGUN_EARLIER = """
UPDATE delivery SET
    created_at = iif(created_at > ?1, min(created_at - ?2, ?1), created_at),
    started_at = iif(started_at > ?1, min(started_at - ?2, ?1), started_at)
WHERE settled_at IS NULL AND (created_at > ?1 OR started_at > ?1)
"""
_NEXT_DUE = """
UPDATE lane SET next_due_at = (
    SELECT min(due_at) FROM delivery WHERE client_id = lane.client_id AND state = 'pending')
"""
_BEGUN_LATER = """
UPDATE delivery SET started_at = min(started_at + ?2, ?1) WHERE settled_at IS NULL
"""
_KEPT_LONGER = "UPDATE session SET kept_from = kept_from + ?"
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

    A store belongs to one process, and it is ours now: whoever held a lease is gone, and leases of
    the old clock are compared with nothing.
    """
    migrate(connection)
    tx = Transaction(connection, Books(), clock.steady())
    with connection:
        check_canary(connection, seal)
        reseal(connection, seal)
        _carry_over(tx)
        keep_time(tx)
        _recover(tx)
        tx.write("UPDATE meta SET boots = boots + 1")
    return int(tx.read("SELECT boots FROM meta"))


def keep_time(tx: Transaction) -> None:
    """Keep what the steady clock shows, for the next opening to compare its own with."""
    tx.write("UPDATE meta SET steady_at = ?", tx.now)


def _carry_over(tx: Transaction) -> None:
    """Put what is stored in terms of today's clock."""
    last: int | None = tx.read("SELECT steady_at FROM meta")
    if last is None:
        return
    if tx.now < last:
        behind = last - tx.now
        tx.write(_DUE_EARLIER, tx.now, behind, micros_of(_LONGEST_WAIT))
        tx.write(_BEGUN_EARLIER, tx.now, behind)
        tx.write(_NEXT_DUE)
        carry_over(tx, span(behind))
    elif tx.now - last > micros_of(ORDINARY_RESTART):
        tx.write(_BEGUN_LATER, tx.now, tx.now - last)
        tx.write(_KEPT_LONGER, tx.now - last)


def _recover(tx: Transaction) -> None:
    lanes = LaneChanges()
    for client_id, count in tx.read(_IN_FLIGHT):
        lanes.moved(client_id, DeliveryState.IN_FLIGHT, DeliveryState.PENDING, count)
    tx.write(_RECOVER, tx.now)
    lanes.write(tx)
    take_back_probes(tx)
