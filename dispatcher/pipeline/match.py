"""Matching: whom an event concerns, and what it owes them."""

from dispatcher.domain import matching
from dispatcher.ports import Queue, Telemetry

EVENTS_AT_ONCE = 128
"""How many events share one transaction: enough to make its commit cheap for each."""


async def match(*, queue: Queue, telemetry: Telemetry) -> int:
    """Match the events that wait for it, oldest first; return how many there were."""
    matched = await queue.match(EVENTS_AT_ONCE, matching.match)
    for one in matched:
        telemetry.matched(one)
    return len(matched)
