"""Matching: whom an event concerns, and what it owes them."""

from dispatcher.domain import matching
from dispatcher.domain.events import EventId, LogoutEvent
from dispatcher.domain.matching import Applications, Matching
from dispatcher.domain.sessions import Known
from dispatcher.ports import Queue, Telemetry

EVENTS_AT_ONCE = 128
"""How many events share one transaction: enough to make its commit cheap for each."""


class Match:
    """Matches events; one that a fault of ours trips over is told of once, and stays due."""

    def __init__(self, *, queue: Queue, telemetry: Telemetry) -> None:
        self._queue = queue
        self._telemetry = telemetry
        self._tripped: set[EventId] = set()

    async def __call__(self) -> int:
        """Match the events that wait for it, oldest first; return how many there were."""
        matched = await self._queue.match(EVENTS_AT_ONCE, self._owed)
        for one in matched:
            self._telemetry.matched(one)
        return len(matched)

    def _owed(
        self, event: LogoutEvent, known: Known, applications: Applications
    ) -> Matching | None:
        try:
            return matching.match(event, known, applications)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others must go on
            if event.event_id not in self._tripped:
                self._tripped.add(event.event_id)
                self._telemetry.worker_failed("match", error)
            return None
