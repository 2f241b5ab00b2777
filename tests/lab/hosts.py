"""A host whose clock is not the database's: two replicas, of which one is wrong by an hour."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
from anyio.to_thread import run_sync

from dispatcher.adapters.postgres import migrate
from tests.kit.bookkeeping import unsound
from tests.kit.folders import a_folder
from tests.kit.postgres import an_own_server
from tests.kit.processes import SinkProcess, a_sink
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
from tests.lab.clocks import (
    ALERTED_WITHIN_SECONDS,
    LATE_SECONDS,
    LAUNCHER,
    SLOW,
    SLOW_SECONDS,
    STALE,
    STEPS,
    Retries,
    Step,
    alerted,
    pass_until,
    retries_of,
)
from tests.lab.table import Finding


@dataclass(frozen=True, slots=True)
class Stage:
    """A replica with the database's time, another with a clock of its own, and applications."""

    right: Service
    wrong: Service
    clock: SetClock
    sick: SinkProcess
    slow: SinkProcess


@dataclass(frozen=True, kw_only=True)
class Apart:
    """What came of it."""

    retries: Retries
    lent: Sequence[int]
    """How many attempts each replica made to tell the application that takes its time."""
    slow_events: int
    slow_tokens: int
    """How many events that application had to be told of, and how many tokens it got."""
    leases_lost: int
    alerted_after: Sequence[float]
    alarms_of_the_other: int
    """How often the replica with the right clock said that it is in doubt."""
    in_doubt: set[int]
    """What a stale webhook was answered by the replica that was wrong."""
    sound: set[int]
    """What it was answered by the one that was right, or had become so."""
    misdated: int
    """How many tokens showed the time of the clock that was wrong."""
    exit_codes: Sequence[int]

    @property
    def held(self) -> bool:
        """Whether all holds that no clock of a busy machine decides."""
        return (
            self.retries.early == 0
            and self.slow_tokens == self.slow_events == sum(self.lent)
            and self.leases_lost == self.alarms_of_the_other == 0
            and (self.in_doubt, self.sound) == ({503}, {401})
            and self.exit_codes == [0, 0]
        )


@asynccontextmanager
async def a_stage(folder: Path, *, applications: int, guarded: bool) -> AsyncIterator[Stage]:
    """Return two replicas, not yet started, and applications that are all sick but one."""
    async with AsyncExitStack() as stack:
        own = stack.enter_context(an_own_server())
        url = stack.enter_context(own.database())
        await migrate(url)
        (folder / SLOW).mkdir()
        sick = stack.enter_context(a_sink(folder, applications=applications, unavailable=1.0))
        slow = stack.enter_context(a_sink(folder / SLOW, applications=1))
        latency = Fault(Harm.LATENCY, seconds=SLOW_SECONDS)
        proxy = await stack.enter_async_context(FaultProxy(slow.ports[0], lambda: latency))
        names = [*(f"app{number}" for number in range(applications)), SLOW]
        uris = uris_of([*sick.ports, proxy.port])
        filed = [
            a_client(name, uri, algorithm="ES256") for name, uri in zip(names, uris, strict=True)
        ]
        shared = {**QUICK_KEYS, "DISPATCHER_STORE": url, "DISPATCHER_ATTEMPT_TIMEOUT": "10"}
        right = stack.enter_context(Service(folder, filed, shared))
        wrong = stack.enter_context(right.replica(stack.enter_context(a_folder())))
        right.options = () if guarded else ("--role", "api")
        clock = stack.enter_context(a_clock(folder / "clock"))
        own_clock = {FILE: str(folder / "clock"), **({} if guarded else {ONE_CLOCK: "1"})}
        wrong.environment = {**shared, **own_clock}
        yield Stage(right, wrong, clock, sick, slow)


async def drift_apart(
    folder: Path,
    *,
    steps: Sequence[Step],
    sick_for: float,
    applications: int,
    guarded: bool = True,
) -> Apart:
    """Set one replica's clock by *steps* while *applications* are sick, and owed a logout each.

    Where it is not *guarded* its steady clock is its own, and it alone delivers.
    """
    async with a_stage(folder, applications=applications, guarded=guarded) as stage:
        return await run_sync(_apart, stage, list(steps), sick_for)


def _apart(stage: Stage, steps: Sequence[Step], sick_for: float) -> Apart:
    """Start one replica with its clock as the first of *steps* has it, and go on from there."""
    stage.right.start()
    stage.clock.set_ahead(steps[0].ahead)
    stage.wrong.start(*LAUNCHER)
    sick = [name for name in map(_name, stage.right.applications) if name != SLOW]
    told(stage.wrong, an_event("-sick", *sick), at=_shown(stage))
    until(lambda: stage.sick.count() >= len(sick))
    heals_at = time.monotonic() + sick_for
    in_doubt, sound, set_at = set[int](), set[int](), [_listening(stage.wrong)]
    for number, step in enumerate(steps):
        stage.clock.set_ahead(step.ahead)
        if step.ahead and number:
            set_at.append(time.time())
        ends = time.monotonic() + step.lasts
        told(stage.right, an_event(f"{number}-right", SLOW))
        told(stage.wrong, an_event(f"{number}-wrong", SLOW), at=_shown(stage))
        stale = an_event(f"{number}-stale")
        sound.add(told(stage.right, stale, at=datetime.now(UTC) - STALE))
        (in_doubt if step.ahead else sound).add(told(stage.wrong, stale, at=_shown(stage) - STALE))
        pass_until(ends, stage.sick, heals_at=heals_at)
    stage.sick.heal()
    until_nothing_waits(stage.right)
    replicas = (stage.right, stage.wrong)
    lost = int(sum(one.metric("dispatcher_leases_lost_total") for one in replicas))
    exit_codes = [one.stop() for one in replicas]
    received = [*stage.sick.received(), *stage.slow.received()]
    return Apart(
        retries=retries_of(stage.sick.received()),
        lent=[_attempts_of_slow(one) for one in replicas],
        slow_events=2 * len(steps),
        slow_tokens=stage.slow.count(),
        leases_lost=lost,
        alerted_after=alerted(stage.wrong, set_at),
        alarms_of_the_other=len(logged(stage.right, "clock.in_doubt")),
        in_doubt=in_doubt,
        sound=sound,
        misdated=len(unsound(received)),
        exit_codes=exit_codes,
    )


def _name(application: Mapping[str, object]) -> str:
    return str(application["client_id"])


def _shown(stage: Stage) -> datetime:
    """Return what the wrong clock shows."""
    return datetime.fromtimestamp(stage.clock(), UTC)


def _listening(service: Service) -> float:
    """Return when *service* began to listen."""
    (line,) = logged(service, "service.listening")
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def _attempts_of_slow(service: Service) -> int:
    attempts = logged(service, "delivery.attempted")
    return sum(one["client_id"] == SLOW for one in attempts)


def run(seed: int) -> Finding:
    """Try it at full load; what is left to chance is the service's own jitter."""
    del seed
    with TemporaryDirectory() as folder:
        apart = anyio.run(
            lambda: drift_apart(Path(folder), steps=STEPS, sick_for=12, applications=40)
        )
    retries, slowest = apart.retries, max(apart.alerted_after)
    return Finding(
        measured=(
            f"{len(retries)} retries: {retries.early} early, {retries.latest:.2f} s past the"
            f" schedule at most; {apart.slow_tokens} tokens of {SLOW_SECONDS:.0f} s for"
            f" {apart.slow_events} events, {apart.lent[0]} by the right one and {apart.lent[1]} by"
            f" the wrong one, {apart.leases_lost} leases lost; alerted after {slowest:.1f} s at"
            f" most; stale webhooks {sorted(apart.in_doubt)} in doubt, {sorted(apart.sound)} else;"
            f" {apart.misdated} tokens were dated by the wrong clock"
        ),
        held=apart.held
        and all(apart.lent)
        and retries.latest < LATE_SECONDS
        and slowest < ALERTED_WITHIN_SECONDS,
    )
