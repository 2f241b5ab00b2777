"""What a pooler that works by the transaction asks: nothing outlives one in the session.

The whole contract of a store is tried through a real PgBouncer besides.
"""

import asyncio
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest

from dispatcher.adapters.postgres import PostgresStore
from dispatcher.adapters.postgres.connections import KEPT, Connection, Pool
from dispatcher.adapters.postgres.transactions import Transaction
from dispatcher.domain.events import ClientId
from dispatcher.ports import Retention
from tests.adapters.postgres.conftest import Open
from tests.adapters.postgres.test_replicas import RETENTION, until_listening
from tests.conftest import POOL
from tests.contract.steps import accept, claim, match_all, owe, records
from tests.kit.builders import a_join, acknowledged, an_event
from tests.kit.clock import FakeClock
from tests.kit.pgbouncer import Pooler

_LEFT = {
    "prepared statements": "SELECT count(*) FROM pg_prepared_statements",
    "locks": "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'",
    "channels": "SELECT count(*) FROM pg_listening_channels()",
    "cursors": "SELECT count(*) FROM pg_cursors",
    "settings": "SELECT count(*) FROM pg_settings WHERE source = 'session'",
    "temporary tables": "SELECT count(*) FROM pg_class WHERE relpersistence = 't'",
}


async def everything(store: PostgresStore, retention: Retention) -> None:
    """Do a little of all that is done with a store."""
    await store.accept([an_event(sid="s1"), a_join("shop", sid="s1")])
    await owe(store, "shop")
    await store.settle([acknowledged(one) for one in await claim(store)])
    await store.pause(ClientId("shop"))
    await store.resume(ClientId("shop"))
    await records(store)
    await store.depth()
    await store.writable()
    await store.prune(retention)


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Return what is found in sessions between their transactions, by its kind."""
    left: dict[str, int] = dict.fromkeys(_LEFT, 0)
    give_back = Pool.give_back

    async def looked_at(self: Pool, connection: Connection) -> None:
        for kind, sql in _LEFT.items():
            row: Any = await (await connection.execute(sql.encode())).fetchone()
            left[kind] += row[0]
        await give_back(self, connection)

    monkeypatch.setattr(Pool, "give_back", looked_at)
    return left


async def test_nothing_is_left_in_a_session(
    left: dict[str, int], store: PostgresStore, clock: FakeClock
) -> None:
    """Between two transactions a session holds no statement, lock, setting or channel."""
    await everything(store, RETENTION)
    clock.advance(days=2)
    await everything(store, RETENTION)

    assert left == dict.fromkeys(_LEFT, 0)


async def test_each_transaction_may_be_another_sessions(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store works where no two transactions share a session."""

    async def throw_away(_: Pool, connection: Connection) -> None:
        await connection.close()

    monkeypatch.setattr(Pool, "give_back", throw_away)

    await everything(store, RETENTION)
    receipt = await accept(store, an_event(sid="s2", clients=["shop"]))
    await match_all(store)

    assert await store.event(receipt.event_id) is not None
    assert len(await claim(store)) >= 1


async def test_replicas_take_turns_with_few_connections(
    pooler: Pooler, opens: Open, database: str
) -> None:
    """Replicas that want many more connections than PgBouncer has wait for each other, briefly."""
    replicas = [await opens(pooler.url(database), listen_url=database) for _ in range(3)]
    await owe(replicas[0], "shop", events=90)
    settled: list[bool] = []

    async def work(store: PostgresStore) -> None:
        while claimed := await claim(store, 5):
            settled.extend(await store.settle([acknowledged(one) for one in claimed]))

    async with anyio.create_task_group() as workers:
        for store in replicas * KEPT:
            workers.start_soon(work, store)
    name = urlsplit(database).path[1:]
    (used,) = [one for one in pooler.shown("POOLS") if one["database"] == name]

    assert settled == [True] * 90
    assert used["pool_mode"] == "transaction"
    assert {"sv_active", "sv_idle", "sv_used"} <= used.keys()
    assert sum(int(str(used[kind])) for kind in ("sv_active", "sv_idle", "sv_used")) <= POOL


async def test_replicas_wake_each_other_past_a_pooler(
    pooler: Pooler, opens: Open, database: str
) -> None:
    """Over a URL past PgBouncer a replica hears at once what another one accepted through it."""
    store, other = [await opens(pooler.url(database), listen_url=database) for _ in range(2)]
    seen = await other.wait(0, at_most=timedelta(milliseconds=1))
    await until_listening(other)

    await accept(store, an_event())

    with anyio.fail_after(10):
        assert await other.wait(seen, at_most=timedelta(hours=1)) != seen


async def test_nobody_listens_through_a_pooler(pooler: Pooler, opens: Open, database: str) -> None:
    """Through PgBouncer alone a replica says that it hears nobody, and leaves no session listening.

    PgBouncer would go on listening with a session of its own, and tell whoever is given it next.
    """
    store = await opens(pooler.url(database))
    with anyio.fail_after(10):
        await gone(store)

    for _ in range(20):
        await accept(store, an_event(clients=[]))

    async def channels(tx: Transaction) -> object:
        return await tx.value("SELECT count(*) FROM pg_listening_channels()")

    assert not store.listening
    assert {await store._engine.run(channels) for _ in range(2 * POOL)} == {0}


async def gone(store: PostgresStore) -> None:
    """Return when the store has given listening up."""
    _, listener, _ = store._signals._tasks
    await asyncio.wait([listener])
