"""Claiming: the lanes take turns, and what is taken is lent until its lease ends.

The cost of a claim follows what is taken, not what is waiting: lanes with something due come from
their own small table, and from each of them its oldest deliveries come from the head of an index.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dispatcher.adapters.sqlite.lanes import LaneChanges
from dispatcher.adapters.sqlite.rows import CLAIMED_COLUMNS, delivery_of
from dispatcher.adapters.sqlite.transactions import Transaction
from dispatcher.adapters.sqlite.values import moment, packed
from dispatcher.domain.deliveries import Delivery, DeliveryState, LeaseId

_EXPIRED = """
SELECT json_group_array(number) FROM (
    SELECT number FROM delivery WHERE state = 'in_flight' AND lease_until <= ?
    ORDER BY lease_until LIMIT ?)
"""
_LANES = """
SELECT json_group_object(client_id, room) FROM (
    SELECT lane.client_id, min(pending, coalesce(max_in_flight, 16) - in_flight) AS room
    FROM lane LEFT JOIN application ON application.client_id = lane.client_id
    WHERE next_due_at <= ?1 AND in_flight < coalesce(max_in_flight, 16)
    ORDER BY served, next_due_at LIMIT ?2)
"""
"""The lanes that have something due and room for it, the least recently served first."""
_PICK = """
SELECT json_group_array(json((SELECT json_group_array(number) FROM (
    SELECT number FROM delivery
    WHERE client_id = lane.value AND state = 'pending' AND due_at <= ?2
    ORDER BY due_at LIMIT ?3)))) FROM json_each(?1) AS lane
"""
_LEND = """
UPDATE delivery SET state = 'in_flight', lease = ?2, lease_until = ?3
WHERE number IN (SELECT value FROM json_each(?1))
"""
_LENT = f"""
SELECT json_group_array(json_array({CLAIMED_COLUMNS})) FROM json_each(?) AS wanted
CROSS JOIN delivery ON delivery.number = wanted.value
"""  # noqa: S608 - a constant list of columns
_TOLD = """
SELECT json_group_array(json_array(event.number, wanted.value ->> 1, event.initiator,
    iif(event.sid IS NULL, coalesce(event.occurred_at, event.received_at), NULL),
    coalesce(event.session_metadata, session.session_metadata)))
FROM jsonb_each(?) AS wanted
JOIN event ON event.number = wanted.value ->> 0
LEFT JOIN session ON session.sid = wanted.value ->> 1
"""


@dataclass(frozen=True, slots=True)
class Loan:
    """On what terms a claim lends: its number, which no other claim ever has, and its end."""

    lease: int
    until: int


def claim(tx: Transaction, limit: int, loan: Loan) -> list[Delivery]:
    """Lend up to *limit* deliveries: those whose lease ran out, then those that are due."""
    expired: list[int] = tx.read(_EXPIRED, tx.now, limit)
    picked = _pick(tx, limit - len(expired))
    numbers = [*expired, *(number for lane in picked.values() for number in lane)]
    if not numbers:
        return []
    wanted = packed(numbers)
    tx.write(_LEND, wanted, loan.lease, loan.until)
    lanes = LaneChanges()
    for client_id, lane in picked.items():
        lanes.moved(client_id, DeliveryState.PENDING, DeliveryState.IN_FLIGHT, len(lane))
    lanes.write(tx, served=loan.lease)
    tx.change_dues()
    return _lent(tx, wanted, loan)


def _pick(tx: Transaction, limit: int) -> dict[str, list[int]]:
    """Return the oldest due deliveries of each lane whose turn it is."""
    picked: dict[str, list[int]] = {}
    if limit <= 0:
        return picked
    for share, lanes in _by_share(shares(tx.read(_LANES, tx.now, limit), limit)).items():
        found = tx.read(_PICK, packed(lanes), tx.now, share)
        picked |= {lane: numbers for lane, numbers in zip(lanes, found, strict=True) if numbers}
    return picked


def shares(rooms: Mapping[str, int], limit: int) -> dict[str, int]:
    """Deal *limit* out to lanes with room, one each in turn, until neither is left."""
    dealt = dict.fromkeys(rooms, 0)
    left = min(limit, sum(rooms.values()))
    while left:
        open_lanes = [lane for lane, room in rooms.items() if dealt[lane] < room]
        each = max(1, min(left // len(open_lanes), *(rooms[o] - dealt[o] for o in open_lanes)))
        for lane in open_lanes[:left]:
            dealt[lane] += each
        left -= each * len(open_lanes[:left])
    return dealt


def _by_share(dealt: Mapping[str, int]) -> dict[int, list[str]]:
    """Group lanes by their share, so that one query serves many."""
    groups: dict[int, list[str]] = defaultdict(list)
    for lane, share in dealt.items():
        if share:
            groups[share].append(lane)
    return groups


def _lent(tx: Transaction, wanted: str, loan: Loan) -> list[Delivery]:
    rows = tx.read(_LENT, wanted)
    told = _told(tx, rows)
    lease, until = LeaseId(loan.lease), moment(loan.until)
    return [delivery_of(row, told[row[1], row[5]], lease=lease, until=until) for row in rows]


def _told(tx: Transaction, rows: list[Any]) -> dict[tuple[int, str | None], list[Any]]:
    """Return what the tokens tell of each event, and of each session, read once for all."""
    wanted = {(row[1], row[5]) for row in rows}
    return {
        (event, sid): told for event, sid, *told in tx.read(_TOLD, packed([*map(list, wanted)]))
    }
