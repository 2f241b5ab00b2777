"""The sender alone: CPU of one POST, against the clients that it stands in for.

Ours does all that it does in the service: target, guard, deadline, cap, parser, classification.
aiohttp and httpx2 are taken bare, as their documentation shows them, without any of that. All run
on uvloop in this process, 50 POSTs at once over kept connections, in interleaved rounds; the sink
is a process of its own. CPU is user and system time of this process, the median of the rounds.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from statistics import median
from typing import TypeAlias

import aiohttp
import anyio
import httpx2

from dispatcher.adapters.egress import EgressPolicy, HttpSender
from dispatcher.domain.deliveries import Acknowledged
from tests.bench.figures import Bar, Figure, Unit, Yardstick, at_most
from tests.bench.plan import Plan
from tests.kit.builders import an_application
from tests.kit.folders import a_folder
from tests.kit.processes import a_sink

AT_ONCE = 50
BODY_BYTES = 893
TOKEN = "t" * (BODY_BYTES - len("logout_token="))
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_BODY = f"logout_token={TOKEN}".encode()
_BARS: Mapping[str, Bar] = {"aiohttp": at_most(1.6), "httpx2": at_most(0.35)}

Post: TypeAlias = Callable[[int], Awaitable[None]]
"""Sends one POST to the server of that number."""


@dataclass(frozen=True, slots=True)
class Sending:
    """CPU seconds of one POST by client: to one server, and to many."""

    one: Mapping[str, float]
    many: Mapping[str, float]

    def figures(self) -> list[Figure]:
        """Return our cost against each other client's, for one server and for many."""
        return [
            Figure(
                f"sender_{servers}_cpu_seconds_per_post_{name}",
                costs["ours"],
                Unit.SECONDS,
                Yardstick(f"{name}'s own", costs[name]),
                bar,
            )
            for servers, costs in (("one_host", self.one), ("many_hosts", self.many))
            for name, bar in _BARS.items()
        ]


def measure(plan: Plan) -> Sending:
    """Send the plan's POSTs with each client."""
    with a_folder() as folder, a_sink(folder, applications=plan.hosts, recorded=False) as sink:
        uris = [f"http://127.0.0.1:{port}/logout" for port in sink.ports]
        one, many = (
            anyio.run(_costs, chosen, plan, backend_options={"use_uvloop": True})
            for chosen in (uris[:1], uris)
        )
    return Sending(one, many)


async def _costs(uris: Sequence[str], plan: Plan) -> Mapping[str, float]:
    costs: dict[str, list[float]] = {}
    async with AsyncExitStack() as stack:
        clients = {
            name: await stack.enter_async_context(opened(uris)) for name, opened in _CLIENTS.items()
        }
        for post in clients.values():
            await _cost(post, len(uris), max(AT_ONCE, 2 * len(uris)))
        for _ in range(plan.rounds):
            for name, post in clients.items():
                costs.setdefault(name, []).append(await _cost(post, len(uris), plan.posts))
    return {name: median(rounds) for name, rounds in costs.items()}


async def _cost(post: Post, servers: int, posts: int) -> float:
    """Return the CPU seconds of each of so many POSTs, which go round the servers."""
    turns = islice(cycle(range(servers)), posts)

    async def one_after_another() -> None:
        for number in turns:
            await post(number)

    cpu = time.process_time()
    async with anyio.create_task_group() as tasks:
        for _ in range(AT_ONCE):
            tasks.start_soon(one_after_another)
    return (time.process_time() - cpu) / posts


@asynccontextmanager
async def _ours(uris: Sequence[str]) -> AsyncIterator[Post]:
    policy = EgressPolicy.from_text("public", ["127.0.0.0/8"], allow_http=True)
    sender = HttpSender(policy, now=lambda: datetime.now(UTC), user_agent="bench/1")
    told = [
        (an_application(f"app-{number}", urls=[uri], max_in_flight=AT_ONCE), uri)
        for number, uri in enumerate(uris)
    ]

    async def post(number: int) -> None:
        application, uri = told[number]
        outcome = await sender.send(application, uri, TOKEN, timeout=timedelta(seconds=5))
        assert outcome == Acknowledged(status=200), outcome

    yield post
    await sender.close()


@asynccontextmanager
async def _aiohttp(uris: Sequence[str]) -> AsyncIterator[Post]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def post(number: int) -> None:
            async with session.post(uris[number], data=_BODY, headers=_FORM) as response:
                await response.read()
            assert response.status == 200, response.status

        yield post


@asynccontextmanager
async def _httpx2(uris: Sequence[str]) -> AsyncIterator[Post]:
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx2.AsyncClient(limits=limits, timeout=30) as client:

        async def post(number: int) -> None:
            response = await client.post(uris[number], content=_BODY, headers=_FORM)
            assert response.status_code == 200, response.status_code

        yield post


_CLIENTS = {"ours": _ours, "aiohttp": _aiohttp, "httpx2": _httpx2}
