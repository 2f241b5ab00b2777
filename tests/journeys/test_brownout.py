"""A brown-out: sick applications hold nobody up, and get all that they were owed when they heal."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from anyio.to_thread import run_sync

from tests.kit import sick
from tests.kit.bookkeeping import claims_of
from tests.kit.overseer import Lanes, Overseer, owed_nothing
from tests.kit.processes import a_producer, history_of
from tests.kit.registration import a_client
from tests.kit.rp_server import RpServer, Script, answers, hangs
from tests.kit.service import Service, free_port

EVENTS = 300
HEALTHY = tuple(f"healthy{number}" for number in range(5))
HANGS, FAILS, REFUSES = "hangs", "fails", "refuses"
SICK = (HANGS, FAILS, REFUSES)
MAX_IN_FLIGHT = 8
MOST_ATTEMPTS = 3
"""One before its lane parked, one as its probe, and the one that arrived."""
PATIENCE_SECONDS = 60.0


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio, as the service does."""
    return "asyncio"


@dataclass
class Stage:
    """The applications' servers, and the service that is to tell them."""

    servers: dict[str, RpServer]
    dead_port: int
    service: Service
    overseer: Overseer

    @asynccontextmanager
    async def healed(self) -> AsyncIterator[None]:
        """Let every server answer well from now on."""
        async with sick.healed(self.servers, {REFUSES: self.dead_port}) as opened:
            self.servers |= opened
            yield

    def came(self, client_id: str) -> "Counter[str]":
        """Return how often each session's token came to an application."""
        tokens = (
            request.body.decode().removeprefix("logout_token=")
            for request in self.servers[client_id].requests
        )
        return Counter(str(claims_of(token)["sid"]) for token in tokens)

    async def until(self, reached: Callable[[Lanes], bool]) -> None:
        """Return when every event is matched and the lanes are as it is hoped."""
        with anyio.fail_after(PATIENCE_SECONDS):
            while not (await self.overseer.all_matched() and reached(await self.overseer.lanes())):  # noqa: ASYNC110 - another process's state
                await anyio.sleep(0.1)


@asynccontextmanager
async def a_stage(folder: Path) -> AsyncIterator[Stage]:
    """Open five healthy servers, one that hangs and one that fails; one port is dead."""
    scripts: dict[str, Script] = dict.fromkeys(HEALTHY, answers(200))
    scripts |= {HANGS: hangs, FAILS: answers(500)}
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(sick.servers(scripts))
        dead_port = free_port()
        ports = {name: server.port for name, server in servers.items()} | {REFUSES: dead_port}
        applications = [
            a_client(name, f"http://127.0.0.1:{port}/logout", max_in_flight=MAX_IN_FLIGHT)
            for name, port in ports.items()
        ]
        environment = {"DISPATCHER_ATTEMPT_TIMEOUT": "1"}
        service = stack.enter_context(Service(folder, applications, environment=environment))
        await run_sync(service.start)
        overseer = Overseer(stack.enter_context(service.api()))
        yield Stage(servers, dead_port, service, overseer)


async def send(stage: Stage) -> Sequence[str]:
    """Send events at a steady rate, each for all applications; return the sids accepted."""
    clients = [{"client_id": name} for name in (*HEALTHY, *SICK)]
    bodies = [
        json.dumps({"id": sid, "initiator": "session-revoked", "sid": sid, "clients": clients})
        for sid in (f"s{number}" for number in range(EVENTS))
    ]
    order = {
        "urls": [stage.service.webhook_url],
        "secret": stage.service.secret,
        "connections": 4,
        "rate": 100,
        "bodies": bodies,
    }
    with a_producer(order) as producer:
        accepted = (await run_sync(history_of, producer))["accepted"]
    assert isinstance(accepted, list)
    return accepted


def parked(lanes: Lanes) -> bool:
    """Whether no sick application is told of anything."""
    return all(lanes[name]["state"] in {"parked", "probing"} for name in SICK)


async def test_sick_applications_hold_nobody_up(tmp_path: Path) -> None:
    """While three are parked all others are told of everything, once; healed, the three are too.

    An attempt is what costs: however long a lane is parked, each delivery in it has had few.
    """
    async with a_stage(tmp_path) as stage:
        accepted = await send(stage)
        await stage.until(lambda lanes: owed_nothing(lanes, HEALTHY) and parked(lanes))
        came_meanwhile = [stage.came(name) for name in HEALTHY]
        waiting = await stage.overseer.listed("deliveries", state="parked")
        async with stage.healed():
            await stage.until(lambda lanes: owed_nothing(lanes, SICK))
            owed = {
                name: await stage.overseer.listed("deliveries", client_id=name) for name in SICK
            }
        exit_code = await run_sync(stage.service.stop)

    attempts = {name: Counter(one["attempt_count"] for one in owed[name]) for name in SICK}
    untouched = Counter(one["client_id"] for one in waiting if one["attempt_count"] == 0)
    print(f"{len(waiting)} waited, of which untouched {dict(untouched)}; attempts {attempts}")
    assert came_meanwhile == [Counter(accepted)] * len(HEALTHY)
    assert [stage.came(name) for name in HEALTHY] == came_meanwhile
    assert min(untouched[name] for name in SICK) > EVENTS // 2
    for name in SICK:
        assert Counter(one["state"] for one in owed[name]) == {"delivered": EVENTS}
        assert max(attempts[name]) <= MOST_ATTEMPTS
        assert 0 < stage.servers[name].most_connections <= MAX_IN_FLIGHT
    assert sum(attempts[FAILS].elements()) == stage.came(FAILS).total()
    assert exit_code == 0
