"""Connections that are kept: for how long, and by whom they are let go."""

import asyncio
import socket
import ssl
import time

import pytest
import trustme

from dispatcher.adapters.egress import HttpSender
from dispatcher.adapters.egress.connection import (
    AGE_SECONDS,
    IDLE_SECONDS,
    Connection,
    open_connection,
)
from dispatcher.adapters.egress.peers import FORGET_SECONDS
from dispatcher.adapters.egress.pool import Pool
from dispatcher.domain.deliveries import Acknowledged, Unreachable
from tests.adapters.egress.conftest import (
    QUICK,
    Factory,
    application,
    dial_loopback,
    post,
    until,
)
from tests.adapters.egress.test_sender_deadline import open_files
from tests.adapters.egress.test_tls import server_context
from tests.kit.rp_server import Peer, RpServer, answers, response, then_closes


def pool_of(sender: HttpSender) -> Pool:
    """Return the one pool that there is."""
    (peer,) = sender._peers._peers.values()
    (pool,) = peer._pools.values()
    return pool


def kept(sender: HttpSender) -> Connection:
    """Return the one connection that is kept."""
    (connection,) = pool_of(sender)._idle
    return connection


@pytest.mark.parametrize(
    ("idle", "age", "connections"),
    [
        (IDLE_SECONDS - 5, IDLE_SECONDS - 5, 1),
        (IDLE_SECONDS + 1, IDLE_SECONDS + 1, 2),
        (0.0, AGE_SECONDS - 5, 1),
        (0.0, AGE_SECONDS + 1, 2),
    ],
)
async def test_kept_for_thirty_seconds_and_used_for_five_minutes(
    sender: HttpSender, idle: float, age: float, connections: int
) -> None:
    """A connection that waited for 30 s, or was made 300 s ago, is not used again."""
    async with RpServer(answers(200)) as rp:
        await post(sender, rp.uri())
        kept(sender).idle_since -= idle
        kept(sender).born -= age

        await post(sender, rp.uri())

        assert rp.connections == connections


async def test_what_waits_too_long_is_closed(sender: HttpSender) -> None:
    """A connection that nobody comes back for is closed, and its application forgotten later."""
    ended = asyncio.Event()

    async def watches(peer: Peer) -> None:
        """Answer, and note the end of the connection."""
        await peer.say(response(200))
        await peer.reader.read()
        ended.set()

    async with RpServer(watches) as rp:
        await post(sender, rp.uri())
        now = asyncio.get_running_loop().time()

        sender._peers.sweep(now + IDLE_SECONDS - 5)
        assert pool_of(sender)._idle
        sender._peers.sweep(now + IDLE_SECONDS + 5)
        await asyncio.wait_for(ended.wait(), 5)
        assert len(sender._peers) == 1
        sender._peers.sweep(now + FORGET_SECONDS + 5)

        assert len(sender._peers) == 0


async def test_sweeping_goes_on_by_itself(
    sender: HttpSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to ask for it; and when there is nothing left to sweep it ends."""
    monkeypatch.setattr("dispatcher.adapters.egress.sender.SWEEP_SECONDS", 0.01)
    monkeypatch.setattr("dispatcher.adapters.egress.connection.IDLE_SECONDS", 0.05)
    monkeypatch.setattr("dispatcher.adapters.egress.peers.FORGET_SECONDS", 0.1)
    async with RpServer(answers(200)) as rp:
        await post(sender, rp.uri())

        await until(lambda: len(sender._peers) == 0)
        await until(lambda: sender._sweeper is None)

        assert await post(sender, rp.uri()) == Acknowledged(status=200)
        assert rp.connections == 2
        assert sender._sweeper is not None


async def test_a_server_that_closes_is_noticed(sender: HttpSender) -> None:
    """A kept connection that the server closes meanwhile is not even tried."""
    async with RpServer(then_closes(response(200))) as rp:
        await post(sender, rp.uri())
        await until(lambda: not pool_of(sender)._idle or kept(sender).closed)

        outcome = await post(sender, rp.uri())

        assert outcome == Acknowledged(status=200)
        assert len(rp.requests) == 2


async def test_under_way_while_the_application_changes(sender: HttpSender) -> None:
    """A connection that is in use when its application's record changes is not kept after that."""
    go_on, ended = asyncio.Event(), asyncio.Event()

    async def slow_first(peer: Peer) -> None:
        """Answer the first connection late, and note its end."""
        if peer.number == 0:
            await go_on.wait()
        await peer.say(response(200))
        if peer.number == 0:
            await peer.reader.read()
            ended.set()

    async with RpServer(slow_first) as rp:
        first = asyncio.ensure_future(post(sender, rp.uri()))
        await until(lambda: len(rp.requests) == 1)
        await post(sender, rp.uri(), application(allow_addresses=("127.0.0.1/32",)))
        go_on.set()

        assert await first == Acknowledged(status=200)
        await asyncio.wait_for(ended.wait(), 5)


async def test_who_gives_up_waiting_passes_the_place_on() -> None:
    """A place that is offered to one who has just given up goes to the next in the queue."""
    pool, late = Pool(), asyncio.get_running_loop().time() + 60
    await pool.enter(1, deadline=late)
    first, second = (asyncio.ensure_future(pool.enter(1, deadline=late)) for _ in range(2))
    await asyncio.sleep(0)

    pool.leave()
    first.cancel()
    await asyncio.wait_for(second, 5)

    assert pool.busy == 1


async def test_a_place_that_somebody_took_meanwhile_is_waited_for_again() -> None:
    """Who was woken for a place that a newcomer has by then goes on waiting: a limit is a limit."""
    pool, late = Pool(), asyncio.get_running_loop().time() + 60
    await pool.enter(1, deadline=late)
    woken = asyncio.ensure_future(pool.enter(1, deadline=late))
    await asyncio.sleep(0)

    pool.leave()
    await pool.enter(1, deadline=late)
    await asyncio.wait([woken], timeout=0)
    by_then = pool.busy, woken.done()
    pool.leave()
    await asyncio.wait_for(woken, 5)

    assert by_then == (1, False)
    assert pool.busy == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_deadline_just_after_the_connect(make_sender: Factory, scheme: str) -> None:
    """Where the time is up before the first byte goes out, the socket is closed all the same."""

    async def slow(address: str, port: int) -> socket.socket:
        """Dial, and let the deadline pass before the loop goes on."""
        raw = await dial_loopback(address, port)
        time.sleep(QUICK.total_seconds())  # noqa: ASYNC251 - the loop itself is late
        return raw

    sender = make_sender(dial=slow)
    async with RpServer(answers(200)) as rp:
        before = open_files()

        outcome = await post(
            sender, rp.uri().replace("http:", f"{scheme}:"), application(), timeout=QUICK
        )

        assert isinstance(outcome, Unreachable)
        assert rp.requests == []
        await until(lambda: open_files() <= before)


async def test_giving_up_before_the_handshake_has_begun(ca: trustme.CA) -> None:
    """A connection that is given up between its connect and its first TLS byte is closed."""
    async with RpServer(answers(200), tls=server_context(ca, "rp.test")) as rp:
        before = open_files()
        raw = await dial_loopback("127.0.0.1", rp.port)
        opening = await open_connection(raw, None, "rp.test")
        securing = asyncio.ensure_future(opening.secure(ssl.create_default_context(), "rp.test"))
        await asyncio.sleep(0)

        securing.cancel()
        await asyncio.gather(securing, return_exceptions=True)

        assert opening.closed
        await until(lambda: open_files() <= before)
