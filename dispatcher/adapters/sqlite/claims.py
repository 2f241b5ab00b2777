"""Claiming: the lanes take turns, and what is taken is lent until its lease ends.

The cost of a claim follows what is taken, not what is waiting: lanes with something due come from
their own small table, and from each of them its oldest deliveries come from the head of an index.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dispatcher.adapters.sqlite.breakers import NOT_SENT, judge, lane_of, write_breakers
from dispatcher.adapters.sqlite.lanes import LaneChanges
from dispatcher.adapters.sqlite.rows import CLAIMED_COLUMNS, delivery_of
from dispatcher.adapters.sqlite.transactions import Transaction
from dispatcher.adapters.sqlite.values import ALWAYS, moment, packed
from dispatcher.domain.deliveries import Delivery, DeliveryState, LeaseId
from dispatcher.domain.lanes import LaneState

_EXPIRED = """
SELECT json_group_array(json_array(number, client_id, lease, breaker IS NULL)) FROM (
    SELECT number, delivery.client_id, lease, breaker
    FROM delivery LEFT JOIN lane ON lane.client_id = delivery.client_id
    WHERE delivery.state = 'in_flight' AND lease_until <= ?
    ORDER BY lease_until LIMIT ?)
"""
_RETURN = """
UPDATE delivery SET state = 'pending', lease = NULL, lease_until = NULL
WHERE number IN (SELECT value FROM json_each(?))
"""
_LANES = """
SELECT json_group_array(json_array(client_id, room, breaker)) FROM (
    SELECT lane.client_id, min(pending, coalesce(max_in_flight, 16) - in_flight) AS room,
        breaker, served, next_due_at
    FROM lane LEFT JOIN application ON application.client_id = lane.client_id
    WHERE next_due_at <= ?1 AND closed_until IS NULL
        AND in_flight < coalesce(max_in_flight, 16)
    UNION ALL
    SELECT lane.client_id, min(pending, coalesce(max_in_flight, 16) - in_flight) AS room,
        breaker, served, next_due_at
    FROM lane LEFT JOIN application ON application.client_id = lane.client_id
    WHERE closed_until <= ?1 AND (next_due_at <= ?1 OR state = 'parked' AND pending > 0)
        AND in_flight < coalesce(max_in_flight, 16)
    ORDER BY served, next_due_at LIMIT ?2)
"""
"""The lanes that have something due and room for it, the least recently served first.

Those whose time to be closed has come to an end stand in an index of their own.
"""
_PICK = """
SELECT json_group_array(json((SELECT json_group_array(number) FROM (
    SELECT number FROM delivery
    WHERE client_id = lane.value ->> 0 AND state = 'pending' AND due_at <= lane.value ->> 1
    ORDER BY due_at LIMIT ?2)))) FROM json_each(?1) AS lane
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
    tx.change_dues()
    expired = _expired(tx, limit)
    picked = _pick(tx, limit - len(expired), LeaseId(loan.lease))
    numbers = [*expired, *(number for lane in picked.values() for number in lane)]
    if not numbers:
        return []
    wanted = packed(numbers)
    tx.write(_LEND, wanted, loan.lease, loan.until)
    lanes = LaneChanges()
    for client_id, lane in picked.items():
        lanes.moved(client_id, DeliveryState.PENDING, DeliveryState.IN_FLIGHT, len(lane))
    lanes.write(tx, served=loan.lease)
    return _lent(tx, wanted, loan)


def _expired(tx: Transaction, limit: int) -> list[int]:
    """Return those whose lease ran out, to be lent again; in a lane that is not well they wait."""
    rows = tx.read(_EXPIRED, tx.now, limit)
    returned = [(number, client_id, lease) for number, client_id, lease, well in rows if not well]
    if returned:
        tx.write(_RETURN, packed([number for number, _, _ in returned]))
        lanes = LaneChanges()
        for _, client_id, _ in returned:
            lanes.moved(client_id, DeliveryState.IN_FLIGHT, DeliveryState.PENDING)
        lanes.write(tx)
        judge(tx, [(client_id, LeaseId(lease), NOT_SENT) for _, client_id, lease in returned])
    return [number for number, _, _, well in rows if well]


def _pick(tx: Transaction, limit: int, lease: LeaseId) -> dict[str, list[int]]:
    """Return the oldest due deliveries of each lane whose turn it is."""
    if limit <= 0:
        return {}
    now, turns = moment(tx.now), [_Turn(*row) for row in tx.read(_LANES, tx.now, limit)]
    dealt = shares({turn.client_id: turn.room_at(now) for turn in turns}, limit)
    picked: dict[str, list[int]] = {}
    for share, group in _by_share(turns, dealt).items():
        wanted = packed([[turn.client_id, turn.due_until(tx.now)] for turn in group])
        found = tx.read(_PICK, wanted, share)
        picked |= {turn.client_id: one for turn, one in zip(group, found, strict=True) if one}
    _started(tx, turns, picked, lease)
    return picked


class _Turn:
    """A lane whose turn it is: how much room it has, and how it has been doing."""

    __slots__ = ("client_id", "lane", "room")

    def __init__(self, client_id: str, room: int, breaker: str | None) -> None:
        self.client_id = client_id
        self.room = room
        self.lane = None if breaker is None else lane_of(breaker)

    def room_at(self, now: datetime) -> int:
        """Return how many may be started: fewer than there is room for where it is not well."""
        allowance = None if self.lane is None else self.lane.allowance(now)
        return self.room if allowance is None else min(self.room, allowance)

    def due_until(self, now: int) -> int:
        """Return until when a delivery must be due: a probe is made with one that is not, too."""
        parked = self.lane is not None and self.lane.state is LaneState.PARKED
        return ALWAYS if parked else now


def _started(
    tx: Transaction, turns: list[_Turn], picked: Mapping[str, list[int]], lease: LeaseId
) -> None:
    """Note in the lanes that are not well what they start."""
    now = moment(tx.now)
    started = {
        turn.client_id: turn.lane.started(len(picked[turn.client_id]), now, lease)
        for turn in turns
        if turn.lane is not None and turn.client_id in picked
    }
    write_breakers(tx, started)


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


def _by_share(turns: list[_Turn], dealt: Mapping[str, int]) -> dict[int, list[_Turn]]:
    """Group lanes by their share, so that one query serves many."""
    groups: dict[int, list[_Turn]] = defaultdict(list)
    for turn in turns:
        if dealt[turn.client_id]:
            groups[dealt[turn.client_id]].append(turn)
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
