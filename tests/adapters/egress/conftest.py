"""What the sender's tests share: a loopback-only way to dial, names of our own, certificates."""

import asyncio
import ipaddress
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeAlias

import pytest
import trustme

from dispatcher.adapters.egress import EgressPolicy, HttpSender, Resolver
from dispatcher.adapters.egress.guard import Dial, dial_literal
from dispatcher.domain.applications import Application, LogoutDelivery
from dispatcher.domain.deliveries import Outcome
from dispatcher.domain.events import ClientId

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
QUICK = timedelta(seconds=0.3)
PATIENT = timedelta(seconds=5)
LOOPBACK = EgressPolicy.from_text("public", ["127.0.0.0/8", "::1/128"], allow_http=True)

Factory: TypeAlias = Callable[..., HttpSender]


@pytest.fixture(
    params=[
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    ]
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Both loops that the service may run on."""
    return request.param


async def dial_loopback(address: str, port: int) -> socket.socket:
    """Dial for real, loopback addresses alone: no test reaches out of this machine."""
    assert ipaddress.ip_address(address).is_loopback, address
    return await dial_literal(address, port)


class DialRecorder:
    """Dials nothing, and writes down what would have been dialled."""

    def __init__(self) -> None:
        self.dialled: list[tuple[str, int]] = []

    async def __call__(self, address: str, port: int) -> socket.socket:
        """Refuse the connection."""
        self.dialled.append((address, port))
        raise ConnectionRefusedError(111, "Connection refused")


def numeric(host: str) -> Sequence[str]:
    """Resolve literal addresses, in all the forms that the system reads, and no name."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return [str(address[0]) for *_, address in found]


def named(host: str) -> Sequence[str]:
    """Resolve every name under .test to loopback, and literal addresses to themselves."""
    return ["127.0.0.1"] if host.rstrip(".").endswith(".test") else numeric(host)


def application(client_id: str = "shop", **delivery: Any) -> Application:
    """Return an application; *delivery* are members of its ``logout_delivery``."""
    key = delivery.pop("client_key_pem", None)
    bare = Application(client_id=ClientId(client_id), name="Shop", document={})
    return replace(bare, delivery=LogoutDelivery(**delivery), client_key_pem=key)


async def post(
    sender: HttpSender,
    uri: str,
    to: Application | None = None,
    *,
    timeout: timedelta = PATIENT,
) -> Outcome:
    """Send the token to *uri*."""
    return await sender.send(to or application(), uri, TOKEN, timeout=timeout)


class Stopwatch:
    """Takes the time, less what the machine itself stood still; so a busy one fails no test.

    A thread sleeps in short naps and adds up by how much it overslept: what holds up our loop alone
    does not hold up that thread, and counts.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._overslept = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._nap, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._started = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        passed = time.monotonic() - self._started
        self._over.set()
        self._thread.join()
        self.seconds = passed - self._overslept

    def _nap(self, nap: float = 0.01) -> None:
        """Sleep in short naps, and add up what they took too long."""
        while not self._over.is_set():
            before = time.monotonic()
            time.sleep(nap)
            self._overslept += max(0.0, time.monotonic() - before - 2 * nap)


async def until(condition: Callable[[], bool]) -> None:
    """Return when *condition* holds; what brings it about runs elsewhere and tells nobody."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


@pytest.fixture
async def make_sender() -> AsyncIterator[Factory]:
    """Return a maker of senders, which are closed when the test is over."""
    made: list[HttpSender] = []

    def make(
        policy: EgressPolicy = LOOPBACK,
        *,
        dial: Dial = dial_loopback,
        resolver: Resolver | None = None,
    ) -> HttpSender:
        """Make one sender."""
        sender = HttpSender(
            policy,
            now=lambda: NOW,
            user_agent="dispatcher-test/1",
            resolver=resolver or Resolver(named),
            dial=dial,
        )
        made.append(sender)
        return sender

    yield make
    for sender in made:
        await sender.close()


@pytest.fixture
def sender(make_sender: Factory) -> HttpSender:
    """Return a sender that may dial loopback, over http too."""
    return make_sender()


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    """Return a certificate authority that only the tests know."""
    return trustme.CA()
