"""A wall clock that is set while the service runs: nothing comes early or late by it."""

import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
from anyio.to_thread import run_sync

from dispatcher.domain.retry import SCHEDULE
from tests.kit.processes import Received, SinkProcess, a_sink
from tests.kit.proxy import Fault, FaultProxy, Harm
from tests.kit.registration import a_client
from tests.kit.service import Service
from tests.kit.skewed import FILE, ONE_CLOCK, SetClock, a_clock
from tests.kit.steps import (
    QUICK_KEYS,
    an_event,
    logged,
    told,
    until,
    until_nothing_waits,
    uris_of,
)
from tests.lab.table import Finding

LAUNCHER = (sys.executable, "-m", "tests.kit.skewed")
SLOW = "slow"
SLOW_SECONDS = 6.0
LATE_SECONDS = 1.5
"""How much later than its schedule allows an attempt may be on a busy machine."""
ALERTED_WITHIN_SECONDS = 5.0
STALE = timedelta(seconds=400)


@dataclass(frozen=True, slots=True)
class Step:
    """The clock set so far ahead, for so long."""

    ahead: float
    lasts: float


@dataclass(frozen=True, slots=True)
class Retries:
    """By application: the seconds between its attempts."""

    gaps: Sequence[Sequence[float]]

    def __len__(self) -> int:
        """Return how many there were."""
        return sum(map(len, self.gaps))

    @property
    def early(self) -> int:
        """How many attempts came before their time."""
        return sum(
            gap < wait.total_seconds() - 0.005
            for gaps in self.gaps
            for gap, wait in zip(gaps, SCHEDULE, strict=False)
        )

    @property
    def latest(self) -> float:
        """By how many seconds an attempt came later than its schedule with all jitter, at most."""
        return max(
            gap - wait.total_seconds() * 1.2
            for gaps in self.gaps
            for gap, wait in zip(gaps, SCHEDULE, strict=False)
        )


@dataclass(frozen=True, kw_only=True)
class Turned:
    """What came of it."""

    retries: Retries
    slow_tokens: int
    """How many tokens the application got that takes longer than the clock stood still."""
    alerted_after: Sequence[float]
    in_doubt: set[int]
    """What a stale webhook was answered while the clock was wrong."""
    sound: set[int]
    """What it was answered while it was right."""
    exit_code: int


async def turn(
    folder: Path,
    *,
    steps: Sequence[Step],
    sick_for: float,
    applications: int,
    slow_seconds: float = SLOW_SECONDS,
    guarded: bool = True,
) -> Turned:
    """Set the clock by *steps* while *applications* are sick, each with one logout to get."""
    async with AsyncExitStack() as stack:
        slow_folder = folder / SLOW
        slow_folder.mkdir()
        clock = stack.enter_context(a_clock(folder / "clock"))
        sink = stack.enter_context(a_sink(folder, applications=applications, unavailable=1.0))
        slow = stack.enter_context(a_sink(slow_folder, applications=1))
        latency = Fault(Harm.LATENCY, seconds=slow_seconds)
        proxy = await stack.enter_async_context(FaultProxy(slow.ports[0], lambda: latency))
        service = stack.enter_context(_service(folder, [*sink.ports, proxy.port], guarded))
        await run_sync(service.start, *LAUNCHER)
        set_at, in_doubt, sound = await run_sync(
            _turned, service, sink, clock, list(steps), sick_for
        )
        await run_sync(until_nothing_waits, service)
        exit_code = await run_sync(service.stop)
    return Turned(
        retries=retries_of(sink.received()),
        slow_tokens=slow.count(),
        alerted_after=alerted(service, set_at),
        in_doubt=in_doubt,
        sound=sound,
        exit_code=exit_code,
    )


def _service(folder: Path, ports: Sequence[int], guarded: bool) -> Service:  # noqa: FBT001 - ours
    names = [f"app{number}" for number in range(len(ports) - 1)] + [SLOW]
    applications = [
        a_client(name, uri, algorithm="ES256")
        for name, uri in zip(names, uris_of(ports), strict=True)
    ]
    environment = {
        **QUICK_KEYS,
        "DISPATCHER_ATTEMPT_TIMEOUT": "10",
        FILE: str(folder / "clock"),
        **({} if guarded else {ONE_CLOCK: "1"}),
    }
    return Service(folder, applications, environment)


def _turned(
    service: Service, sink: SinkProcess, clock: SetClock, steps: Sequence[Step], sick_for: float
) -> tuple[list[float], set[int], set[int]]:
    """Tell of one event, and set the clock while it is tried; return when it was set wrong."""
    names = [str(application["client_id"]) for application in service.applications]
    told(service, an_event(1, *names))
    until(lambda: sink.count() >= len(names) - 1)
    begun = time.monotonic()
    set_at: list[float] = []
    answers: tuple[set[int], set[int]] = (set(), set())
    for number, step in enumerate(steps):
        clock.set_ahead(step.ahead)
        if step.ahead:
            set_at.append(time.time())
        ends = time.monotonic() + step.lasts
        shown = datetime.fromtimestamp(clock(), UTC)
        answers[not step.ahead].add(told(service, an_event(f"-stale{number}"), at=shown - STALE))
        pass_until(ends, sink, heals_at=begun + sick_for)
    sink.heal()
    return set_at, *answers


def pass_until(ends: float, sink: SinkProcess, *, heals_at: float) -> None:
    """Let time pass, for as long as a clock is to be as it is; heal *sink* in its time."""
    while time.monotonic() < ends:
        if time.monotonic() > heals_at:
            sink.heal()
        time.sleep(0.05)


def alerted(service: Service, set_at: Sequence[float]) -> list[float]:
    """Return how long it took to say that the clock is in doubt, for each time it was set wrong."""
    lines = logged(service, "clock.in_doubt")
    said = [datetime.fromisoformat(line["timestamp"]).timestamp() for line in lines]
    return [
        min((moment - wrong for moment in said if moment > wrong), default=float("inf"))
        for wrong in set_at
    ]


def retries_of(received: Sequence[Received]) -> Retries:
    """Return the retries of applications, each of which is owed one logout."""
    moments: dict[int, list[float]] = {}
    for one in received:
        moments.setdefault(one.port, []).append(one.at)
    return Retries(
        [[later - earlier for earlier, later in pairwise(of)] for of in moments.values()]
    )


RIGHT = Step(0, 4)
STEPS = (Step(300, 5), RIGHT, Step(-300, 5), RIGHT, Step(-3600, 5), RIGHT)


def run(seed: int) -> Finding:
    """Try it at full load; what is left to chance is the service's own jitter."""
    del seed
    with TemporaryDirectory() as folder:
        turned = anyio.run(lambda: turn(Path(folder), steps=STEPS, sick_for=12, applications=40))
    retries = turned.retries
    slowest = max(turned.alerted_after)
    return Finding(
        measured=(
            f"{len(retries)} retries: {retries.early} early, {retries.latest:.2f} s past the"
            f" schedule at most; {turned.slow_tokens} token to the application that takes"
            f" {SLOW_SECONDS:.0f} s; alerted after {slowest:.1f} s at most; stale webhooks"
            f" {sorted(turned.in_doubt)} in doubt, {sorted(turned.sound)} else"
        ),
        held=retries.early == 0
        and retries.latest < LATE_SECONDS
        and turned.slow_tokens == 1
        and slowest < ALERTED_WITHIN_SECONDS
        and turned.in_doubt == {503}
        and turned.sound == {401}
        and turned.exit_code == 0,
    )
