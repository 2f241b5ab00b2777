"""A brown-out: sick applications move nobody else's latency, and get all they were owed when well.

Fifty applications, a hundred events in a second, each for five of the fifty. Four of them are sick:
one never answers, one drips its header, one answers 500, and one's address swallows connections.
Each event is for one of ten more as well, whose names no name server answers for. The same time
without the fourteen comes before each brown-out: the same events for the healthy 46 alone. Latency
is the time from a request's sending to the token's arrival at a healthy application.

The healthy ones, and the ten once their names are answered for, are a sink of its own process; the
sick servers run here. Sockets are those that the service's process holds, looked at twice a second.
"""

import json
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import anyio
import psutil
from anyio.to_thread import run_sync

from tests.bench.figures import Figure, Unit, Yardstick, at_most, percentile
from tests.bench.load import DELIVERED, FAN_OUT, an_event, produce
from tests.bench.plan import Plan
from tests.kit import dead_names, sick
from tests.kit.bookkeeping import claims_of
from tests.kit.processes import SinkProcess, a_sink
from tests.kit.registration import a_client
from tests.kit.rp_server import RpServer, Script, answers, hangs, then_drips
from tests.kit.service import Service

HEALTHY = tuple(f"healthy-{number}" for number in range(46))
SCRIPTS: Mapping[str, Script] = {
    "hangs": hangs,
    "drips": then_drips(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
    "fails": answers(500),
}
SWALLOWED = "swallowed"
UNNAMED = tuple(f"unnamed-{number}" for number in range(10))
PER_SECOND = 100
MAX_IN_FLIGHT = 16
HEALING_SECONDS = 60.0
_LONGEST_HEALING_SECONDS = 240.0
_CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Spell:
    """A time with or without sick applications."""

    latencies: Sequence[float]
    owed: int
    delivered: int
    healing_seconds: float
    most_sockets: int

    def arrived(self, share: float) -> float:
        """Return the seconds that *share* of the tokens for healthy applications arrive within."""
        return percentile(self.latencies, share)


@dataclass(frozen=True, slots=True)
class Brownout:
    """Pairs of times: without the sick applications, and with them."""

    pairs: tuple[tuple[Spell, Spell], ...]

    def figures(self) -> list[Figure]:
        """Return the latency of the healthy, and what became of the sick."""
        p50, calm_p50 = self._healthy(0.5)
        p99, calm_p99 = self._healthy(0.99)
        within = [spell for _, spell in self.pairs]
        healing = max(spell.healing_seconds for spell in within)
        owed = sum(spell.owed for spell in within)
        missing = owed - sum(spell.delivered for spell in within)
        sockets = max(spell.most_sockets for spell in within)
        return [
            Figure("brownout_healthy_p50_seconds", p50, Unit.SECONDS, calm_p50),
            Figure("brownout_healthy_p99_seconds", p99, Unit.SECONDS, calm_p99, at_most(1.2)),
            Figure("brownout_healthy_p99_alone_seconds", p99, Unit.SECONDS, bar=at_most(0.5)),
            Figure(
                "brownout_sockets_of_a_sick_lane_count",
                sockets,
                Unit.COUNT,
                bar=at_most(MAX_IN_FLIGHT),
            ),
            Figure("brownout_healing_seconds", healing, Unit.SECONDS, bar=at_most(HEALING_SECONDS)),
            Figure("brownout_owed_count", owed, Unit.COUNT),
            Figure("brownout_missing_count", missing, Unit.COUNT, bar=at_most(0)),
        ]

    def _healthy(self, share: float) -> tuple[float, Yardstick]:
        """Return the median of the brown-outs, and of the times without the sick."""
        without = median(without.arrived(share) for without, _ in self.pairs)
        within = median(within.arrived(share) for _, within in self.pairs)
        return within, Yardstick("without the sick", without)


def measure(plan: Plan) -> Brownout:
    """Have the plan's brown-outs."""
    return anyio.run(_measured, plan)


async def _measured(plan: Plan) -> Brownout:
    pairs = []
    for number in range(plan.pairs):
        told = _told(plan.seconds * PER_SECOND, seed=number)
        pairs.append((await _spell(told, plan, ill=False), await _spell(told, plan, ill=True)))
    return Brownout(tuple(pairs))


def _told(count: int, *, seed: int) -> list[list[str]]:
    """Return whom each of so many events is for."""
    dice = random.Random(seed)
    fifty = (*HEALTHY, *SCRIPTS, SWALLOWED)
    return [
        [*dice.sample(fifty, FAN_OUT), UNNAMED[number % len(UNNAMED)]] for number in range(count)
    ]


@dataclass(slots=True)
class _Stage:
    """The service, all applications' servers, and the most sockets seen to one sick lane."""

    service: Service
    sink: SinkProcess
    servers: Mapping[str, RpServer]
    swallowing: AsyncExitStack
    sick_ports: Mapping[int, str]
    healed_file: Path
    most: "Counter[str]" = field(default_factory=Counter)

    async def watch(self) -> None:
        """Look at the sockets of the service, twice a second."""
        assert self.service.process is not None
        process = psutil.Process(self.service.process.pid)
        while True:
            connections = await run_sync(partial(process.net_connections, "tcp"))
            ports = Counter(getattr(one.raddr, "port", 0) for one in connections)
            for port, name in self.sick_ports.items():
                self.most[name] = max(self.most[name], ports[port])
            await anyio.sleep(0.5)

    @asynccontextmanager
    async def healed(self) -> AsyncIterator[None]:
        """Let all be well."""
        self.healed_file.touch()
        await self.swallowing.aclose()
        ports = {name: port for port, name in self.sick_ports.items() if name == SWALLOWED}
        async with sick.healed(self.servers, ports):
            yield


@asynccontextmanager
async def _a_stage(plan: Plan) -> AsyncIterator[_Stage]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        sink = stack.enter_context(a_sink(folder, applications=len(HEALTHY) + len(UNNAMED)))
        servers = await stack.enter_async_context(sick.servers(SCRIPTS))
        swallowing = await stack.enter_async_context(AsyncExitStack())
        swallowed = await run_sync(swallowing.enter_context, sick.black_hole())
        ports = {name: server.port for name, server in servers.items()} | {SWALLOWED: swallowed}
        ports |= dict(zip((*HEALTHY, *UNNAMED), sink.ports, strict=True))
        healed_file = folder / "healed"
        service = Service(
            folder,
            [a_client(name, _uri(name, port)) for name, port in ports.items()],
            {
                dead_names.HEALED: str(healed_file),
                "DISPATCHER_ATTEMPT_TIMEOUT": str(plan.attempt_seconds),
            },
        )
        stack.enter_context(service)
        await run_sync(service.start, sys.executable, "-m", dead_names.__name__)
        sick_ports = {port: name for name, port in ports.items() if name not in HEALTHY}
        yield _Stage(service, sink, servers, swallowing, sick_ports, healed_file)


def _uri(name: str, port: int) -> str:
    host = f"{name}{dead_names.SUFFIX}" if name in UNNAMED else "127.0.0.1"
    return f"http://{host}:{port}/logout"


async def _spell(told: Sequence[Sequence[str]], plan: Plan, *, ill: bool) -> Spell:
    """Send an event to each of the applications in *told*, unless they are ill and that is off."""
    if not ill:
        told = [[name for name in names if name in HEALTHY] for names in told]
    owed = sum(map(len, told))
    bodies = [json.dumps(an_event(number, names)) for number, names in enumerate(told)]
    async with _a_stage(plan) as stage, anyio.create_task_group() as tasks:
        tasks.start_soon(stage.watch)
        send = partial(produce, connections=_CONNECTIONS, rate=PER_SECOND)
        produced = await run_sync(send, stage.service, bodies)
        began = time.monotonic()
        async with stage.healed():
            delivered = await _until_delivered(stage.service, owed)
        healing = time.monotonic() - began
        tasks.cancel_scope.cancel()
        sent = dict(zip(produced.accepted, produced.sent, strict=True))
        latencies = _latencies(stage, sent)
    return Spell(
        latencies=latencies,
        owed=owed,
        delivered=delivered,
        healing_seconds=healing,
        most_sockets=max(stage.most.values(), default=0),
    )


async def _until_delivered(service: Service, owed: int) -> int:
    """Return how many deliveries were made in the end: all, or what patience is enough for."""
    delivered = 0
    with anyio.move_on_after(_LONGEST_HEALING_SECONDS):
        while delivered < owed:
            delivered = int(await run_sync(service.metric, DELIVERED))
            await anyio.sleep(0.25)
    return delivered


def _latencies(stage: _Stage, sent: Mapping[str, float]) -> list[float]:
    """Return how long the first token of each session took to each healthy application."""
    healthy = set(stage.sink.ports[: len(HEALTHY)])
    first: dict[tuple[int, str], float] = {}
    for one in stage.sink.received():
        if one.port in healthy:
            first.setdefault((one.port, str(claims_of(one.token)["sid"])), one.at)
    return [at - sent[sid] for (_, sid), at in first.items()]
