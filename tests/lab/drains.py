"""The end of a process: in order, at once, or by force."""

import signal
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
from anyio.to_thread import run_sync

from tests.kit.bookkeeping import Books, books
from tests.kit.processes import a_producer, a_sink, history_of
from tests.kit.rp_server import Peer, RpServer, response
from tests.kit.steps import (
    APPLICATIONS,
    PATIENCE_SECONDS,
    QUICK_KEYS,
    a_service,
    an_event,
    an_order,
    listed,
    status_of,
    told,
    until,
    until_nothing_waits,
    uris_of,
)
from tests.lab.table import Finding

AT_ONCE_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Drained:
    """A service that was told to end under load, and started again."""

    unready_after: float
    """Seconds from the signal to the first 503 of ``/readyz``."""
    during: tuple[int, int]
    """What a webhook and ``/readyz`` were answered in the drain delay."""
    exit_code: int
    afterwards: int
    accepted: int
    kept: Books


def drain(folder: Path, *, events: int) -> Drained:
    """End the service under load by SIGTERM, start it again, and let it finish."""
    with (
        a_sink(folder, applications=3) as sink,
        a_service(folder, uris_of(sink.ports), DRAIN_DELAY="2s") as service,
    ):
        service.start()
        order = an_order(service, map(an_event, range(events)), connections=8, rate=150)
        with a_producer(order) as producer:
            until(lambda: sink.count() > 100)
            signalled = time.monotonic()
            service.running.send_signal(signal.SIGTERM)
            until(lambda: status_of(service, "/readyz") == 503)
            unready_after = time.monotonic() - signalled
            during = told(service, an_event(events)), status_of(service, "/readyz")
            exit_code = service.running.wait(timeout=PATIENCE_SECONDS)
            afterwards = status_of(service, "/readyz")
            service.start()
            accepted: list[str] = history_of(producer)["accepted"]
        until_nothing_waits(service)
        kept = books([*accepted, f"s{events}"], APPLICATIONS, sink.received())
        service.stop()
    return Drained(
        unready_after=unready_after,
        during=during,
        exit_code=exit_code,
        afterwards=afterwards,
        accepted=len(accepted),
        kept=kept,
    )


@dataclass(frozen=True, kw_only=True)
class Forced:
    """A service that was ended while an application held its tokens."""

    exit_code: int
    seconds: float
    """From the signal to the end of the process."""
    delivered: set[str]
    recovered_in: float
    """From the next start to the first token."""


async def force(folder: Path, end: "End") -> Forced:
    """Let an application hold two tokens, end the service by *end*, and start it again."""
    held = Held()
    async with RpServer(held) as rp:
        with a_service(
            folder, [rp.uri()], DRAIN_DELAY=end.drain_delay, GRACE=end.grace, ATTEMPT_TIMEOUT="10"
        ) as service:
            await run_sync(service.start)
            for number in (1, 2):
                await run_sync(told, service, an_event(number, "crm"))
            await until_asked(rp, 2)
            signalled = time.monotonic()
            for after, number in end.signals:
                await anyio.sleep(after)
                service.running.send_signal(number)
            exit_code = await run_sync(service.running.wait, PATIENCE_SECONDS)
            seconds = time.monotonic() - signalled

            held.opened.set()
            service.environment = QUICK_KEYS
            await run_sync(service.start)
            started = time.monotonic()
            await until_asked(rp, 3)
            recovered_in = time.monotonic() - started
            await run_sync(until_nothing_waits, service)
            with service.api() as api:
                deliveries = await run_sync(lambda: listed(api, "deliveries", state="delivered"))
            await run_sync(service.stop)
    return Forced(
        exit_code=exit_code,
        seconds=seconds,
        delivered={str(delivery["sid"]) for delivery in deliveries},
        recovered_in=recovered_in,
    )


@dataclass(frozen=True, slots=True)
class End:
    """How a process is ended: the signals, each so many seconds after the one before."""

    signals: tuple[tuple[float, signal.Signals], ...]
    exit_code: int
    drain_delay: str = "0s"
    grace: str = "10m"


GRACE_IS_OVER = End(((0.0, signal.SIGTERM),), 0, grace="1s")
SECOND_SIGNAL = End(
    ((0.0, signal.SIGTERM), (1.0, signal.SIGTERM)), 128 + signal.SIGTERM, drain_delay="10m"
)
KILLED_IN_DRAIN = End(((0.0, signal.SIGTERM), (1.0, signal.SIGKILL)), -signal.SIGKILL)


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


def run(seed: int) -> Finding:
    """Try it at full load; nothing in it is left to chance."""
    del seed
    drains = []
    for _ in range(3):
        with TemporaryDirectory() as folder:
            drains.append(drain(Path(folder), events=900))
    forced = []
    for end in (GRACE_IS_OVER, SECOND_SIGNAL, KILLED_IN_DRAIN):
        with TemporaryDirectory() as folder:
            forced.append((end, anyio.run(force, Path(folder), end)))
    missing = sum(len(one.kept.missing) for one in drains)
    twice = sum(one.kept.duplicates for one in drains)
    unready = max(one.unready_after for one in drains)
    return Finding(
        measured=(
            f"{len(drains)} drains under load: 503 after {unready * 1000:.0f} ms, webhooks"
            f" {sorted({one.during[0] for one in drains})} meanwhile, exit"
            f" {sorted({one.exit_code for one in drains})}, {missing} missing, {twice} twice;"
            " grace over, second SIGTERM, SIGKILL: exit"
            f" {[one.exit_code for _, one in forced]}, all delivered at the next start, first"
            f" token {max(one.recovered_in for _, one in forced):.2f} s after it was ready"
        ),
        held=missing == twice == 0
        and all(one.during == (202, 503) and one.exit_code == 0 for one in drains)
        and unready < AT_ONCE_SECONDS
        and all(one.exit_code == end.exit_code for end, one in forced)
        and all(one.delivered == {"s1", "s2"} for _, one in forced),
    )
