"""One deadline over the whole attempt, whatever a server is slow at; and a clean pool after it."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trustme

from dispatcher.adapters.egress import HttpSender, Resolver
from dispatcher.domain.deliveries import (
    Acknowledged,
    Cause,
    Outcome,
    Refused,
    Unreachable,
    Withheld,
)
from tests.adapters.egress.conftest import QUICK, Factory, Stopwatch, application, post, until
from tests.adapters.egress.test_tls import pem, server_context
from tests.kit.rp_server import (
    Peer,
    RpServer,
    Script,
    answers,
    hangs,
    in_turn,
    says,
    then_drips,
)

GRACE_SECONDS = 0.25
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKS = b"transfer-encoding: chunked\r\n\r\n"


async def in_time(attempt: Awaitable[Outcome]) -> Outcome:
    """Return the outcome of *attempt*, which must come by the deadline, give or take a quarter."""
    with Stopwatch() as watch:
        outcome = await attempt
    assert watch.seconds < QUICK.total_seconds() + GRACE_SECONDS
    return outcome


async def timed_out(attempt: Awaitable[Outcome]) -> str:
    """Return what *attempt* was at when its time ran out."""
    outcome = await in_time(attempt)
    assert isinstance(outcome, Unreachable)
    assert outcome.cause is Cause.TIMEOUT
    return outcome.detail


@pytest.mark.parametrize(
    "script",
    [
        hangs,
        then_drips(b"", b"HTTP/1.1 200 OK\r\nx: " + b"a" * 1000),
        then_drips(HEAD, b"x: y\r\n"),
        then_drips(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        says(b"HTTP/1.1 100 Continue\r\n\r\n" * 5),
    ],
)
async def test_no_status_in_time(sender: HttpSender, script: Script) -> None:
    """A server that drips, or never gets to its status, gets its deadline and no more."""
    async with RpServer(script) as rp:
        detail = await timed_out(post(sender, rp.uri(), timeout=QUICK))

        assert detail == "out of time while waiting for the answer"


@pytest.mark.parametrize(
    "script",
    [
        then_drips(HEAD + b"content-length: 9999\r\n\r\n", b"x"),
        then_drips(HEAD + CHUNKS, b"1\r\nx\r\n"),
        then_drips(HEAD + CHUNKS + b"0\r\n", b"trailer: x\r\n"),
        then_drips(HEAD + b"\r\n", b"x"),
        says(HEAD + b"content-length: 5\r\n\r\n"),
    ],
)
async def test_the_status_stands_when_the_body_does_not_end(
    sender: HttpSender, script: Script
) -> None:
    """A body that drips or never comes has changed nothing when the deadline comes."""
    async with RpServer(script) as rp:
        outcome = await in_time(post(sender, rp.uri(), timeout=QUICK))

        assert isinstance(outcome, Acknowledged)
        assert outcome.status == 200


async def test_a_refusal_stands_too(sender: HttpSender) -> None:
    """So does any other status."""
    async with RpServer(says(b"HTTP/1.1 400 No\r\ncontent-length: 5\r\n\r\nab")) as rp:
        outcome = await in_time(post(sender, rp.uri(), timeout=QUICK))

        assert outcome == Refused(status=400, excerpt=b"ab")


async def silent_after_hello(peer: Peer) -> None:
    """Take the client's greeting and say nothing."""
    await peer.hang()


async def dripping_after_hello(peer: Peer) -> None:
    """Take the client's greeting, and begin a handshake record of 16 KiB, byte by byte."""
    await peer.reader.read(65536)
    await peer.say(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")
    await peer.drip(b"\x03")


@pytest.mark.parametrize("greeting", [silent_after_hello, dripping_after_hello])
async def test_a_handshake_that_does_not_end(sender: HttpSender, greeting: Script) -> None:
    """A TLS handshake that hangs or drips ends at the deadline."""
    async with RpServer(hangs, greeting=greeting) as rp:
        uri = rp.uri(host="rp.test").replace("http:", "https:")

        detail = await timed_out(post(sender, uri, timeout=QUICK))

        assert detail == "out of time while in the TLS handshake"


async def test_a_connection_that_is_never_answered(make_sender: Factory) -> None:
    """A connection that nobody answers ends at the deadline."""

    async def black_hole(_: str, __: int) -> socket.socket:
        """Never connect."""
        await asyncio.sleep(20)
        raise AssertionError

    sender = make_sender(dial=black_hole)

    detail = await timed_out(post(sender, "http://127.0.0.1:8080/", timeout=QUICK))

    assert detail == "out of time while connecting"


async def test_a_look_up_that_is_never_answered(make_sender: Factory) -> None:
    """A name server that is silent ends the attempt in time, and is named."""
    wake = threading.Event()
    sender = make_sender(resolver=Resolver(lambda _: [str(wake.wait(20))]))

    outcome = await in_time(post(sender, "http://rp.test/", timeout=QUICK))
    wake.set()

    assert isinstance(outcome, Unreachable)
    assert outcome.cause is Cause.DNS


async def test_no_place_in_the_pool_is_our_fault(sender: HttpSender) -> None:
    """Where earlier POSTs take up all connections, the one that waits is held back, not charged."""
    async with RpServer(hangs) as rp:
        shop = application(max_in_flight=1)
        first = asyncio.ensure_future(post(sender, rp.uri(), shop, timeout=2 * QUICK))
        await asyncio.sleep(0)

        second = await in_time(post(sender, rp.uri(), shop, timeout=QUICK))

        assert second == Withheld(cause=Cause.INTERNAL, detail="no connection was free in time")
        assert isinstance(await first, Unreachable)


def open_files() -> int:
    """Return how many descriptors this process holds."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def slow_stages(ca: trustme.CA) -> list[tuple[str, Callable[[], RpServer]]]:
    """Return servers that are slow, each at another stage."""
    return [
        ("http", lambda: RpServer(hangs)),
        ("http", lambda: RpServer(then_drips(HEAD, b"x: y\r\n"))),
        ("https", lambda: RpServer(hangs, greeting=silent_after_hello)),
        ("https", lambda: RpServer(hangs, tls=server_context(ca, "rp.test"))),
    ]


@pytest.mark.parametrize("stage", range(4))
async def test_clean_after_many_deadlines(sender: HttpSender, ca: trustme.CA, stage: int) -> None:
    """After hundreds of deadlines at once, no socket is left and every healthy POST succeeds."""
    scheme, slow = slow_stages(ca)[stage]
    shop = application(max_in_flight=64, ca_pem=pem(ca.cert_pem))
    async with slow() as rp, RpServer(answers(200)) as healthy:
        await post(sender, healthy.uri(), shop)
        before = open_files()
        uri = rp.uri(host="rp.test").replace("http:", f"{scheme}:")
        for _ in range(2):
            attempts = (post(sender, uri, shop, timeout=QUICK) for _ in range(64))
            outcomes = await asyncio.gather(*attempts)
            assert {outcome.cause for outcome in outcomes if isinstance(outcome, Unreachable)} == {
                Cause.TIMEOUT
            }

        after = await asyncio.gather(*(post(sender, healthy.uri(), shop) for _ in range(64)))

        assert set(after) == {Acknowledged(status=200)}
        assert {pool.busy for pool in sender._peers.of(shop, 0)._pools.values()} == {0}
        # What is open now is one connection in each healthy place, at both of its ends.
        await until(lambda: open_files() <= before + 2 * 64)


async def test_the_same_pool_recovers(sender: HttpSender) -> None:
    """An origin whose every connection ran into the deadline is well again when it answers."""
    shop = application(max_in_flight=16)
    async with RpServer(in_turn(*[hangs] * 16, answers(200))) as rp:
        late = await asyncio.gather(
            *(post(sender, rp.uri(), shop, timeout=QUICK) for _ in range(16))
        )

        well = await asyncio.gather(*(post(sender, rp.uri(), shop) for _ in range(48)))

        assert {outcome.cause for outcome in late if isinstance(outcome, Unreachable)} == {
            Cause.TIMEOUT
        }
        assert set(well) == {Acknowledged(status=200)}


async def test_a_caller_that_gives_up_leaves_nothing_behind(sender: HttpSender) -> None:
    """Where the caller is cancelled its connection is closed and its place is free again."""
    async with RpServer(in_turn(hangs, answers(200))) as rp:
        shop = application(max_in_flight=1)
        attempt = asyncio.ensure_future(post(sender, rp.uri(), shop))
        await until(lambda: len(rp.requests) == 1)

        attempt.cancel()
        await asyncio.gather(attempt, return_exceptions=True)
        outcome = await post(sender, rp.uri(), shop, timeout=QUICK)

        assert attempt.cancelled()
        assert outcome == Acknowledged(status=200)
