"""Latency of an idle service: from the 202, as the source reads it, to the token's arrival.

Events for three applications come one by one, with pauses. Source, service and applications share
one clock. A token may be there before the source has read its 202, so the time from the 202 may be
negative; the time from the request's sending, the second figure, is never.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.figures import Figure, Unit, at_most, percentile
from tests.bench.load import a_service, events, produce, until_delivered
from tests.bench.plan import Plan
from tests.kit.bookkeeping import claims_of

FAN_OUT = 3
_PER_SECOND = 15
_WARMING = 20


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds that each token took."""

    from_answer: Sequence[float]
    from_sending: Sequence[float]

    def figures(self) -> list[Figure]:
        """Return medians and the slowest hundredths."""
        p50, p99 = (percentile(self.from_answer, share) for share in (0.5, 0.99))
        sent50, sent99 = (percentile(self.from_sending, share) for share in (0.5, 0.99))
        return [
            Figure("latency_from_202_p50_seconds", p50, Unit.SECONDS, bar=at_most(0.010)),
            Figure("latency_from_202_p99_seconds", p99, Unit.SECONDS, bar=at_most(0.050)),
            Figure("latency_from_sending_p50_seconds", sent50, Unit.SECONDS),
            Figure("latency_from_sending_p99_seconds", sent99, Unit.SECONDS),
        ]


def measure(plan: Plan) -> Latency:
    """Send the plan's events to an idle service."""
    with a_service(fan_out=FAN_OUT, recorded=True) as (service, sink):
        produce(service, events(_WARMING, fan_out=FAN_OUT), connections=1)
        until_delivered(service, _WARMING * FAN_OUT)
        bodies = events(plan.idle_events, fan_out=FAN_OUT, start=_WARMING)
        produced = produce(service, bodies, connections=1, rate=_PER_SECOND)
        until_delivered(service, (_WARMING + plan.idle_events) * FAN_OUT)
        received = [(str(claims_of(one.token)["sid"]), one.at) for one in sink.received()]
    answered = dict(zip(produced.accepted, produced.answered, strict=True))
    sent = dict(zip(produced.accepted, produced.sent, strict=True))
    return Latency(
        [at - answered[sid] for sid, at in received if sid in answered],
        [at - sent[sid] for sid, at in received if sid in sent],
    )
