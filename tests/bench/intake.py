"""Intake: webhooks that are on disk and answered by 202 in a second, from 64 connections at once.

Four kinds: the end of a session that owes nobody anything; a ``session.joined`` of five
applications; arrays of a hundred ends that owe nobody anything; and, last, the end of a session
that owes five applications, whose RS256 tokens are signed and delivered meanwhile.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from tests.bench.figures import Figure, Unit, at_least, at_most, percentile
from tests.bench.load import (
    FAN_OUT,
    Produced,
    a_service,
    an_event,
    arrays,
    client_ids,
    events,
    produce,
    until_delivered,
)
from tests.bench.plan import Plan

OF_ARRAY = 100
_WARMING = 50
ARRAYS = "arrays_of_nobody"
_PER_SECOND, _ARRAYS_PER_SECOND = at_least(1_500), at_least(8_000)
_P99 = at_most(0.100)


@dataclass(frozen=True, slots=True)
class Intake:
    """What became of each kind of webhook."""

    produced: Mapping[str, Produced]

    def figures(self) -> list[Figure]:
        """Return events a second, and how long a 202 takes."""
        return [figure for kind, one in self.produced.items() for figure in _figures(kind, one)]


def _figures(kind: str, produced: Produced) -> list[Figure]:
    rate = len(produced.accepted) / produced.seconds
    p50, p99 = (percentile(produced.latencies, share) for share in (0.5, 0.99))
    in_arrays = kind == ARRAYS
    return [
        Figure(
            f"intake_{kind}_events_per_second",
            rate,
            Unit.PER_SECOND,
            bar=_ARRAYS_PER_SECOND if in_arrays else _PER_SECOND,
        ),
        Figure(f"intake_{kind}_202_p50_seconds", p50, Unit.SECONDS),
        Figure(
            f"intake_{kind}_202_p99_seconds", p99, Unit.SECONDS, bar=None if in_arrays else _P99
        ),
    ]


def measure(plan: Plan) -> Intake:
    """Send the plan's webhooks of each kind, one kind after the other."""
    each = plan.webhooks
    in_arrays = arrays(10 * each, of=OF_ARRAY, fan_out=0, start=3 * each)
    kinds = {
        "ended_of_nobody": events(each, fan_out=0),
        "joined": [_join(number) for number in range(each, 2 * each)],
        ARRAYS: in_arrays,
        "ended_of_five": events(each, start=2 * each),
    }
    with a_service() as (service, _):
        produce(service, events(_WARMING, start=20 * each))
        until_delivered(service, _WARMING * FAN_OUT)
        return Intake({kind: produce(service, bodies) for kind, bodies in kinds.items()})


def _join(number: int) -> str:
    event = an_event(number, client_ids(FAN_OUT))
    del event["initiator"]
    return json.dumps(event | {"type": "session.joined"})
