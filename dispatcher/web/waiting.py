"""``Prefer: wait=N`` (RFC 7240 section 4.3): a source that waits for its event's first outcomes."""

from datetime import timedelta
from urllib.request import parse_http_list

import anyio
from starlette.requests import Request
from starlette.responses import Response

from dispatcher.domain.errors import Unavailable
from dispatcher.domain.events import EventId, Receipt
from dispatcher.domain.ledger import EventRecord
from dispatcher.web.answers import NO_STORE, json_answer
from dispatcher.web.doors import Doors

LONGEST_WAIT = 30
"""Seconds; who wants to wait longer waits this long."""
_MOST_DIGITS = 9


class FirstOutcomes:
    """Answers with the first outcomes of an event that is on disk already."""

    def __init__(self, doors: Doors) -> None:
        self._waiting = doors.waiting
        self._ledger = doors.ledger

    async def answer(self, request: Request, receipt: Receipt) -> Response | None:
        """Return the outcomes; None where nobody asked for them, or they take too long.

        A store that can not be read meanwhile changes nothing of the event's being accepted.
        """
        seconds = _preferred(request.headers.getlist("prefer"))
        if not seconds or not await self._heard(request, receipt.event_id, seconds):
            return None
        try:
            record = await self._ledger.event(receipt.event_id)
        except Unavailable:
            return None
        if record is None:
            return None
        applied = {**NO_STORE, "preference-applied": f"wait={seconds}"}
        return json_answer(_shown(record), headers=applied)

    async def _heard(self, request: Request, event_id: EventId, seconds: int) -> bool:
        """Wait, but not for somebody who has gone."""
        heard = False
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_end_when_gone, request, tasks.cancel_scope)
            at_most = timedelta(seconds=seconds)
            heard = await self._waiting.first_outcomes(event_id, at_most=at_most)
            tasks.cancel_scope.cancel()
        return heard


async def _end_when_gone(request: Request, scope: anyio.CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def _preferred(headers: list[str]) -> int:
    """Return how many seconds the sender would wait: the first ``wait`` that it gives, or 0.

    What can not be understood is ignored, as RFC 7240 section 2 asks.
    """
    for preference in parse_http_list(",".join(headers)):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            digits = value.strip().strip('"')
            usable = digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS
            return min(int(digits), LONGEST_WAIT) if usable else 0
    return 0


def _shown(record: EventRecord) -> dict[str, object]:
    return {
        "id": record.event.id,
        "event_id": record.event.event_id,
        "state": record.state.value,
        "deliveries": [
            {"client_id": delivery.client_id, "state": delivery.state.value}
            for delivery in record.deliveries
        ],
    }
