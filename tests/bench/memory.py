"""Memory: what the service's process holds idle, and with a long backlog of 503s and parked lanes.

The events come in arrays of a hundred, each for five applications, all of which answer 503.
"""

import time
from dataclasses import dataclass

from tests.bench.figures import Figure, Unit, at_most
from tests.bench.load import FAN_OUT, LONGEST_SECONDS, a_service, arrays, produce
from tests.bench.plan import Plan
from tests.kit.service import Service

MEGABYTE = 10**6
_OF_ARRAY = 100
_CONNECTIONS = 4
_MATCHED = 'dispatcher_events_matched_total{state="matched"}'


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident bytes, and how much was pending."""

    idle_bytes: int
    loaded_bytes: int
    pending: int

    def figures(self) -> list[Figure]:
        """Return both, and how much was pending."""
        return [
            Figure("memory_idle_bytes", self.idle_bytes, Unit.BYTES),
            Figure("memory_pending_count", self.pending, Unit.COUNT),
            Figure(
                "memory_pending_bytes", self.loaded_bytes, Unit.BYTES, bar=at_most(200 * MEGABYTE)
            ),
        ]


def measure(plan: Plan) -> Memory:
    """Make the plan's deliveries pend."""
    count = plan.pending // FAN_OUT
    with a_service(unavailable=1.0) as (service, _):
        idle = service.resident_bytes()
        produce(service, arrays(count, of=_OF_ARRAY), connections=_CONNECTIONS)
        _until_matched(service, count)
        with service.api() as api:
            lanes = api.get("/api/v2/lanes").raise_for_status().json()["lanes"]
        pending = sum(lane["pending"] + lane["in_flight"] for lane in lanes)
        return Memory(idle, service.resident_bytes(), pending)


def _until_matched(service: Service, count: int) -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    while service.metric(_MATCHED) < count:
        if time.monotonic() > deadline:
            raise RuntimeError("the events were not matched in time")
        time.sleep(0.25)
