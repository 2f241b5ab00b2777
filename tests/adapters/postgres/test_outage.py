"""A server that is gone, or does not answer: told soon and plainly, and over as soon as it is."""

from collections.abc import Iterator
from datetime import timedelta

import anyio
import anyio.lowlevel
import pytest

from dispatcher.adapters.postgres import PostgresStore, migrate
from dispatcher.adapters.postgres.connections import KEPT, PATIENCE
from dispatcher.adapters.postgres.flights import Rows
from dispatcher.domain.errors import StoreUnavailable
from dispatcher.stored.books import Books
from tests.adapters.postgres.conftest import Open
from tests.contract.steps import accept, claim, match_all, owe, register
from tests.kit.builders import acknowledged, an_application, an_event
from tests.kit.postgres import OwnServer, Server, an_own_server, by_port, socket_of
from tests.kit.proxy import FaultProxy

LONG = timedelta(hours=1)
SOON = 3 * PATIENCE.total_seconds()
"""Far more than may pass, on a machine that has much else to do."""


@pytest.fixture
def own() -> Iterator[OwnServer]:
    """Return a server that the test may end."""
    with an_own_server() as server:
        yield server


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return a database of the test's own server, where it has one."""
    name = "own" if "own" in request.fixturenames else "postgres"
    server: Server = request.getfixturevalue(name)
    with server.database() as url:
        anyio.run(migrate, url)
        yield url


async def test_a_server_that_is_gone_is_told_and_comes_back(
    own: OwnServer, store: PostgresStore
) -> None:
    """Without a server everything is refused soon; with it everything goes on, and nothing is lost.

    Each connection that was kept is of no use any more; nobody is told of that.
    """
    await owe(store, "shop")
    async with anyio.create_task_group() as many:
        for _ in range(2 * KEPT):
            many.start_soon(store.depth)
    own.stop()
    with anyio.fail_after(SOON), pytest.raises(StoreUnavailable):
        await accept(store, an_event())
    with anyio.fail_after(SOON):
        fault = await store.writable()
    with anyio.fail_after(SOON), pytest.raises(StoreUnavailable):
        await claim(store)
    own.start()

    receipts = [
        await accept(store, an_event(id=f"e{number}", clients=[])) for number in range(2 * KEPT)
    ]
    settled = await store.settle([acknowledged(one) for one in await claim(store)])

    assert fault is not None
    assert "does not answer" in fault
    assert len({receipt.event_id for receipt in receipts}) == 2 * KEPT
    assert settled == [True]
    assert await store.writable() is None


async def test_who_listens_listens_again(
    own: OwnServer, store: PostgresStore, other: PostgresStore
) -> None:
    """After the server was away replicas wake each other as before."""
    await _until_listening(store)
    own.stop()
    with anyio.fail_after(SOON):
        while store.listening:
            await anyio.lowlevel.checkpoint()
    own.start()
    await _until_listening(store)
    seen = await store.wait(0, at_most=timedelta(milliseconds=1))

    await accept(other, an_event())

    with anyio.fail_after(SOON):
        assert await store.wait(seen, at_most=LONG) != seen


async def test_who_listens_again_looks_at_once(own: OwnServer, store: PostgresStore) -> None:
    """What was told while nobody listened is not waited for: whoever waits is woken."""
    await _until_listening(store)
    own.stop()
    with anyio.fail_after(SOON):
        while store.listening:
            await anyio.lowlevel.checkpoint()
    seen = await store.wait(0, at_most=timedelta(milliseconds=1))
    own.start()

    with anyio.fail_after(SOON):
        assert await store.wait(seen, at_most=LONG) != seen


async def test_who_looks_goes_on_whatever_it_meets(
    store: PostgresStore, other: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registry that an idle replica could not read for a while is known as soon as it can be."""
    opened, met = other._engine._opened, 0

    def torn(applications: Rows, sources: Rows) -> Books:
        nonlocal met
        met += 1
        if met <= 2:
            raise ValueError
        return opened(applications, sources)

    monkeypatch.setattr(other._engine, "_opened", torn)
    await store.create_application(an_application("shop"))

    with anyio.fail_after(SOON):
        while not other.applications:
            await anyio.lowlevel.checkpoint()

    assert met == 3


async def _until_listening(store: PostgresStore) -> None:
    with anyio.fail_after(SOON):
        while not store.listening:
            await anyio.lowlevel.checkpoint()


async def test_a_server_that_is_silent_is_given_up(database: str, opens: Open) -> None:
    """Where nothing comes back any more everybody is told so soon, and nothing hangs.

    What was asked for may have been written or not: a repeat tells.
    """
    async with FaultProxy(socket_of(database)) as proxy:
        store = await opens(by_port(database, proxy.port))
        await register(store, an_application("shop"))
        refused = 0

        async def try_in_vain(number: int) -> None:
            nonlocal refused
            with pytest.raises(StoreUnavailable):
                await accept(store, an_event(id=f"e{number}", sid="s1", clients=["shop"]))
            refused += 1

        proxy.shut()
        with anyio.fail_after(SOON):
            async with anyio.create_task_group() as many:
                for number in range(20):
                    many.start_soon(try_in_vain, number)
        with anyio.fail_after(SOON), pytest.raises(StoreUnavailable):
            await store.replace_application(an_application("shop"))
        proxy.open()
        receipts = [
            await accept(store, an_event(id=f"e{number}", sid="s1", clients=["shop"]))
            for number in range(20)
        ]
        matched = await match_all(store)
        await store.close()

    assert refused == 20
    assert len({receipt.event_id for receipt in receipts}) == 20
    assert len(matched) == 20


async def test_who_waits_for_another_group_is_told_no_later(database: str, opens: Open) -> None:
    """Whoever asks a silent server at the same moment is told at the same moment.

    A group of webhooks that waits its turn behind another one has waited as long.
    """
    told: list[float] = []
    async with FaultProxy(socket_of(database)) as proxy:
        store = await opens(by_port(database, proxy.port))

        async def try_in_vain(number: int) -> None:
            with pytest.raises(StoreUnavailable):
                await accept(store, an_event(id=f"e{number}", clients=[]))
            told.append(anyio.current_time())

        proxy.shut()
        async with anyio.create_task_group() as many:
            for number in range(20):
                many.start_soon(try_in_vain, number)
                await anyio.lowlevel.checkpoint()  # each is a group of its own, or waits for two
                await anyio.lowlevel.checkpoint()
        proxy.open()
        await store.close()

    assert max(told) - min(told) < PATIENCE.total_seconds()


async def test_who_goes_away_leaves_nothing_behind(store: PostgresStore) -> None:
    """A caller that is cancelled at any moment breaks no connection, and loses no delivery."""
    await owe(store, "shop", events=30)

    async def take() -> None:
        claimed = await claim(store, 1)
        await store.settle([acknowledged(one) for one in claimed])

    for number in range(30):
        with anyio.move_on_after(number / 2000):
            await take()

    assert await store.writable() is None
    assert sum((await store.depth()).deliveries.values()) == 30


async def test_a_password_is_told_to_nobody(opens: Open) -> None:
    """What is said of a server that can not be reached never holds the password."""
    with pytest.raises(StoreUnavailable) as refused:
        await opens("postgresql://me:KANARI%40@127.0.0.1:1/logout")

    assert "KANARI" not in str(refused.value)
    assert "127.0.0.1" in str(refused.value)
