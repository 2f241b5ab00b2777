"""A service that is told to end does so in order: it loses nothing and sends nothing twice."""

import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from tests.kit.bookkeeping import books
from tests.kit.processes import a_producer, a_sink, history_of
from tests.kit.rp_server import Peer, RpServer, response
from tests.kit.service import Service
from tests.kit.steps import (
    APPLICATIONS,
    PATIENCE_SECONDS,
    QUICK_KEYS,
    a_service,
    an_event,
    an_order,
    status_of,
    told,
    until,
    until_nothing_waits,
    uris_of,
)


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio, as the applications' servers do."""
    return "asyncio"


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
        a_service(tmp_path, uris_of(sink.ports), DRAIN_DELAY="2s") as service,
    ):
        service.start()
        order = an_order(service, map(an_event, range(750)), connections=8, rate=150)
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
