"""A PostgreSQL that dies, comes back and falls silent under load: nothing accepted is lost."""

import random
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import psycopg
from anyio.to_thread import run_sync

from dispatcher.adapters.postgres import migrate
from tests.kit.bookkeeping import Books, books, claims_of, unsound
from tests.kit.folders import a_folder
from tests.kit.postgres import OwnServer, an_own_server, by_port, socket_of
from tests.kit.processes import Received, SinkProcess, a_producer, a_sink, history_of
from tests.kit.proxy import Fault, FaultProxy, Harm
from tests.kit.service import Service
from tests.kit.steps import (
    APPLICATIONS,
    a_service,
    an_event,
    an_order,
    status_of,
    until,
    until_nothing_waits,
    uris_of,
)
from tests.lab.table import Finding

IN_FLIGHT_PER_APPLICATION = 16
EVENTS_PER_SECOND = 60
"""Of each of two producers, each of which sends to a replica of its own."""
TAKES_ITS_TIME = Fault(Harm.LATENCY, seconds=0.05)
"""What one application does with each token, so that some are in flight at any moment."""
REFUSED_WITHIN_SECONDS = 2.0
READY_WITHIN_SECONDS = 5.0
SETTLED_WITHIN_SECONDS = 2.0
"""How long what an application has answered may wait to be written down, while all is well."""
UNGUARDED = ("synchronous_commit=off", "wal_writer_delay=10s")
"""A server that answers a commit before it is on disk, and then takes its time."""
ALLOWED = "DISPATCHER_POSTGRES_ALLOW_UNSAFE"
_PATIENT_SECONDS = 600.0
_STORED = "SELECT id FROM event"
_CHARGED = """
SELECT count(*) FROM delivery WHERE state <> 'delivered' OR attempt_count <> 1
    OR EXISTS (SELECT FROM attempt WHERE delivery = delivery.number AND outcome <> 'acknowledged')
"""


@dataclass(frozen=True, slots=True)
class Blow:
    """What is done to the server: it is away for so many seconds, or silent."""

    lasts: float
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a webhook was answered: when it was sent, the status, and after how many seconds."""

    sent: float
    status: int
    took: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A time without a server, by the wall's clock: it was surely away, and then it was back."""

    began: float
    ended: float
    back: float
    readiness: frozenset[int]
    """What ``/readyz`` of the replicas answered meanwhile."""
    ready_after: float
    """How many seconds after the server was back all of them were ready."""

    def holds(self, answer: Answer) -> bool:
        """Whether *answer* was asked for and given in it."""
        return self.began <= answer.sent and answer.sent + answer.took <= self.ended


@dataclass(frozen=True, kw_only=True)
class Struck:
    """What came of it."""

    outages: Sequence[Outage]
    answers: Sequence[Answer] = field(repr=False)
    """All that the webhooks were answered."""
    kept: Books
    false: frozenset[str]
    """What was answered by 202 and is not in the database."""
    charged: int
    """How many deliveries were not made by one attempt that was acknowledged."""
    received: Sequence[Received] = field(repr=False)
    exit_codes: Sequence[int]

    @property
    def statuses(self) -> set[int]:
        """What webhooks were answered, at any time."""
        return {answer.status for answer in self.answers}

    @property
    def refused(self) -> Sequence[Sequence[Answer]]:
        """By outage: what webhooks were answered in it."""
        return [[one for one in self.answers if outage.holds(one)] for outage in self.outages]

    @property
    def slowest_refusal(self) -> float:
        """The seconds after which a webhook was refused, at most."""
        return max((one.took for one in self.answers if one.status != 202), default=0.0)

    @property
    def ready_after(self) -> float:
        """The seconds until all were ready again, at most."""
        return max(outage.ready_after for outage in self.outages)

    @property
    def all_told_after(self) -> float:
        """The seconds from the end of the last outage to the last token.

        What was lent out, and nobody came to know of it, waits until its lease ends; the rest for
        what has gathered before it.
        """
        return max(one.at for one in self.received) - self.outages[-1].back

    @property
    def unexplained(self) -> int:
        """How many tokens came twice though the first was not in flight when an outage began.

        In flight is what was sent, and not yet written down.
        """
        first: dict[tuple[str, str], float] = {}
        for one in self.received:
            claims = claims_of(one.token)
            first.setdefault((str(claims["aud"]), str(claims["sid"])), one.at)
        twice = [key for key, count in self.kept.came.items() if count > 1]
        most = IN_FLIGHT_PER_APPLICATION * len(APPLICATIONS) * len(self.outages)
        late = sum(not self._in_flight(first[key]) for key in twice)
        return late + max(0, self.kept.duplicates - most)

    def _in_flight(self, moment: float) -> bool:
        return any(
            outage.began - SETTLED_WITHIN_SECONDS <= moment <= outage.back
            for outage in self.outages
        )

    @property
    def held(self) -> bool:
        """Whether all holds that no clock of a busy machine decides."""
        return (
            all(self.refused)
            and {one.status for one in chain(*self.refused)} == {503}
            and self.statuses == {202, 503}
            and all(outage.readiness == {503} for outage in self.outages)
            and not (self.kept.missing or self.kept.unasked or self.false or self.charged)
            and not (self.unexplained or unsound(self.received))
            and set(self.exit_codes) == {0}
        )


@dataclass(frozen=True, slots=True)
class Stage:
    """Two replicas, and all that lies between the database and the applications."""

    own: OwnServer
    url: str
    proxy: FaultProxy
    sink: SinkProcess
    replicas: Sequence[Service]


def _a_proxy(target: int | Path, fault: Fault) -> FaultProxy:
    return FaultProxy(target, lambda: fault, patience_seconds=_PATIENT_SECONDS)


@asynccontextmanager
async def a_stage(folder: Path, options: Sequence[str]) -> AsyncIterator[Stage]:
    """Return two replicas, not yet started, on a server with *options* behind a proxy."""
    async with AsyncExitStack() as stack:
        own = stack.enter_context(an_own_server(*options))
        url = stack.enter_context(own.database())
        await migrate(url, allow_unsafe=True)
        sink = stack.enter_context(a_sink(folder, applications=len(APPLICATIONS)))
        first, *others = sink.ports
        proxy = await stack.enter_async_context(_a_proxy(socket_of(url), Fault()))
        slow = await stack.enter_async_context(_a_proxy(first, TAKES_ITS_TIME))
        uris = uris_of([slow.port, *others])
        settings = {"STORE": by_port(url, proxy.port), "ATTEMPT_TIMEOUT": "3"}
        one = stack.enter_context(a_service(folder, uris, **settings))
        other = one.replica(stack.enter_context(a_folder()))
        yield Stage(own, url, proxy, sink, [one, stack.enter_context(other)])


async def strike(
    folder: Path,
    *,
    blows: Iterable[Blow],
    events: int,
    apart: tuple[float, float],
    seed: int,
    launcher: Sequence[str] = (),
    guarded: bool = True,
) -> Struck:
    """Strike the server by *blows*, some seconds *apart*, while two replicas take *events* each.

    Where it is not *guarded*, a commit is answered before it is on disk.
    """
    dice = random.Random(seed)
    async with a_stage(folder, () if guarded else UNGUARDED) as stage, AsyncExitStack() as stack:
        async with anyio.create_task_group() as starting:
            for replica in stage.replicas:
                if not guarded:
                    replica.environment = {**replica.environment, ALLOWED: "true"}
                starting.start_soon(run_sync, replica.start, *launcher)
        await run_sync(stage.own.run, "CHECKPOINT")  # what is declared is on disk, come what may
        loads = _loads(stage.replicas, events)
        producers = [stack.enter_context(a_producer(order)) for order in loads]
        outages = []
        for blow in blows:
            await anyio.sleep(dice.uniform(*apart))  # the load goes on meanwhile
            outages.append(await _struck(blow, stage))
        histories = [await run_sync(history_of, producer) for producer in producers]
        await run_sync(until_nothing_waits, stage.replicas[0])
        stored, charged = await run_sync(_recorded, stage.url)
        exit_codes = [await run_sync(replica.stop) for replica in stage.replicas]
    accepted = list(chain(*(history["accepted"] for history in histories)))
    received = stage.sink.received()
    return Struck(
        outages=outages,
        answers=list(chain(*map(_answers, histories))),
        kept=books(accepted, APPLICATIONS, received),
        false=frozenset(accepted) - stored,
        charged=charged,
        received=received,
        exit_codes=exit_codes,
    )


def _loads(replicas: Sequence[Service], events: int) -> list[dict[str, object]]:
    """Return an order for each of *replicas*, to send so many events to it."""
    return [
        an_order(
            replica,
            [an_event(f"{number}-{one}") for one in range(events)],
            rate=EVENTS_PER_SECOND,
        )
        for number, replica in enumerate(replicas)
    ]


async def _struck(blow: Blow, stage: Stage) -> Outage:
    """Strike one blow, and watch the readiness of the replicas until they have got over it."""
    if blow.silent:
        stage.proxy.shut()
    else:
        await run_sync(stage.own.stop)
    began = time.time()
    readiness = await _readiness(stage.replicas, began + blow.lasts)
    ended = time.time()
    if blow.silent:
        stage.proxy.open()
    else:
        await run_sync(stage.own.start)
    back = time.time()
    for replica in stage.replicas:
        await run_sync(until, partial(_ready, replica))
    return Outage(
        began=began, ended=ended, back=back, readiness=readiness, ready_after=time.time() - back
    )


async def _readiness(replicas: Sequence[Service], ends: float) -> frozenset[int]:
    """Return what ``/readyz`` of *replicas* answers until that moment."""
    seen: set[int] = set()

    async def watch(replica: Service) -> None:
        while time.time() < ends:
            seen.add(await run_sync(status_of, replica, "/readyz"))
            await anyio.sleep(0.05)  # the outage goes on meanwhile

    async with anyio.create_task_group() as watching:
        for replica in replicas:
            watching.start_soon(watch, replica)
    return frozenset(seen)


def _ready(replica: Service) -> bool:
    return status_of(replica, "/readyz") == 200


def _answers(history: Mapping[str, Any]) -> list[Answer]:
    accepted = zip(history["sent"], history["latencies"], strict=True)
    return [Answer(sent, 202, took) for sent, took in accepted] + [
        Answer(*refused) for refused in history["refused"]
    ]


def _recorded(url: str) -> tuple[frozenset[str], int]:
    """Return the ids of the events that are in the database, and how many were charged for."""
    with psycopg.connect(url) as connection:
        stored = frozenset(str(sid) for (sid,) in connection.execute(_STORED.encode()))
        row = connection.execute(_CHARGED.encode()).fetchone()
    assert row is not None
    return stored, int(row[0])


AWAY = Blow(1.5)
SILENT = Blow(60, silent=True)


def run(seed: int) -> Finding:
    """Try it at full load."""
    blows = (AWAY, AWAY, SILENT, AWAY, AWAY, AWAY)
    with TemporaryDirectory() as folder:
        struck = anyio.run(
            lambda: strike(Path(folder), blows=blows, events=2200, apart=(3, 5), seed=seed)
        )
    kept, refused = struck.kept, sum(map(len, struck.refused))
    return Finding(
        measured=(
            f"{len(kept.owed) // len(APPLICATIONS):,} accepted, {len(struck.false)} of them false;"
            f" {refused:,} webhooks in {len(struck.outages)} outages, answered"
            f" {sorted({one.status for one in chain(*struck.refused)})} after"
            f" {struck.slowest_refusal:.2f} s at most; ready {struck.ready_after:.1f} s after it"
            f" was back at most; {len(kept.missing)} missing, {struck.charged} charged,"
            f" {kept.duplicates} came twice, {struck.unexplained} unexplained; the last was told"
            f" {struck.all_told_after:.0f} s after the last outage"
        ),
        held=struck.held
        and struck.slowest_refusal < REFUSED_WITHIN_SECONDS
        and struck.ready_after < READY_WITHIN_SECONDS,
    )
