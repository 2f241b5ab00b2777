"""Replicas: how many tokens two processes on one PostgreSQL carry, against one; and what limits.

The load is that of the pipeline, by ES256, spread over the processes, and over many applications:
with five it is their caps in flight that limit, and not the processes. Database, source and sink
are on the same machine: where all of its cores are busy, it is the machine that limits, and CPU of
a token says how far another one would go.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from tests.bench.figures import Figure, Unit, Yardstick
from tests.bench.load import FAN_OUT, applications, events, produce, until_delivered
from tests.bench.plan import Plan
from tests.kit.postgres import OwnServer, an_own_server
from tests.kit.processes import a_sink
from tests.kit.replicas import replicas
from tests.kit.service import Service

_WARMING = 50
_APPLICATIONS = 50


@dataclass(frozen=True, slots=True)
class Carried:
    """One run: the clock's seconds, and CPU of the service's processes and of the database's."""

    processes: int
    tokens: int
    seconds: float
    cpu_seconds: float
    database_cpu_seconds: float
    busy_seconds: float
    """CPU of the whole machine, whoever used it."""

    @property
    def per_second(self) -> float:
        """How many tokens there were in a second."""
        return self.tokens / self.seconds

    @property
    def busy_cores(self) -> float:
        """How many of the machine's cores were busy."""
        return self.busy_seconds / self.seconds


@dataclass(frozen=True, slots=True)
class Replicas:
    """One process and two, on the same server."""

    one: Carried
    two: Carried

    def figures(self) -> list[Figure]:
        """Return speed and cost with two processes, each against one, and how busy all was."""
        one, two, alone, cores = self.one, self.two, "one process", "the machine's"
        return [
            Figure(
                "replicas_tokens_per_second",
                two.per_second,
                Unit.PER_SECOND,
                Yardstick(alone, one.per_second),
            ),
            Figure(
                "replicas_cpu_seconds_per_token",
                two.cpu_seconds / two.tokens,
                Unit.SECONDS,
                Yardstick(alone, one.cpu_seconds / one.tokens),
            ),
            Figure(
                "replicas_database_cpu_seconds_per_token",
                two.database_cpu_seconds / two.tokens,
                Unit.SECONDS,
                Yardstick(alone, one.database_cpu_seconds / one.tokens),
            ),
            *(
                Figure(name, run.busy_cores, Unit.CORES, Yardstick(cores, os.cpu_count() or 1))
                for name, run in (("replicas_one_busy_cores", one), ("replicas_busy_cores", two))
            ),
        ]


def measure(plan: Plan) -> Replicas:
    """Carry the plan's tokens with one process, and as many with two."""
    with an_own_server() as server:
        return Replicas(*(_carried(server, many, plan.shared_tokens) for many in (1, 2)))


def _carried(server: OwnServer, processes: int, tokens: int) -> Carried:
    bodies = events(tokens // FAN_OUT, among=_APPLICATIONS, start=_WARMING)
    with _running(server, processes) as running:
        first, *others = running
        produce(first, events(_WARMING, among=_APPLICATIONS), beside=others)
        until_delivered(first, _WARMING * FAN_OUT, beside=others)
        before = _used(running, server)
        produce(first, bodies, beside=others)
        until_delivered(first, (_WARMING + len(bodies)) * FAN_OUT, beside=others)
        used = [late - early for early, late in zip(before, _used(running, server), strict=True)]
    return Carried(processes, len(bodies) * FAN_OUT, *used)


@contextmanager
def _running(server: OwnServer, processes: int) -> Iterator[list[Service]]:
    with (
        TemporaryDirectory() as name,
        a_sink(Path(name), applications=_APPLICATIONS, recorded=False) as sink,
        server.database() as url,
        replicas(
            Service(Path(name), applications(sink, "ES256")), url, ["all"] * processes
        ) as running,
    ):
        yield running


def _used(running: list[Service], server: OwnServer) -> list[float]:
    """Return the clock's time and CPU so far: of the service, the database and the machine."""
    machine = psutil.cpu_times()
    return [
        time.monotonic(),
        sum(service.cpu_seconds() for service in running),
        server.cpu_seconds(),
        machine.user + machine.system + machine.nice + machine.irq + machine.softirq,
    ]
