"""The whole pipeline: from the first webhook to the last settlement, in the service's process.

Single-event webhooks under an HMAC signature, each for five applications: verified, stored,
matched, signed for, sent and settled. CPU is that of the service's process, user and system.

It is held against a raw signature, and against a bare prototype in the same run: the one says what
is spent besides signing, the other how much of that any such program spends on this machine.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.figures import Bar, Figure, Unit, Yardstick, at_least, at_most
from tests.bench.load import FAN_OUT, a_service, events, produce, until_delivered
from tests.bench.plan import Plan
from tests.bench.prototype import Bare, carried_bare
from tests.bench.yardstick import Around, raw_rsa_around

_CPU_BARS = {"RS256": at_most(1.6), "ES256": at_most(0.65)}
_RATE_BARS = {"RS256": at_least(1.0)}
_BARE_CPU_BARS = {"RS256": at_most(1.07), "ES256": at_most(1.41)}
_BARE_RATE_BARS = {"RS256": at_least(0.83)}
"""What the bars above come to beside a prototype, on the machine that they were set on."""
_BARE = "a bare prototype"
_WARMING = 50


@dataclass(frozen=True, slots=True)
class Carried:
    """One algorithm's run; the clock's seconds, and CPU of the service."""

    algorithm: str
    tokens: int
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Both algorithms, each with the yardstick before and after it, and a prototype's run."""

    runs: tuple[tuple[Carried, Around, Bare], ...]

    def figures(self) -> list[Figure]:
        """Return CPU and speed for each algorithm."""
        return [figure for run, raw, bare in self.runs for figure in _figures(run, raw, bare)]


def _figures(run: Carried, raw: Around, bare: Bare) -> Iterator[Figure]:
    name = run.algorithm
    signature, thread = "a raw RSA signature", "raw RSA, one thread"
    yield _cpu(run, Yardstick(signature, raw.cpu_seconds), _CPU_BARS.get(name))
    yield _rate(run, Yardstick(thread, raw.per_second), _RATE_BARS.get(name))
    cpu, rate = Yardstick(_BARE, bare.cpu_seconds), Yardstick(_BARE, bare.per_second)
    yield _cpu(run, cpu, _BARE_CPU_BARS.get(name), "_beside_a_prototype")
    yield _rate(run, rate, _BARE_RATE_BARS.get(name), "_beside_a_prototype")


def _cpu(run: Carried, yardstick: Yardstick, bar: Bar | None, beside: str = "") -> Figure:
    name = f"pipeline_{run.algorithm.lower()}_cpu_seconds_per_token{beside}"
    return Figure(name, run.cpu_seconds / run.tokens, Unit.SECONDS, yardstick, bar)


def _rate(run: Carried, yardstick: Yardstick, bar: Bar | None, beside: str = "") -> Figure:
    name = f"pipeline_{run.algorithm.lower()}_tokens_per_second{beside}"
    return Figure(name, run.tokens / run.seconds, Unit.PER_SECOND, yardstick, bar)


def measure(plan: Plan) -> Pipeline:
    """Carry the plan's tokens, with either algorithm."""
    runs = []
    for algorithm in _CPU_BARS:
        with raw_rsa_around() as raw:
            carried = _carried(algorithm, plan.tokens)
        runs.append((carried, raw, carried_bare(algorithm, plan.tokens)))
    return Pipeline(tuple(runs))


def _carried(algorithm: str, tokens: int) -> Carried:
    bodies = events(tokens // FAN_OUT, start=_WARMING)
    with a_service(algorithm) as (service, _):
        produce(service, events(_WARMING))
        until_delivered(service, _WARMING * FAN_OUT)
        began, cpu = time.monotonic(), service.cpu_seconds()
        produce(service, bodies)
        until_delivered(service, (_WARMING + len(bodies)) * FAN_OUT)
        seconds, cpu = time.monotonic() - began, service.cpu_seconds() - cpu
    return Carried(algorithm, len(bodies) * FAN_OUT, seconds, cpu)
