"""What a pooler that works by the transaction asks: nothing outlives one in the session."""

from typing import Any

import pytest

from dispatcher.adapters.postgres import PostgresStore
from dispatcher.adapters.postgres.connections import Connection, Pool
from dispatcher.domain.events import ClientId
from dispatcher.ports import Retention
from tests.adapters.postgres.test_replicas import RETENTION
from tests.contract.steps import accept, claim, match_all, owe, records
from tests.kit.builders import a_join, acknowledged, an_event
from tests.kit.clock import FakeClock

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
