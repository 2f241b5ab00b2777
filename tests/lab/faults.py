"""A network between the service and its applications that does all that networks do."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
from anyio.to_thread import run_sync

from tests.kit.bookkeeping import Books, books, claims_of
from tests.kit.processes import a_sink
from tests.kit.proxy import Fault, FaultProxy, Harm, Passage
from tests.kit.steps import (
    APPLICATIONS,
    a_service,
    an_event,
    logged,
    sent,
    until_nothing_waits,
    uris_of,
)
from tests.lab.table import Finding

ATTEMPT_SECONDS = 1
_HEAD_ENDS = b"\r\n\r\n"
_TOKEN = b"logout_token="
_HEALTHY = 0.6
"""The share of answers to which nothing is done, or the lanes would be parked all the time."""


@dataclass(frozen=True, slots=True)
class Told:
    """One attempt: what happened on the wire, and what the service made of it."""

    harm: Harm
    answered: bool
    """Whether the head of the answer reached the service whole."""
    outcome: str
    cause: str | None

    @property
    def right(self) -> bool:
        """Whether the outcome is what happened: an answer counts when its head is whole."""
        if self.answered:
            return self.outcome == "acknowledged"
        return self.outcome == "unreachable"


@dataclass(kw_only=True)
class Weathered:
    """What came of it."""

    kept: Books
    told: Sequence[Told]
    stale: int
    """Tokens that went over a kept connection at its end, and cost another token, no attempt."""
    failures: int
    exit_code: int

    @property
    def wrong(self) -> list[Told]:
        """The attempts that were taken for what they were not."""
        return [one for one in self.told if not one.right]

    @property
    def unexplained(self) -> int:
        """How many tokens came twice though no answer was lost on its way."""
        lost = self.stale + sum(one.outcome == "unreachable" for one in self.told)
        return max(0, self.kept.duplicates - lost)


def weather(seed: int) -> "Weather":
    """Return faults by chance, until they are over."""
    return Weather(random.Random(seed))


class Weather:
    """Chooses what becomes of an answer."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.fair = False

    def __call__(self) -> Fault:
        """Return the next answer's fault."""
        if self.fair or self._dice.random() < _HEALTHY:
            return Fault()
        harm = self._dice.choice([harm for harm in Harm if harm is not Harm.NONE])
        match harm:
            case Harm.LATENCY:
                return Fault(harm, seconds=self._dice.choice([0.05, 0.2, 2 * ATTEMPT_SECONDS]))
            case Harm.DRIP:
                return Fault(harm, seconds=self._dice.choice([0.001, ATTEMPT_SECONDS / 10]))
            case _:
                return Fault(harm, after=self._dice.randint(0, 40))


async def endure(folder: Path, *, events: int, seed: int) -> Weathered:
    """Send *events* through the weather, let it become fair, and compare."""
    sky = weather(seed)
    async with AsyncExitStack() as stack:
        sink = stack.enter_context(a_sink(folder, applications=len(APPLICATIONS)))
        proxies = [await stack.enter_async_context(FaultProxy(port, sky)) for port in sink.ports]
        uris = uris_of(proxy.port for proxy in proxies)
        seconds = str(ATTEMPT_SECONDS)
        service = stack.enter_context(a_service(folder, uris, ATTEMPT_TIMEOUT=seconds))
        await run_sync(service.start)
        accepted = await run_sync(lambda: sent(service, map(an_event, range(events)), rate=40))
        await anyio.sleep(3)  # the weather goes on
        sky.fair = True
        for proxy in proxies:
            proxy.let_go()
        await run_sync(until_nothing_waits, service)
        failures = int(await run_sync(service.metric, "dispatcher_worker_failures_total{"))
        exit_code = await run_sync(service.stop)
    attempts = logged(service, "delivery.attempted")
    passages = [passage for proxy in proxies for passage in proxy.passages]
    told = compared(attempts, passages)
    return Weathered(
        kept=books(accepted, APPLICATIONS, sink.received()),
        told=told,
        stale=sum(len(_jtis(passage)) for passage in passages) - len(told),
        failures=failures,
        exit_code=exit_code,
    )


def compared(attempts: Sequence[Mapping[str, Any]], passages: Sequence[Passage]) -> list[Told]:
    """Set what the service made of each token against what happened to it on the wire."""
    outcomes = {one["jti"]: one for one in attempts}
    return [
        Told(_harm(passage, number), number < answers, attempt["outcome"], attempt.get("cause"))
        for passage in passages
        for answers in [bytes(passage.back).count(_HEAD_ENDS)]
        for number, jti in enumerate(_jtis(passage))
        if (attempt := outcomes.get(jti)) is not None
    ]


def _harm(passage: Passage, number: int) -> Harm:
    """Return what was done to an answer; a token that got none met what was done before."""
    return (passage.faults[number : number + 1] or passage.faults[-1:] or [Fault()])[0].harm


def _jtis(passage: Passage) -> list[object]:
    """Return the ``jti`` of each token that went over a connection, in order."""
    bodies = bytes(passage.forth).split(_TOKEN)[1:]
    tokens = (body.split(b"POST ")[0].decode("ascii", "replace") for body in bodies)
    return [claims_of(token)["jti"] for token in tokens if token.count(".") == 2]


def run(seed: int) -> Finding:
    """Try it at full load."""
    with TemporaryDirectory() as folder:
        weathered = anyio.run(lambda: endure(Path(folder), events=600, seed=seed))
    kept, harms = weathered.kept, Counter(one.harm for one in weathered.told)
    return Finding(
        measured=(
            f"{len(kept.owed):,} owed, {len(kept.missing)} missing; {len(weathered.told):,}"
            f" attempts ({', '.join(f'{count} {harm}' for harm, count in harms.most_common())}),"
            f" {len(weathered.wrong)} taken for what they were not; {kept.duplicates} came twice,"
            f" {weathered.unexplained} unexplained"
        ),
        held=not (kept.missing or kept.unasked or weathered.wrong or weathered.unexplained)
        and weathered.failures == weathered.exit_code == 0,
    )
