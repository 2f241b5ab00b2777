"""Statements that go to the server together: in their order, all or none, and in one piece."""

from collections.abc import Sequence
from urllib.parse import urlsplit

import anyio
import psycopg
import pytest

from dispatcher.adapters.postgres import PostgresStore
from dispatcher.adapters.postgres.connections import PATIENCE
from dispatcher.adapters.postgres.transactions import MOVING, Transaction
from dispatcher.domain.errors import StoreUnavailable
from dispatcher.domain.events import ClientId
from dispatcher.domain.lanes import LaneState
from tests.adapters.postgres.conftest import Open
from tests.contract.steps import owe

LARGE = "x" * 1_000_000
SOON = 5 * PATIENCE.total_seconds()
"""Far more than may pass, and far less than whoever stalls here would be left to itself."""
SINCE = 170000


async def test_answers_come_in_the_order_of_what_was_asked(store: PostgresStore) -> None:
    """Each answer is that of its own statement, whichever is looked at first."""

    async def ask(tx: Transaction) -> list[object]:
        asked = [tx.ask("SELECT $1::integer", number) for number in range(3)]
        last = await tx.value("SELECT 3")
        return [*[await one.value() for one in reversed(asked)], last]

    assert await store._engine.run(ask) == [2, 1, 0, 3]


async def test_a_statement_sees_what_was_written_before_it(store: PostgresStore) -> None:
    """What waits to be written is written first."""

    async def write(tx: Transaction) -> object:
        tx.write("UPDATE meta SET probe = 1")
        tx.write("UPDATE meta SET probe = probe + 1")
        return await tx.value("SELECT probe FROM meta")

    assert await store._engine.run(write) == 2


async def test_a_write_that_fails_is_told_and_nothing_stays(store: PostgresStore) -> None:
    """Though nobody waits for a write, it is either on disk in the end or whoever asked is told.

    The connection is kept, as good as new.
    """

    async def fail(tx: Transaction) -> None:
        tx.write("UPDATE meta SET probe = 7")
        tx.write("SELECT 1 / $1::integer", 0)
        tx.write("UPDATE meta SET probe = 8")

    async def probe(tx: Transaction) -> object:
        return await tx.rows("SELECT probe, pg_backend_pid() FROM meta")

    before = await store._engine.run(probe)
    with pytest.raises(StoreUnavailable, match="division by zero"):
        await store._engine.run(fail)

    assert await store._engine.run(probe) == before


async def test_what_is_given_up_is_not_written(store: PostgresStore) -> None:
    """Where a command raises, what waited to be written is forgotten."""

    async def give_up(tx: Transaction) -> None:
        tx.write("UPDATE meta SET probe = 7")
        raise LookupError

    async def probe(tx: Transaction) -> object:
        return await tx.value("SELECT probe FROM meta")

    with pytest.raises(LookupError):
        await store._engine.run(give_up)

    assert await store._engine.run(probe) == 0


async def test_a_flight_may_be_larger_than_any_buffer(store: PostgresStore) -> None:
    """Answers are taken while statements are still being sent: neither side waits for the other."""

    async def ask(tx: Transaction) -> Sequence[object]:
        asked = [tx.ask("SELECT $1::text", LARGE) for _ in range(30)]
        return [await one.value() for one in asked]

    with anyio.fail_after(SOON):
        assert await store._engine.run(ask, terms=MOVING) == [LARGE] * 30


async def test_who_stalls_in_a_transaction_holds_nobody_up_for_long(
    store: PostgresStore, other: PostgresStore
) -> None:
    """The server ends the transaction of a replica that stops with lanes in its hands.

    Also where it had more to send: a server that had got a part of that would wait for the rest.
    """
    await owe(store, "shop")
    stalls, over = anyio.Event(), anyio.Event()

    async def stall(tx: Transaction) -> None:
        await tx.rows("SELECT 1 FROM lane FOR UPDATE")
        tx.write("UPDATE lane SET served = 0")
        stalls.set()
        await over.wait()

    async def stalled() -> None:
        with pytest.raises(StoreUnavailable):
            await store._engine.run(stall, terms=MOVING)

    async with anyio.create_task_group() as group:
        group.start_soon(stalled)
        await stalls.wait()
        try:
            with anyio.fail_after(SOON):
                while not await _paused(other, "shop"):
                    pass
        finally:
            over.set()


@pytest.mark.parametrize("of_its_own", ["0", "1min"])
async def test_what_was_given_up_goes_on_for_nobody(
    other: PostgresStore, opens: Open, database: str, of_its_own: str
) -> None:
    """A flight that takes too long holds nobody up any more once whoever sent it has been told.

    Each of its statements by itself would have been in time. That holds as well where the server
    has a timeout of its own for transactions.
    """
    with psycopg.connect(database, autocommit=True) as operator:
        if operator.info.server_version < SINCE:
            pytest.skip("the server ends transactions by their age from PostgreSQL 17 on")
        name = urlsplit(database).path[1:]
        operator.execute(f"ALTER DATABASE {name} SET transaction_timeout = '{of_its_own}'".encode())
    store = await opens()
    await owe(store, "shop")

    async def linger(tx: Transaction) -> None:
        tx.write("SELECT 1 FROM lane FOR UPDATE")
        for _ in range(4):
            tx.write("SELECT pg_sleep($1)", PATIENCE.total_seconds() * 0.9)

    with pytest.raises(StoreUnavailable):
        await store._engine.run(linger)
    await other.pause(ClientId("shop"))

    assert [lane.state for lane in await other.lanes(None, 1)] == [LaneState.PAUSED]


async def test_the_server_says_why_it_ended_a_connection(
    store: PostgresStore, database: str
) -> None:
    """Of a connection that the server ends, an operator hears the server's reason."""

    async def be_ended(tx: Transaction) -> None:
        pid = await tx.value("SELECT pg_backend_pid()")
        with psycopg.connect(database, autocommit=True) as operator:
            operator.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        await tx.rows("SELECT 1")

    with pytest.raises(StoreUnavailable, match="terminating connection due to administrator"):
        await store._engine.run(be_ended)


async def test_what_failed_is_not_taken_for_nothing(store: PostgresStore) -> None:
    """An answer that never came is an error whenever it is looked at, and no absence of rows."""

    async def go_on(tx: Transaction) -> None:
        asked = tx.ask("SELECT 1 / $1::integer", 0)
        with pytest.raises(psycopg.errors.DivisionByZero):
            await asked.rows()
        with pytest.raises(psycopg.InterfaceError):
            await asked.rows()

    with pytest.raises(StoreUnavailable):
        await store._engine.run(go_on)


async def _paused(store: PostgresStore, client_id: str) -> bool:
    """Pause a lane; say whether it could be held."""
    try:
        await store.pause(ClientId(client_id))
    except StoreUnavailable:
        return False
    return True
