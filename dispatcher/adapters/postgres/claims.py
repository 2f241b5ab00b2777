"""Claiming: the lanes take turns, and what is taken is lent until its lease ends.

The cost of a claim follows what is taken, not what is waiting: lanes with something due come from
their own small table, and from each of them its oldest deliveries come from the head of an index.
The lanes are held while one takes from them, so that their caps are those of all replicas together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from dispatcher.adapters.postgres.breakers import judge, write_breakers
from dispatcher.adapters.postgres.flights import Asked, Rows
from dispatcher.adapters.postgres.lanes import LaneChanges
from dispatcher.adapters.postgres.transactions import Transaction
from dispatcher.domain.deliveries import Delivery, DeliveryState, LeaseId
from dispatcher.domain.lanes import Lane
from dispatcher.stored.lanes import NOT_SENT, lane_of
from dispatcher.stored.rows import CLAIMED_COLUMNS, delivery_of
from dispatcher.stored.turns import Room, Turn, dealt_out, shares
from dispatcher.stored.values import moment

_CAP = "least(coalesce(max_in_flight, 16), $3::bigint)"
_ROOM = f"least(pending, {_CAP} - in_flight)"
_LANES = f"""
WITH leased AS MATERIALIZED (
    SELECT client_id FROM delivery WHERE state = 'in_flight' AND lease_until <= $1
    ORDER BY lease_until LIMIT $2),
due AS MATERIALIZED (
    SELECT client_id FROM (
        SELECT client_id, served, next_due_at FROM lane LEFT JOIN application USING (client_id)
        WHERE next_due_at <= $1 AND closed_until IS NULL AND in_flight < {_CAP}
        UNION ALL
        SELECT client_id, served, next_due_at FROM lane LEFT JOIN application USING (client_id)
        WHERE closed_until <= $1 AND (next_due_at <= $1 OR state = 'parked' AND pending > 0)
            AND in_flight < {_CAP}) AS lanes
    ORDER BY served, next_due_at LIMIT $2)
SELECT lane.client_id, {_ROOM}, breaker, served, next_due_at,
    lane.client_id = ANY(ARRAY(SELECT client_id FROM leased)),
    coalesce(closed_until, 0) <= $1 AND (next_due_at <= $1 OR state = 'parked' AND pending > 0)
FROM lane LEFT JOIN application USING (client_id)
WHERE lane.client_id = ANY(ARRAY(SELECT client_id FROM leased UNION ALL SELECT client_id FROM due))
ORDER BY lane.client_id FOR UPDATE OF lane
"""  # noqa: S608 - constants
"""The lanes that have something due and room for it, and those with a lease that ran out.

Those whose time to be closed has come to an end stand in an index of their own. Arrays, for they
are read once: a lane that was waited for is looked at anew, and where that is joined with what was
read before, by some plans, none of it is found again and the lane is left out, claim after claim.
"""
_LANES_AGAIN = f"{_LANES} SKIP LOCKED"
"""The same, of lanes that are held already or that nobody holds."""
_FRESH_LANES = f"""
SELECT lane.client_id, {_ROOM}, breaker, served, next_due_at
FROM lane LEFT JOIN application USING (client_id)
WHERE coalesce(closed_until, 0) <= $1 AND (next_due_at <= $1 OR state = 'parked' AND pending > 0)
    AND in_flight < {_CAP}
    AND EXISTS (
        SELECT 1 FROM delivery
        WHERE delivery.client_id = lane.client_id AND delivery.state = 'pending' AND tries = 0
            AND (due_at <= $1 OR lane.state = 'parked'))
ORDER BY served, next_due_at LIMIT $2 FOR UPDATE OF lane SKIP LOCKED
"""  # noqa: S608 - constants
"""Those of these lanes that have a first attempt to make; whoever comes second does not wait."""
_EXPIRED = """
SELECT number, client_id, lease, tries > 0 FROM delivery
WHERE state = 'in_flight' AND lease_until <= $1 AND client_id = ANY($3::text[])
ORDER BY lease_until LIMIT $2 FOR UPDATE SKIP LOCKED
"""
_RETURN = """
UPDATE delivery SET state = 'pending', lease = NULL, lease_until = NULL
WHERE number = ANY($1::bigint[]) AND state = 'in_flight'
"""
_PICK = """
SELECT turn.client_id, picked.number, picked.tries > 0
FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS turn (client_id, due_until, share)
CROSS JOIN LATERAL (
    SELECT number, tries, due_at FROM delivery
    WHERE client_id = turn.client_id AND state = 'pending' AND due_at <= turn.due_until {}
    ORDER BY due_at LIMIT turn.share FOR UPDATE SKIP LOCKED) AS picked
ORDER BY picked.due_at
"""
_PICK_ANY, _PICK_FRESH = _PICK.format(""), _PICK.format("AND tries = 0")
_LEASE = "SELECT nextval('lease_number')"
_LEND = f"""
UPDATE delivery SET state = 'in_flight', lease = $2, lease_until = $3
WHERE number = ANY($1::bigint[]) RETURNING {CLAIMED_COLUMNS}
"""  # noqa: S608 - a constant list of columns
_TOLD = """
SELECT event.number, wanted.sid, event.initiator,
    CASE WHEN event.sid IS NULL THEN coalesce(event.occurred_at, event.received_at) END,
    coalesce(event.session_metadata, session.session_metadata), registry.version
FROM registry,
    (SELECT DISTINCT event, sid FROM delivery WHERE number = ANY($1::bigint[])) AS wanted
JOIN event ON event.number = wanted.event LEFT JOIN session ON session.sid = wanted.sid
"""

_Picked = dict[str, list[int]]
"""The numbers of the deliveries that are taken from each lane."""
_Found = dict[str, list[tuple[int, int]]]
"""What lanes have: the number of each delivery, and whether it was tried before."""


@dataclass(slots=True)
class _Lanes:
    """The lanes that are held: whose turn it is, and where leases ran out."""

    turns: dict[str, Turn]
    leased: dict[str, Lane | None]
    """Those with leases that ran out, and how they have been doing; None: well."""


async def claim(tx: Transaction, room: Room, lease: int) -> list[Delivery]:
    """Lend for *lease* microseconds what there is *room* for: what ran out, then what is due."""
    tx.change_dues()
    holding = _ask_for_lanes(tx, _LANES, room)
    number = LeaseId(int(await tx.value(_LEASE)))
    lanes = await _lanes(holding)
    if not lanes.turns and not lanes.leased:
        return []
    expired, tried = await _expired(tx, room, lanes)
    left = replace(room, total=room.total - len(expired), retries=room.retries - tried)
    picked = await _pick(tx, left, lanes.turns, number)
    changes = LaneChanges()
    for client_id, taken in picked.items():
        changes.moved(client_id, DeliveryState.PENDING, DeliveryState.IN_FLIGHT, len(taken))
    numbers = [*expired, *(number for lane in picked.values() for number in lane)]
    return await _lend(tx, numbers, changes, number, tx.now + lease) if numbers else []


def _ask_for_lanes(tx: Transaction, sql: str, room: Room) -> Asked:
    return tx.ask(sql, tx.now, room.total, room.per_lane)


async def _lanes(holding: Asked) -> _Lanes:
    rows = await holding.rows()
    turns = _turns([row for row in rows if row[6]])
    leased = {row[0]: None if row[2] is None else lane_of(row[2]) for row in rows if row[5]}
    return _Lanes(turns, leased)


def _turns(rows: Rows, after: Mapping[str, Sequence[int]] | None = None) -> dict[str, Turn]:
    """Return the lanes, the least recently served first, *after* what was taken from them."""
    taken = {name: len(lane) for name, lane in (after or {}).items()}
    in_turn = sorted(rows, key=lambda row: (row[3], row[4]))
    return {row[0]: Turn(row[1], row[2], taken.get(row[0], 0)) for row in in_turn}


async def _expired(tx: Transaction, room: Room, lanes: _Lanes) -> tuple[list[int], int]:
    """Return those whose lease ran out, to be lent again, and how many of them were tried before.

    In a lane that is not well they wait, and so do retries that there is no room for.
    """
    if not lanes.leased:
        return [], 0
    rows = await tx.rows(_EXPIRED, tx.now, room.total, list(lanes.leased))
    unwell = {name: lane for name, lane in lanes.leased.items() if lane is not None}
    if returned := [row[:3] for row in rows if row[1] in unwell]:
        await _return(tx, returned, unwell)
        lanes.turns = (await _lanes(_ask_for_lanes(tx, _LANES_AGAIN, room))).turns
    well = [row for row in rows if row[1] not in unwell]
    fresh = [number for number, _, _, tried in well if not tried]
    retries = [number for number, _, _, tried in well if tried][: max(0, room.retries)]
    return [*retries, *fresh], len(retries)


async def _return(tx: Transaction, returned: Rows, unwell: Mapping[str, Lane]) -> None:
    """Let what ran out in lanes that are not well wait like the rest of them."""
    tx.write(_RETURN, [number for number, _, _ in returned])
    changes = LaneChanges()
    for _, client_id, _ in returned:
        changes.moved(client_id, DeliveryState.IN_FLIGHT, DeliveryState.PENDING)
    changes.write(tx)
    ended = [(client_id, LeaseId(lease), NOT_SENT) for _, client_id, lease in returned]
    judge(tx, unwell, ended)


async def _pick(tx: Transaction, room: Room, turns: dict[str, Turn], lease: LeaseId) -> _Picked:
    """Return the oldest due deliveries of each lane whose turn it is.

    Where more of them are retries than there is room for, first attempts take their place, in
    whichever lane they wait.
    """
    if room.total <= 0:
        return {}
    found = await _found(tx, _PICK_ANY, turns, room.total)
    retries = {name: [number for number, tried in lane if tried] for name, lane in found.items()}
    if sum(map(len, retries.values())) <= room.retries:
        picked = {name: [number for number, _ in lane] for name, lane in found.items()}
    else:
        kept = dealt_out(retries, room.retries)
        fresh = _turns(await tx.rows(_FRESH_LANES, tx.now, room.total, room.per_lane), kept)
        left = room.total - sum(map(len, kept.values()))
        picked = kept | {
            name: [*kept.get(name, ()), *(number for number, _ in lane)]
            for name, lane in (await _found(tx, _PICK_FRESH, fresh, left)).items()
        }
        turns |= fresh
    picked = {name: lane for name, lane in picked.items() if lane}
    _started(tx, turns, picked, lease)
    return picked


async def _found(tx: Transaction, sql: str, turns: Mapping[str, Turn], limit: int) -> _Found:
    """Return what each lane has for its share of *limit*."""
    now = moment(tx.now)
    dealt = shares({name: turn.room_at(now) for name, turn in turns.items()}, limit)
    dealt = {name: share for name, share in dealt.items() if share}
    found: _Found = {name: [] for name in dealt}
    if dealt:
        until = [turns[name].due_until(tx.now) for name in dealt]
        for name, number, tried in await tx.rows(sql, list(dealt), until, list(dealt.values())):
            found[name].append((number, tried))
    return found


def _started(tx: Transaction, turns: Mapping[str, Turn], picked: _Picked, lease: LeaseId) -> None:
    """Note in the lanes that are not well what they start."""
    now: datetime = moment(tx.now)
    started = {
        name: turn.lane.started(len(picked[name]), now, lease)
        for name, turn in turns.items()
        if turn.lane is not None and name in picked
    }
    write_breakers(tx, started)


async def _lend(
    tx: Transaction, numbers: Sequence[int], changes: LaneChanges, lease: LeaseId, until: int
) -> list[Delivery]:
    lending, telling = tx.ask(_LEND, numbers, lease, until), tx.ask(_TOLD, numbers)
    changes.write(tx, served=lease)
    lent, found = {row[0]: row for row in await lending.rows()}, await telling.rows()
    rows = [lent[number] for number in numbers]
    # Whoever replaced a URI while we waited for its lane has re-pointed what is lent here: by the
    # registry as it was before, that would be called off.
    await tx.read_registry(found[0][-1])
    told = {(event, sid): rest for event, sid, *rest, _ in found}
    end = moment(until)
    return [delivery_of(row, told[row[1], row[5]], lease=lease, until=end) for row in rows]
