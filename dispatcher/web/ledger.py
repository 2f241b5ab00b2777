"""``/api/v2/events`` and ``/api/v2/deliveries``: what has been recorded, newest first."""

from starlette.requests import Request
from starlette.responses import Response

from dispatcher.domain.deliveries import DeliveryId, DeliveryState
from dispatcher.domain.errors import NotFound
from dispatcher.domain.events import (
    IDENTIFIER_RULE,
    ClientId,
    EventId,
    EventState,
    Initiator,
    Sid,
    Sub,
    is_identifier,
    is_initiator,
)
from dispatcher.domain.ledger import MOST_PER_PAGE, DeliveryFilter, EventFilter
from dispatcher.web import records
from dispatcher.web.answers import json_answer
from dispatcher.web.doors import Doors
from dispatcher.web.queries import Query

_DEFAULT_PAGE = 50
_PAGING = frozenset({"from", "take", "state", "since", "until"})
_EVENT_FILTERS = _PAGING | {"initiator", "sub", "sid"}
_PARKED = "parked"
"""Pending on a lane that is not open: a fact of the lane, never a state of a delivery."""
_DELIVERY_FILTERS = _PAGING | {"client_id", "event_id"}


class Events:
    """Shows events."""

    def __init__(self, doors: Doors) -> None:
        self._ledger = doors.ledger

    async def page(self, request: Request) -> Response:
        """List events."""
        wanted = _event_filter(Query(request))

        found = await self._ledger.events(wanted)

        following = found[-1].event.event_id if len(found) == wanted.take else None
        return json_answer({"events": [*map(records.event, found)], "next": following})

    async def show(self, request: Request) -> Response:
        """Show one event with its deliveries."""
        event_id = EventId(request.path_params["event_id"])

        found = await self._ledger.event(event_id) if is_identifier(event_id) else None

        if found is None:
            raise NotFound("The event does not exist")
        return json_answer(records.event(found))


class Deliveries:
    """Shows deliveries."""

    def __init__(self, doors: Doors) -> None:
        self._ledger = doors.ledger

    async def page(self, request: Request) -> Response:
        """List deliveries, each with its attempts."""
        wanted = _delivery_filter(Query(request))

        found = await self._ledger.deliveries(wanted)

        following = found[-1].id if len(found) == wanted.take else None
        return json_answer({"deliveries": [*map(records.delivery, found)], "next": following})

    async def show(self, request: Request) -> Response:
        """Show one delivery with its attempts."""
        delivery_id = DeliveryId(request.path_params["delivery_id"])

        found = await self._ledger.delivery(delivery_id) if is_identifier(delivery_id) else None

        if found is None:
            raise NotFound("The delivery does not exist")
        return json_answer(records.delivery(found))


def _event_filter(query: Query) -> EventFilter:
    query.refuse_others(_EVENT_FILTERS)
    initiator = query.text("initiator", ok=is_initiator, rule="an initiator's name")
    sub, sid, before = (_identifier(query, name) for name in ("sub", "sid", "from"))
    wanted = EventFilter(
        initiator=None if initiator is None else Initiator(initiator),
        sub=None if sub is None else Sub(sub),
        sid=None if sid is None else Sid(sid),
        state=query.choice("state", EventState, [*EventState]),
        since=query.moment("since"),
        until=query.moment("until"),
        before=None if before is None else EventId(before),
        take=_take(query),
    )
    query.done()
    return wanted


def _delivery_filter(query: Query) -> DeliveryFilter:
    query.refuse_others(_DELIVERY_FILTERS)
    names = ("client_id", "event_id", "from")
    client_id, event_id, before = (_identifier(query, name) for name in names)
    state = query.choice("state", str, [*DeliveryState, _PARKED])
    wanted = DeliveryFilter(
        client_id=None if client_id is None else ClientId(client_id),
        state=None if state is None or state == _PARKED else DeliveryState(state),
        parked=state == _PARKED,
        event_id=None if event_id is None else EventId(event_id),
        since=query.moment("since"),
        until=query.moment("until"),
        before=None if before is None else DeliveryId(before),
        take=_take(query),
    )
    query.done()
    return wanted


def _identifier(query: Query, name: str) -> str | None:
    return query.text(name, ok=is_identifier, rule=IDENTIFIER_RULE)


def _take(query: Query) -> int:
    return query.number("take", least=1, most=MOST_PER_PAGE, default=_DEFAULT_PAGE)
