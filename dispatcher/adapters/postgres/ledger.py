"""The door ``Ledger``: what has been recorded, for people.

Pages run backwards along row numbers, which grow with time. An index serves what people look for
among much else; where none does, the newest rows are gone through.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

from dispatcher.adapters.postgres.doors import Door
from dispatcher.adapters.postgres.flights import Rows
from dispatcher.adapters.postgres.transactions import BROWSING, Command, Transaction
from dispatcher.domain.deliveries import DeliveryId, DeliveryState
from dispatcher.domain.events import ClientId, EventId, EventState
from dispatcher.domain.ledger import (
    MOST_PER_PAGE,
    AttemptRecord,
    DeliveryFilter,
    DeliveryRecord,
    Depth,
    EventFilter,
    EventRecord,
    LaneRecord,
)
from dispatcher.stored.records import (
    DELIVERY_COLUMNS,
    attempt_record,
    delivery_record,
    depth_of,
    event_record,
    lane_record,
)
from dispatcher.stored.rows import EVENT_COLUMNS, delivery_number, event_id, event_number
from dispatcher.stored.values import maybe_micros

T = TypeVar("T")

_EVENTS = f"""
SELECT {EVENT_COLUMNS}, state, reason, unknown_clients
FROM event WHERE {{}} ORDER BY number DESC LIMIT $1
"""  # noqa: S608 - a constant list of columns
_DELIVERIES = f"""
SELECT {DELIVERY_COLUMNS} FROM (
    SELECT * FROM delivery WHERE {{}} ORDER BY number DESC LIMIT $1) AS delivery
JOIN event ON event.number = delivery.event ORDER BY delivery.number DESC
"""  # noqa: S608 - a constant list of columns
_DELIVERIES_OF = f"""
SELECT {DELIVERY_COLUMNS} FROM delivery JOIN event ON event.number = delivery.event
WHERE delivery.event = ANY($1::bigint[]) ORDER BY delivery.number
"""  # noqa: S608 - a constant list of columns
_ATTEMPTS = """
SELECT delivery, number, started_at, duration, outcome, status, error, jti, kid FROM attempt
WHERE delivery = ANY($1::bigint[]) ORDER BY delivery, number
"""
_COUNTS = """
SELECT coalesce(sum(pending), 0)::bigint, coalesce(sum(in_flight), 0)::bigint,
    coalesce(sum(delivered), 0)::bigint, coalesce(sum(failed), 0)::bigint,
    coalesce(sum(cancelled), 0)::bigint FROM lane
"""
_OLDEST_OF_LANE = """(
    SELECT created_at FROM delivery
    WHERE delivery.client_id = lane.client_id AND settled_at IS NULL ORDER BY number LIMIT 1)"""
_OLDEST = f"""
SELECT client_id, oldest FROM (
    SELECT client_id, {_OLDEST_OF_LANE} AS oldest FROM lane WHERE pending + in_flight > 0) AS lanes
WHERE oldest IS NOT NULL
"""  # noqa: S608 - a constant
_CLOSED = "SELECT client_id, state FROM lane WHERE breaker IS NOT NULL AND state <> 'open'"
_LANES = f"""
SELECT client_id, pending, in_flight, {_OLDEST_OF_LANE}, breaker
FROM lane WHERE client_id > $1 ORDER BY client_id LIMIT $2
"""  # noqa: S608 - a constant
_HEARD_OF = """
SELECT number FROM event WHERE number = ANY($1::bigint[]) AND state <> 'accepted' AND NOT EXISTS (
    SELECT 1 FROM delivery LEFT JOIN lane USING (client_id)
    WHERE delivery.event = event.number AND settled_at IS NULL AND attempt_count = 0
        AND NOT (delivery.state = 'pending' AND lane.state <> 'open'))
"""
_ACCEPTED = "SELECT count(*) FROM event WHERE due AND state = 'accepted'"
_PARKED = """
number IN (
    SELECT waiting.number FROM lane JOIN delivery AS waiting USING (client_id)
    WHERE breaker IS NOT NULL AND lane.state <> 'open' AND waiting.state = 'pending')
"""

_Where = Mapping[str, str | int | None]
"""What is asked for: clauses, ``{}`` standing for the value; left out where that is None."""


class PostgresLedger(Door):
    """What has been recorded."""

    async def events(self, wanted: EventFilter) -> Sequence[EventRecord]:
        """Return events, newest first, each with its deliveries (without their attempts)."""
        before = None if wanted.before is None else event_number(wanted.before)
        if before is None and wanted.before is not None:
            return []  # an id that is none of ours names nothing
        where = _where_events(wanted, before)
        return await self._browse(lambda tx: _event_records(tx, where, wanted.take))

    async def event(self, event_id: EventId) -> EventRecord | None:
        """Return one event with its deliveries (without their attempts)."""
        where = {"number = {}": event_number(event_id)}
        if None in where.values():
            return None
        found = await self._browse(lambda tx: _event_records(tx, where, 1))
        return found[0] if found else None

    async def deliveries(self, wanted: DeliveryFilter) -> Sequence[DeliveryRecord]:
        """Return deliveries, newest first, each with its attempts."""
        before = None if wanted.before is None else delivery_number(wanted.before)
        event = None if wanted.event_id is None else event_number(wanted.event_id)
        if (before, event).count(None) != (wanted.before, wanted.event_id).count(None):
            return []  # an id that is none of ours names nothing
        where = _where_deliveries(wanted, before, event)
        return await self._browse(lambda tx: _delivery_records(tx, where, wanted.take))

    async def delivery(self, delivery_id: DeliveryId) -> DeliveryRecord | None:
        """Return one delivery with its attempts."""
        where = {"number = {}": delivery_number(delivery_id)}
        if None in where.values():
            return None
        found = await self._browse(lambda tx: _delivery_records(tx, where, 1))
        return found[0] if found else None

    async def heard_of(self, events: Collection[EventId]) -> Collection[EventId]:
        """Return those of *events* of which there is nothing to be heard soon."""
        wanted = [event_number(known_as) for known_as in events]
        rows = await self._browse(lambda tx: tx.rows(_HEARD_OF, wanted))
        return [event_id(number) for (number,) in rows]

    async def lanes(self, after: ClientId | None, take: int) -> Sequence[LaneRecord]:
        """Return the lanes that have or had deliveries, by client_id, those past *after*."""
        rows = await self._browse(lambda tx: tx.rows(_LANES, after or "", _page_size(take)))
        return [lane_record(*row) for row in rows]

    async def depth(self) -> Depth:
        """Return how much is waiting: sums over lanes, and the head of an index for each."""
        return await self._browse(_depth)

    async def _browse(self, command: Command[T]) -> T:
        return await self._engine.run(command, terms=BROWSING)


def _where_events(wanted: EventFilter, before: int | None) -> _Where:
    state = wanted.state and EventState(wanted.state)
    return {
        "initiator = {}": wanted.initiator,
        "sub = {}": wanted.sub,
        "sid = {}": wanted.sid,
        # The literal besides, so that the partial index of unmatched events serves.
        f"state = {{}} AND state = '{state}'": state,
        "received_at >= {}": maybe_micros(wanted.since),
        "received_at < {}": maybe_micros(wanted.until),
        "number < {}": before,
    }


def _where_deliveries(wanted: DeliveryFilter, before: int | None, event: int | None) -> _Where:
    state = wanted.state and DeliveryState(wanted.state)
    settled = "settled_at IS NOT NULL" if state and state.settled else "settled_at IS NULL"
    return {
        "client_id = {}": wanted.client_id,
        f"state = {{}} AND {settled}": state,
        "event = {}": event,
        "created_at >= {}": maybe_micros(wanted.since),
        "created_at < {}": maybe_micros(wanted.until),
        "number < {}": before,
        f"{_PARKED} AND 1 = {{}}": int(wanted.parked) or None,
    }


async def _page(tx: Transaction, sql: str, where: _Where, take: int) -> Rows:
    asked = {clause: value for clause, value in where.items() if value is not None}
    clauses = [clause.format(f"${place}") for place, clause in enumerate(asked, start=2)]
    sql = sql.format(" AND ".join(clauses) or "true")
    return await tx.rows(sql, _page_size(take), *asked.values())


def _page_size(take: int) -> int:
    return max(0, min(take, MOST_PER_PAGE))


async def _event_records(tx: Transaction, where: _Where, take: int) -> list[EventRecord]:
    rows = await _page(tx, _EVENTS, where, take)
    deliveries: dict[EventId, list[DeliveryRecord]] = defaultdict(list)
    for row in await tx.rows(_DELIVERIES_OF, [row[0] for row in rows]):
        record = delivery_record(row, ())
        deliveries[record.event_id].append(record)
    return [event_record(row, tuple(deliveries[event_id(row[0])])) for row in rows]


async def _delivery_records(tx: Transaction, where: _Where, take: int) -> list[DeliveryRecord]:
    rows = await _page(tx, _DELIVERIES, where, take)
    attempts: dict[int, list[AttemptRecord]] = defaultdict(list)
    for number, *attempt in await tx.rows(_ATTEMPTS, [row[0] for row in rows]):
        attempts[number].append(attempt_record(attempt))
    return [delivery_record(row, tuple(attempts[row[0]])) for row in rows]


async def _depth(tx: Transaction) -> Depth:
    return depth_of(
        (await tx.rows(_COUNTS))[0],
        oldest=dict(await tx.rows(_OLDEST)),
        closed=dict(await tx.rows(_CLOSED)),
        accepted=await tx.value(_ACCEPTED),
    )
