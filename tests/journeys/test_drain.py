"""A service that is told to end does so in order: it loses nothing and sends nothing twice."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from anyio import to_thread
from standardwebhooks.webhooks import Webhook

from tests.journeys.bookkeeping import books
from tests.kit.processes import a_producer, a_sink, history_of
from tests.kit.registration import a_client
from tests.kit.rp_server import Peer, RpServer, response
from tests.kit.service import Service

APPLICATIONS = ("crm", "shop", "wiki")
PATIENCE_SECONDS = 40.0
QUICK_KEYS = {"DISPATCHER_ALGORITHMS": "ES256"}
WAITING = (("deliveries", "pending"), ("deliveries", "in_flight"), ("events", "accepted"))


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio, as the applications' servers do."""
    return "asyncio"


def a_service(folder: Path, uris: Sequence[str], **environment: str) -> Service:
    """Return a service that is to tell an application at each of *uris*."""
    applications = [
        a_client(client_id, uri, algorithm="ES256")
        for client_id, uri in zip(APPLICATIONS, uris, strict=False)
    ]
    variables = {f"DISPATCHER_{name}": value for name, value in environment.items()}
    return Service(folder, applications, {**QUICK_KEYS, **variables})


def an_event(number: int, *client_ids: str) -> dict[str, Any]:
    """Return the end of a session of its own."""
    clients = [{"client_id": client_id} for client_id in client_ids or APPLICATIONS]
    sid = f"s{number}"
    return {
        "id": sid,
        "initiator": "session-revoked",
        "sub": "alice",
        "sid": sid,
        "clients": clients,
    }


def told(service: Service, event: Mapping[str, Any]) -> int:
    """Send one event, signed, over a connection of its own, and return the status."""
    body, now = json.dumps(event), datetime.now(UTC)
    headers = {
        "webhook-id": event["id"],
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(service.secret).sign(event["id"], now, body),
        "content-type": "application/json",
    }
    return httpx2.post(service.webhook_url, content=body, headers=headers).status_code


def status_of(service: Service, path: str) -> int:
    """Return the status at *path*; 0 where nobody listens."""
    try:
        return httpx2.get(service.url + path).status_code
    except httpx2.TransportError:
        return 0


def until(condition: Callable[[], bool]) -> None:
    """Return when *condition* holds: it is another process that brings it about."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "this takes too long"
        time.sleep(0.01)


def until_nothing_waits(service: Service) -> None:
    """Return when no delivery is pending or in flight and no event waits to be matched."""
    with service.api() as api:

        def nothing_waits() -> bool:
            """Whether all lists are empty."""
            answers = [
                api.get(f"/api/v2/{what}", params={"state": state, "take": 1}).json()[what]
                for what, state in WAITING
            ]
            return not any(answers)

        until(nothing_waits)


def process_of(service: Service) -> "subprocess.Popen[bytes]":
    """Return the running process."""
    assert service.process is not None
    return service.process


@pytest.mark.timeout(180)
def test_a_service_that_ends_under_load_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    """After SIGTERM readiness is 503 while intake still answers 202; then the process ends with 0.

    Every event accepted before, during and after is delivered once: nothing was cut.
    """
    with (
        a_sink(tmp_path, applications=3) as sink,
        a_service(
            tmp_path, [f"http://127.0.0.1:{port}/out" for port in sink.ports], DRAIN_DELAY="2s"
        ) as service,
    ):
        service.start()
        order = {
            "url": service.webhook_url,
            "secret": service.secret,
            "connections": 8,
            "rate": 150,
            "bodies": [json.dumps(an_event(number)) for number in range(750)],
        }
        with a_producer(order) as producer, ExitStack() as at_the_end:
            at_the_end.callback(producer.kill)  # or it would go on for ever where this test fails
            until(lambda: sink.count() > 100)
            process_of(service).send_signal(signal.SIGTERM)
            until(lambda: status_of(service, "/readyz") == 503)
            during = told(service, an_event(1000)), status_of(service, "/readyz")
            exit_code = process_of(service).wait(timeout=PATIENCE_SECONDS)
            afterwards = status_of(service, "/readyz")
            service.start()
            accepted = history_of(producer)["accepted"]
        until_nothing_waits(service)
        assert isinstance(accepted, list)
        kept = books([*accepted, "s1000"], APPLICATIONS, sink.received())
        service.stop()

    print(f"{len(kept.owed)} owed, {len(kept.missing)} missing, {kept.duplicates} came twice")
    assert during == (202, 503)
    assert (exit_code, afterwards) == (0, 0)
    assert len(accepted) == 750
    assert (kept.missing, kept.unasked, kept.duplicates) == (frozenset(), frozenset(), 0)


class Held:
    """A server's script that holds every request until it is opened, and then answers 200."""

    def __init__(self) -> None:
        self.opened = anyio.Event()

    async def __call__(self, peer: Peer) -> None:
        """Hold the request."""
        await self.opened.wait()
        await peer.say(response(200))


async def until_asked(rp: RpServer, requests: int) -> None:
    """Return when so many tokens have reached *rp*."""
    with anyio.fail_after(PATIENCE_SECONDS):
        while len(rp.requests) < requests:  # noqa: ASYNC110 - it tells nobody
            await anyio.sleep(0.01)


async def test_the_listener_closes_while_what_is_in_flight_still_ends(tmp_path: Path) -> None:
    """When the drain delay is over nobody is let in, and a token on its way is still answered.

    The process ends with 0 as soon as it is, and that token is never sent again.
    """
    held = Held()
    async with RpServer(held) as rp:
        with a_service(tmp_path, [rp.uri()], ATTEMPT_TIMEOUT="10") as service:
            await to_thread.run_sync(service.start)
            await to_thread.run_sync(told, service, an_event(1, "crm"))
            await until_asked(rp, 1)
            process_of(service).send_signal(signal.SIGTERM)
            await to_thread.run_sync(until, lambda: status_of(service, "/livez") == 0)
            ended_before = process_of(service).poll()
            held.opened.set()
            exit_code = await to_thread.run_sync(process_of(service).wait, PATIENCE_SECONDS)

            await to_thread.run_sync(service.start)
            await to_thread.run_sync(until_nothing_waits, service)
            await to_thread.run_sync(service.stop)

    assert (ended_before, exit_code) == (None, 0)
    assert len(rp.requests) == 1


async def test_a_second_signal_ends_the_service_at_once(tmp_path: Path) -> None:
    """Whoever can not wait says so again: the exit code is not 0, and nothing accepted is lost."""
    held = Held()
    async with RpServer(held) as rp:
        with a_service(
            tmp_path, [rp.uri()], DRAIN_DELAY="10m", GRACE="10m", ATTEMPT_TIMEOUT="10"
        ) as service:
            await to_thread.run_sync(service.start)
            await to_thread.run_sync(told, service, an_event(1, "crm"))
            await until_asked(rp, 1)
            process_of(service).send_signal(signal.SIGTERM)
            await to_thread.run_sync(until, lambda: status_of(service, "/readyz") == 503)
            during = await to_thread.run_sync(told, service, an_event(2, "crm"))
            process_of(service).send_signal(signal.SIGTERM)
            exit_code = await to_thread.run_sync(process_of(service).wait, PATIENCE_SECONDS)

            held.opened.set()
            service.environment = QUICK_KEYS
            await to_thread.run_sync(service.start)
            await to_thread.run_sync(until_nothing_waits, service)
            delivered = await to_thread.run_sync(_delivered, service)
            await to_thread.run_sync(service.stop)

    assert during == 202
    assert exit_code == 128 + signal.SIGTERM
    assert delivered == {"s1", "s2"}


def _delivered(service: Service) -> set[str]:
    """Return the sids of what was delivered."""
    with service.api() as api:
        answer = api.get("/api/v2/deliveries", params={"state": "delivered"}).raise_for_status()
        return {delivery["sid"] for delivery in answer.json()["deliveries"]}


def test_a_signal_is_heeded_from_the_first_line_on(tmp_path: Path) -> None:
    """SIGTERM at the moment when the service says that it listens is a drain like any other."""
    with Service(tmp_path, []) as service:
        command = [sys.executable, "-m", "dispatcher", "serve"]
        with subprocess.Popen(
            command, cwd=tmp_path, env=service.environ(), stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            told = next(line for line in process.stdout if "service.listening" in line)
            process.terminate()
            rest = process.stdout.read()

    assert "service.listening" in told
    assert "service.draining" in rest
    assert process.returncode == 0
