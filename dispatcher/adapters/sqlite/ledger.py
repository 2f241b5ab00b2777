"""The door ``Ledger``: what has been recorded, for people.

Pages run backwards along row numbers, which grow with time. An index serves what people look for
among much else; where none does, the newest rows are gone through.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from dispatcher.adapters.sqlite.engine import Door
from dispatcher.adapters.sqlite.readers import Reading
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
from dispatcher.stored.rows import (
    EVENT_COLUMNS,
    delivery_number,
    event_id,
    event_number,
)
from dispatcher.stored.values import (
    maybe_micros,
    packed,
)

_EVENTS = f"""
SELECT json_group_array(json_array({EVENT_COLUMNS}, state, reason, unknown_clients)
    ORDER BY number DESC) FROM (SELECT * FROM event WHERE {{}} ORDER BY number DESC LIMIT :take)
"""  # noqa: S608 - a constant list of columns
_DELIVERIES = f"""
SELECT json_group_array(json_array({DELIVERY_COLUMNS}) ORDER BY delivery.number DESC) FROM (
    SELECT * FROM delivery WHERE {{}} ORDER BY number DESC LIMIT :take) AS delivery
JOIN event ON event.number = delivery.event
"""  # noqa: S608 - a constant list of columns
_DELIVERIES_OF = f"""
SELECT json_group_array(json_array({DELIVERY_COLUMNS}) ORDER BY delivery.number)
FROM json_each(?) AS wanted CROSS JOIN event ON event.number = wanted.value
CROSS JOIN delivery ON delivery.event = event.number
"""  # noqa: S608 - a constant list of columns
_ATTEMPTS = """
SELECT json_group_array(json_array(
    delivery, number, started_at, duration, outcome, status, error, jti, kid)
    ORDER BY delivery, number)
FROM json_each(?) CROSS JOIN attempt ON delivery = value
"""
_COUNTS = """
SELECT json_array(coalesce(sum(pending), 0), coalesce(sum(in_flight), 0),
    coalesce(sum(delivered), 0), coalesce(sum(failed), 0), coalesce(sum(cancelled), 0)) FROM lane
"""
_OLDEST = """
SELECT json_group_object(client_id, created_at) FROM (SELECT client_id, (
    SELECT created_at FROM delivery
    WHERE delivery.client_id = lane.client_id AND settled_at IS NULL ORDER BY number LIMIT 1
) AS created_at FROM lane WHERE pending + in_flight > 0)
"""
_CLOSED = """
SELECT json_group_object(client_id, state) FROM lane WHERE breaker IS NOT NULL AND state <> 'open'
"""
_LANES = """
SELECT json_group_array(json_array(client_id, pending, in_flight, (
    SELECT created_at FROM delivery
    WHERE delivery.client_id = lane.client_id AND settled_at IS NULL ORDER BY number LIMIT 1
), breaker)) FROM (SELECT * FROM lane WHERE client_id > ? ORDER BY client_id LIMIT ?) AS lane
"""
_HEARD_OF = """
SELECT json_group_array(event.number) FROM json_each(?) AS wanted
CROSS JOIN event ON event.number = wanted.value
WHERE event.state <> 'accepted' AND NOT EXISTS (
    SELECT 1 FROM delivery LEFT JOIN lane ON lane.client_id = delivery.client_id
    WHERE delivery.event = event.number AND settled_at IS NULL AND attempt_count = 0
        AND NOT (delivery.state = 'pending' AND lane.state <> 'open'))
"""
_ACCEPTED = "SELECT count(*) FROM event WHERE due = 1 AND state = 'accepted'"

_Where = Mapping[str, tuple[str, str | int | None]]
"""What is asked for: by name, the clause and its value; no clause where the value is None."""


class SqliteLedger(Door):
    """What has been recorded."""

    async def events(self, wanted: EventFilter) -> Sequence[EventRecord]:
        """Return events, newest first, each with its deliveries (without their attempts)."""
        before = None if wanted.before is None else event_number(wanted.before)
        if before is None and wanted.before is not None:
            return []  # an id that is none of ours names nothing
        where = _where_events(wanted, before)
        return await self._engine.readers.run(
            lambda reading: _event_records(reading, where, wanted.take)
        )

    async def event(self, event_id: EventId) -> EventRecord | None:
        """Return one event with its deliveries (without their attempts)."""
        number = event_number(event_id)
        if number is None:
            return None
        where = {"number": ("number = :number", number)}
        found = await self._engine.readers.run(lambda reading: _event_records(reading, where, 1))
        return found[0] if found else None

    async def deliveries(self, wanted: DeliveryFilter) -> Sequence[DeliveryRecord]:
        """Return deliveries, newest first, each with its attempts."""
        before = None if wanted.before is None else delivery_number(wanted.before)
        event = None if wanted.event_id is None else event_number(wanted.event_id)
        if (before, event).count(None) != (wanted.before, wanted.event_id).count(None):
            return []  # an id that is none of ours names nothing
        where = _where_deliveries(wanted, before, event)
        return await self._engine.readers.run(
            lambda reading: _delivery_records(reading, where, wanted.take)
        )

    async def delivery(self, delivery_id: DeliveryId) -> DeliveryRecord | None:
        """Return one delivery with its attempts."""
        number = delivery_number(delivery_id)
        if number is None:
            return None
        where = {"number": ("number = :number", number)}
        found = await self._engine.readers.run(lambda reading: _delivery_records(reading, where, 1))
        return found[0] if found else None

    async def heard_of(self, events: Collection[EventId]) -> Collection[EventId]:
        """Return those of *events* of which there is nothing to be heard soon."""
        wanted = packed([event_number(known_as) for known_as in events])
        numbers = await self._engine.readers.run(lambda reading: reading.read(_HEARD_OF, wanted))
        return [*map(event_id, numbers)]

    async def lanes(self, after: ClientId | None, take: int) -> Sequence[LaneRecord]:
        """Return the lanes that have or had deliveries, by client_id, those past *after*."""
        rows = await self._engine.readers.run(
            lambda reading: reading.read(_LANES, after or "", max(0, min(take, MOST_PER_PAGE)))
        )
        return [lane_record(*row) for row in rows]

    async def depth(self) -> Depth:
        """Return how much is waiting: sums over lanes, and the head of an index for each."""
        return await self._engine.readers.run(_depth)


def _where_events(wanted: EventFilter, before: int | None) -> _Where:
    state = wanted.state and EventState(wanted.state)
    # The literal, not a parameter, so that the partial indexes of unmatched and due events serve.
    due = "AND due = 1" if state is EventState.ACCEPTED else ""
    state_clause = f"state = '{state}' {due} AND :state IS NOT NULL"
    return {
        "initiator": ("initiator = :initiator", wanted.initiator),
        "sub": ("sub = :sub", wanted.sub),
        "sid": ("sid = :sid", wanted.sid),
        "state": (state_clause, state),
        "since": ("received_at >= :since", maybe_micros(wanted.since)),
        "until": ("received_at < :until", maybe_micros(wanted.until)),
        "before": ("number < :before", before),
    }


def _where_deliveries(wanted: DeliveryFilter, before: int | None, event: int | None) -> _Where:
    state = wanted.state and DeliveryState(wanted.state)
    return {
        "client_id": ("client_id = :client_id", wanted.client_id),
        "state": (_IN_STATE[state] if state else "", state),
        "event": ("event = :event", event),
        "since": ("created_at >= :since", maybe_micros(wanted.since)),
        "until": ("created_at < :until", maybe_micros(wanted.until)),
        "before": ("number < :before", before),
        "parked": (_PARKED, int(wanted.parked) or None),
    }


_IN_STATE: Mapping[DeliveryState, str] = {
    DeliveryState.PENDING: "state = :state AND settled_at IS NULL",
    DeliveryState.IN_FLIGHT: "number IN (SELECT number FROM delivery INDEXED BY delivery_leased"
    " WHERE state = 'in_flight' AND :state IS NOT NULL)",
    # Most are, so that a page of them is soon found among the newest.
    DeliveryState.DELIVERED: "state = :state",
    DeliveryState.FAILED: "state = :state AND settled_at IS NOT NULL",
    DeliveryState.CANCELLED: "state = :state AND settled_at IS NOT NULL",
}
"""What is asked of a delivery's state, with what makes an index serve."""
_PARKED = """
number IN (
    SELECT waiting.number FROM lane
    CROSS JOIN delivery AS waiting INDEXED BY delivery_pending ON waiting.client_id = lane.client_id
    WHERE breaker IS NOT NULL AND lane.state <> 'open' AND waiting.state = 'pending' AND :parked)
"""


def _page(reading: Reading, sql: str, where: _Where, take: int) -> list[Any]:
    asked = {name: clause for name, clause in where.items() if clause[1] is not None}
    clauses = " AND ".join(clause for clause, _ in asked.values()) or "true"
    values = {name: value for name, (_, value) in asked.items()}
    page: list[Any] = reading.named(
        sql.format(clauses), values | {"take": max(0, min(take, MOST_PER_PAGE))}
    )
    return page


def _event_records(reading: Reading, where: _Where, take: int) -> list[EventRecord]:
    rows = _page(reading, _EVENTS, where, take)
    deliveries: dict[EventId, list[DeliveryRecord]] = defaultdict(list)
    for row in reading.read(_DELIVERIES_OF, packed([row[0] for row in rows])):
        record = delivery_record(row, ())
        deliveries[record.event_id].append(record)
    return [event_record(row, tuple(deliveries[event_id(row[0])])) for row in rows]


def _delivery_records(reading: Reading, where: _Where, take: int) -> list[DeliveryRecord]:
    rows = _page(reading, _DELIVERIES, where, take)
    attempts: dict[int, list[AttemptRecord]] = defaultdict(list)
    for number, *attempt in reading.read(_ATTEMPTS, packed([row[0] for row in rows])):
        attempts[number].append(attempt_record(attempt))
    return [delivery_record(row, tuple(attempts[row[0]])) for row in rows]


def _depth(reading: Reading) -> Depth:
    return depth_of(
        reading.read(_COUNTS),
        oldest=reading.read(_OLDEST),
        closed=reading.read(_CLOSED),
        accepted=reading.read(_ACCEPTED),
    )
