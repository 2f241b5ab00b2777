"""Deadlines: thousands of attempts run out of time, and not one healthy delivery fails after them.

That is how the pool of an HTTP client is poisoned. Server, name and pool stay the same throughout:
first the server never answers, then it answers well.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import anyio

from dispatcher.adapters.egress import EgressPolicy, HttpSender
from dispatcher.domain.applications import Application
from dispatcher.domain.deliveries import Acknowledged, Cause, Outcome, Unreachable
from tests.bench.figures import Figure, Unit, at_most
from tests.bench.plan import Plan
from tests.kit.builders import an_application
from tests.kit.rp_server import RpServer, answers, hangs

AT_ONCE = 64
_SHORT = timedelta(seconds=0.05)
_AMPLE = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How many attempts ran out of time, and how many went well and wrong afterwards."""

    forced: int
    afterwards: int
    failed: int

    def figures(self) -> list[Figure]:
        """Return the numbers, and the failures."""
        return [
            Figure("deadlines_forced_count", self.forced, Unit.COUNT),
            Figure("deadlines_delivered_afterwards_count", self.afterwards, Unit.COUNT),
            Figure("deadlines_failed_afterwards_count", self.failed, Unit.COUNT, bar=at_most(0)),
        ]


def measure(plan: Plan) -> Deadlines:
    """Force the plan's deadlines, and deliver afterwards."""
    return anyio.run(_measured, plan, backend_options={"use_uvloop": True})


async def _measured(plan: Plan) -> Deadlines:
    policy = EgressPolicy.from_text("public", ["127.0.0.0/8"], allow_http=True)
    sender = HttpSender(policy, now=lambda: datetime.now(UTC), user_agent="bench/1")
    async with RpServer(hangs) as server:
        application = an_application(urls=[server.uri()], max_in_flight=AT_ONCE)
        late = await _attempts(sender, application, plan.deadlines, _SHORT)
        server.script = answers(200)
        well = await _attempts(sender, application, plan.afterwards, _AMPLE)
        await sender.close()
    return Deadlines(
        forced=sum(count for outcome, count in late.items() if _out_of_time(outcome)),
        afterwards=well[Acknowledged(status=200)],
        failed=well.total() - well[Acknowledged(status=200)],
    )


async def _attempts(
    sender: HttpSender, application: Application, count: int, timeout: timedelta
) -> "Counter[Outcome]":
    outcomes: Counter[Outcome] = Counter()
    for first in range(0, count, AT_ONCE):
        outcomes.update(
            await asyncio.gather(
                *(
                    sender.send(application, application.urls[0], "t" * 880, timeout=timeout)
                    for _ in range(min(AT_ONCE, count - first))
                )
            )
        )
    return outcomes


def _out_of_time(outcome: Outcome) -> bool:
    return isinstance(outcome, Unreachable) and outcome.cause is Cause.TIMEOUT
