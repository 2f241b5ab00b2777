"""Claiming: the lanes take turns, and what is taken is lent until its lease ends.

The cost of a claim follows what is taken, not what is waiting: lanes with something due come from
their own small table, and from each of them its oldest deliveries come from the head of an index.
First attempts lie apart from retries in it, and are asked for alone where no more retries may
start.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dispatcher.adapters.sqlite.breakers import judge, write_breakers
from dispatcher.adapters.sqlite.lanes import LaneChanges
from dispatcher.adapters.sqlite.transactions import Transaction
from dispatcher.domain.deliveries import Delivery, DeliveryState, LeaseId
from dispatcher.stored.lanes import NOT_SENT
from dispatcher.stored.rows import CLAIMED_COLUMNS, delivery_of
from dispatcher.stored.turns import Room, Turn, dealt_out, shares
from dispatcher.stored.values import moment, packed

_EXPIRED = f"""
SELECT json_group_array(json_array({CLAIMED_COLUMNS}, lease, breaker IS NULL)) FROM (
    SELECT delivery.*, breaker
    FROM delivery LEFT JOIN lane ON lane.client_id = delivery.client_id
    WHERE delivery.state = 'in_flight' AND lease_until <= ?
    ORDER BY lease_until LIMIT ?)
"""  # noqa: S608 - a constant list of columns
_RETURN = """
UPDATE delivery SET state = 'pending', lease = NULL, lease_until = NULL
WHERE number IN (SELECT value FROM json_each(?))
"""
_LANES = """
SELECT json_group_array(json_array(client_id, room, breaker)) FROM (
    SELECT lane.client_id, min(pending, min(coalesce(max_in_flight, 16), ?3) - in_flight) AS room,
        breaker, served, next_due_at
    FROM lane LEFT JOIN application ON application.client_id = lane.client_id
    WHERE next_due_at <= ?1 AND closed_until IS NULL
        AND in_flight < min(coalesce(max_in_flight, 16), ?3)
    UNION ALL
    SELECT lane.client_id, min(pending, min(coalesce(max_in_flight, 16), ?3) - in_flight) AS room,
        breaker, served, next_due_at
    FROM lane LEFT JOIN application ON application.client_id = lane.client_id
    WHERE closed_until <= ?1 AND (next_due_at <= ?1 OR state = 'parked' AND pending > 0)
        AND in_flight < min(coalesce(max_in_flight, 16), ?3)
    ORDER BY served, next_due_at LIMIT ?2)
"""
"""The lanes that have something due and room for it, the least recently served first.

Those whose time to be closed has come to an end stand in an index of their own.
"""
_FRESH_LANES = """
SELECT json_group_array(json_array(client_id, room, breaker)) FROM (
    SELECT lane.client_id, min(pending, min(coalesce(max_in_flight, 16), ?3) - in_flight) AS room,
        breaker, served, next_due_at
    FROM lane LEFT JOIN application ON application.client_id = lane.client_id
    WHERE coalesce(closed_until, 0) <= ?1
        AND (next_due_at <= ?1 OR state = 'parked' AND pending > 0)
        AND in_flight < min(coalesce(max_in_flight, 16), ?3)
        AND EXISTS (
            SELECT 1 FROM delivery INDEXED BY delivery_pending
            WHERE delivery.client_id = lane.client_id AND delivery.state = 'pending'
                AND (tries > 0) = 0
                AND (due_at <= ?1 OR lane.state = 'parked'))
    ORDER BY served, next_due_at LIMIT ?2)
"""
"""Those of these lanes that have a first attempt to make."""


def _oldest(*tried: int) -> str:
    """Return what picks each lane's oldest: of what was *tried* before (1), and was not (0)."""
    kinds = " UNION ALL ".join(
        f"""
    SELECT * FROM (SELECT * FROM delivery INDEXED BY delivery_pending
        WHERE client_id = lane.value ->> 0 AND state = 'pending' AND (tries > 0) = {kind}
            AND due_at <= lane.value ->> 1
        ORDER BY due_at LIMIT ?2)"""  # noqa: S608 - a constant
        for kind in tried
    )
    return f"""
SELECT json_group_array(json((SELECT json_group_array(json_array({CLAIMED_COLUMNS})) FROM ({kinds}
    ORDER BY due_at, number LIMIT ?2)))) FROM json_each(?1) AS lane
"""  # noqa: S608 - constants


_PICK, _PICK_FRESH = _oldest(0, 1), _oldest(0)
_LEND = """
UPDATE delivery SET state = 'in_flight', lease = ?2, lease_until = ?3
WHERE number IN (SELECT value FROM json_each(?1))
"""
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


_Row = list[Any]
"""A delivery as ``CLAIMED_COLUMNS`` has it."""
_Picked = dict[str, list[_Row]]
"""The deliveries that are found in, or taken from, each lane."""
_TRIES = CLAIMED_COLUMNS.split(", ").index("tries")


def claim(tx: Transaction, room: Room, loan: Loan) -> list[Delivery]:
    """Lend what there is *room* for: those whose lease ran out, then those that are due."""
    tx.change_dues()
    expired = _expired(tx, room)
    retries = sum(map(_was_tried, expired))
    left = replace(room, total=room.total - len(expired), retries=room.retries - retries)
    picked = _pick(tx, left, LeaseId(loan.lease))
    rows = [*expired, *(row for lane in picked.values() for row in lane)]
    if not rows:
        return []
    tx.write(_LEND, packed([number for number, *_ in rows]), loan.lease, loan.until)
    lanes = LaneChanges()
    for client_id, lane in picked.items():
        lanes.moved(client_id, DeliveryState.PENDING, DeliveryState.IN_FLIGHT, len(lane))
    lanes.write(tx, served=loan.lease)
    return _lent(tx, rows, loan)


def _was_tried(row: _Row) -> bool:
    tries: int = row[_TRIES]
    return tries > 0


def _expired(tx: Transaction, room: Room) -> list[_Row]:
    """Return those whose lease ran out, to be lent again.

    In a lane that is not well they wait, and so do retries that there is no room for.
    """
    found = tx.read(_EXPIRED, tx.now, room.total)
    _give_back(tx, [(row, LeaseId(lease)) for *row, lease, well in found if not well])
    rows = [row for *row, _, well in found if well]
    fresh = [row for row in rows if not _was_tried(row)]
    retries = [row for row in rows if _was_tried(row)]
    return [*retries[: max(0, room.retries)], *fresh]


def _give_back(tx: Transaction, lost: Sequence[tuple[_Row, LeaseId]]) -> None:
    """Let deliveries wait whose lease was lost, each with its lane."""
    if not lost:
        return
    tx.write(_RETURN, packed([number for (number, *_), _ in lost]))
    lanes = LaneChanges()
    for (_, _, client_id, *_), _ in lost:
        lanes.moved(client_id, DeliveryState.IN_FLIGHT, DeliveryState.PENDING)
    lanes.write(tx)
    judge(tx, [(client_id, lease, NOT_SENT) for (_, _, client_id, *_), lease in lost])


def _pick(tx: Transaction, room: Room, lease: LeaseId) -> _Picked:
    """Return the oldest due deliveries of each lane whose turn it is.

    Where more of them are retries than there is room for, first attempts take their place, in
    whichever lane they wait.
    """
    if room.total <= 0:
        return {}
    turns = _turns(tx, _LANES, room)
    picked = _found(tx, _PICK, turns, room.total)
    retries = {name: [*filter(_was_tried, lane)] for name, lane in picked.items()}
    if sum(map(len, retries.values())) > room.retries:
        kept = dealt_out(retries, room.retries)
        fresh = _turns(tx, _FRESH_LANES, room, after=kept)
        left = room.total - sum(map(len, kept.values()))
        picked = kept | {
            name: [*kept.get(name, ()), *lane]
            for name, lane in _found(tx, _PICK_FRESH, fresh, left).items()
        }
        turns |= fresh
    picked = {name: lane for name, lane in picked.items() if lane}
    _started(tx, turns, picked, lease)
    return picked


def _found(tx: Transaction, sql: str, turns: Mapping[str, Turn], limit: int) -> _Picked:
    """Return what each lane has for its share of *limit*."""
    now = moment(tx.now)
    dealt = shares({name: turn.room_at(now) for name, turn in turns.items()}, limit)
    found: _Picked = {}
    for names in _of_like_shares(dealt):
        wanted = packed([[name, turns[name].due_until(tx.now)] for name in names])
        most = max(dealt[name] for name in names)
        for name, lane in zip(names, tx.read(sql, wanted, most), strict=True):
            found[name] = lane[: dealt[name]]
    return found


def _turns(
    tx: Transaction, sql: str, room: Room, *, after: _Picked | None = None
) -> dict[str, Turn]:
    """Return the lanes that can start something *after* what was taken from them."""
    rows = tx.read(sql, tx.now, room.total, room.per_lane)
    taken = {name: len(lane) for name, lane in (after or {}).items()}
    return {name: Turn(more, breaker, taken.get(name, 0)) for name, more, breaker in rows}


def _started(tx: Transaction, turns: Mapping[str, Turn], picked: _Picked, lease: LeaseId) -> None:
    """Note in the lanes that are not well what they start."""
    now = moment(tx.now)
    started = {
        name: turn.lane.started(len(picked[name]), now, lease)
        for name, turn in turns.items()
        if turn.lane is not None and name in picked
    }
    write_breakers(tx, started)


def _of_like_shares(dealt: Mapping[str, int]) -> Collection[list[str]]:
    """Group lanes by the size of their share, to within twice: one query serves each group."""
    groups: dict[int, list[str]] = defaultdict(list)
    for name, share in dealt.items():
        if share:
            groups[share.bit_length()].append(name)
    return groups.values()


def _lent(tx: Transaction, rows: Sequence[_Row], loan: Loan) -> list[Delivery]:
    told = _told(tx, rows)
    lease, until = LeaseId(loan.lease), moment(loan.until)
    return [delivery_of(row, told[row[1], row[5]], lease=lease, until=until) for row in rows]


def _told(tx: Transaction, rows: Sequence[_Row]) -> dict[tuple[int, str | None], list[Any]]:
    """Return what the tokens tell of each event, and of each session, read once for all."""
    wanted = {(row[1], row[5]) for row in rows}
    return {
        (event, sid): told for event, sid, *told in tx.read(_TOLD, packed([*map(list, wanted)]))
    }
