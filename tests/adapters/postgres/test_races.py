"""What comes to two replicas at one moment: joins and ends, who waits for a lane, and how long."""

from contextlib import suppress
from datetime import timedelta

import anyio
import anyio.lowlevel
import psycopg
import pytest

from dispatcher.adapters.postgres import PostgresStore, intake
from dispatcher.adapters.postgres.connections import KEPT, PATIENCE
from dispatcher.adapters.postgres.transactions import Transaction
from dispatcher.domain.deliveries import Delivery, DeliveryState
from dispatcher.domain.errors import Conflict, StoreUnavailable
from dispatcher.domain.events import ClientId, Intake
from dispatcher.domain.ledger import EventFilter
from dispatcher.ports import Retention
from tests.adapters.postgres.conftest import Open
from tests.contract.steps import LEASE, accept, claim, match_all, owe, records, register
from tests.kit.builders import a_join, acknowledged, an_application, an_event, called_off
from tests.kit.clock import FakeClock

SESSIONS, HEATS = 60, 10
DAY = timedelta(days=1)
RETENTION = Retention(settled=DAY, failed=DAY, sessions=DAY, ids=DAY)


async def _race(ends: PostgresStore, joins: PostgresStore, *, heat: int = 0) -> int:
    """Let each session end and be joined at one moment; return how many logouts are missed."""
    sids = [f"s{heat}-{number}" for number in range(SESSIONS)]

    async def take_in(replica: PostgresStore, one: Intake) -> None:
        await accept(replica, one)
        await match_all(replica)

    for sid in sids:
        async with anyio.create_task_group() as group:
            group.start_soon(take_in, ends, an_event(sid=sid))
            group.start_soon(take_in, joins, a_join("shop", sid=sid))
    await match_all(ends)
    newest = await ends.events(EventFilter(take=100))
    events = [one for one in newest if one.event.sid in sids]
    assert len(events) == SESSIONS
    return sum(not event.deliveries for event in events)


async def test_a_join_and_an_end_never_miss_each_other(
    store: PostgresStore, other: PostgresStore
) -> None:
    """Whoever joins a session at the moment of its end is told, whichever comes first."""
    await register(store, an_application("shop"))

    assert await _race(store, other) == 0


async def test_without_the_locks_they_do(
    store: PostgresStore, other: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the locks of the scopes removed one of a few such races is lost: they are not blind."""

    def overlap(tx: Transaction, _: object) -> None:
        tx.write("SELECT pg_sleep(0.002)")

    monkeypatch.setattr(intake, "lock_scopes", overlap)

    await register(store, an_application("shop"))
    missed = 0
    for heat in range(HEATS):
        missed = missed or await _race(store, other, heat=heat)

    assert missed > 0


async def test_a_claim_knows_the_registry_of_what_it_takes(
    store: PostgresStore, other: PostgresStore, database: str
) -> None:
    """A replica that lends out what was re-pointed meanwhile knows the URI that came with it.

    It would else call off, by what it knew before, what the application is owed.
    """
    await store.create_application(an_application("shop", urls=["https://shop.example/0"]))
    stale: list[str] = []

    async def take() -> None:
        claimed = await claim(other)
        known = other.applications[ClientId("shop")].urls
        stale.extend(delivery.uri for delivery in claimed if delivery.uri not in known)

    for number in range(1, 6):
        await owe(store, "shop")
        replaced = an_application("shop", urls=[f"https://shop.example/{number}"])
        with psycopg.connect(database) as operator:
            operator.execute("SELECT 1 FROM lane FOR UPDATE")
            async with anyio.create_task_group() as group:
                group.start_soon(store.replace_application, replaced)
                await until_waiting(database, 1)
                group.start_soon(take)
                await until_waiting(database, 2)
                operator.commit()

    assert stale == []
    assert {one.state for one in await records(store)} == {DeliveryState.IN_FLIGHT}


@pytest.mark.parametrize("without", ["", "hashjoin", "nestloop", "seqscan", "mergejoin"])
async def test_a_claim_takes_from_a_lane_that_it_waited_for(
    opens: Open, database: str, without: str
) -> None:
    """A lane that others change at the moment is waited for, and not left out, by any plan."""
    with psycopg.connect(database, autocommit=True) as server:
        name = server.info.dbname
        for method in filter(None, (without, without and "hashagg")):
            server.execute(f"ALTER DATABASE {name} SET enable_{method} = off".encode())
    store = await opens(database)
    for number in range(5):
        await owe(store, f"a{number}")
    claimed: list[Delivery] = []

    async def take() -> None:
        claimed.extend(await claim(store))

    with psycopg.connect(database) as settling:
        settling.execute("ANALYZE")
        settling.commit()
        settling.execute("UPDATE lane SET delivered = delivered + 1")
        async with anyio.create_task_group() as group:
            group.start_soon(take)
            await until_waiting(database, 1)
            settling.commit()
    await store.close()

    assert sorted(delivery.client_id for delivery in claimed) == [
        f"a{number}" for number in range(5)
    ]


async def test_who_prunes_waits_for_lanes_in_their_order(
    store: PostgresStore, database: str, clock: FakeClock
) -> None:
    """Whatever is pruned of which lanes, none is held while one before it is waited for.

    Claims hold lanes in their order: each would else wait for the other until the server ends one.
    """
    await owe(store, "b")
    await store.settle([acknowledged(one) for one in await claim(store)])
    await owe(store, "a")
    await store.settle([called_off(one) for one in await claim(store)])
    clock.advance(2 * DAY)
    with psycopg.connect(database) as claiming:
        claiming.execute("SELECT 1 FROM lane WHERE client_id = 'a' FOR UPDATE")
        async with anyio.create_task_group() as group:
            group.start_soon(store.prune, RETENTION)
            await until_waiting(database, 1)
            claiming.execute("SELECT 1 FROM lane WHERE client_id = 'b' FOR UPDATE NOWAIT")
            claiming.commit()

    assert await records(store) == []


async def test_a_claim_waits_for_no_lane_that_it_finds_later(
    store: PostgresStore, database: str, clock: FakeClock
) -> None:
    """A claim that has taken deliveries back from a lane leaves be what others hold meanwhile."""
    await owe(store, "a")
    await owe(store, "b")
    await claim(store)
    await store.pause(ClientId("b"))
    clock.advance(LEASE)
    claimed: list[Delivery] = []

    async def take() -> None:
        claimed.extend(await claim(store))

    with psycopg.connect(database) as settling, psycopg.connect(database) as holding:
        holding.execute("UPDATE delivery SET lease_until = lease_until + 1 WHERE client_id = 'a'")
        holding.commit()
        settling.execute("SELECT 1 FROM lane WHERE client_id = 'b' FOR UPDATE")
        async with anyio.create_task_group() as group:
            group.start_soon(take)
            await until_waiting(database, 1)
            holding.execute("UPDATE lane SET next_due_at = 0 WHERE client_id = 'a'")
            holding.commit()
            holding.execute("SELECT 1 FROM lane WHERE client_id = 'a' FOR UPDATE")
            settling.commit()

    assert claimed == []
    assert {one.state for one in await records(store)} == {
        DeliveryState.PENDING,
        DeliveryState.IN_FLIGHT,
    }


async def test_a_backlog_of_any_size_is_re_pointed(store: PostgresStore, database: str) -> None:
    """A URI is replaced though it takes longer than others may wait to re-point what is owed."""
    await owe(store, "shop")
    with psycopg.connect(database, autocommit=True) as server:
        server.execute(_SLOW_TO_RE_POINT.format(PATIENCE.total_seconds() + 1).encode())

    await store.replace_application(an_application("shop", urls=["https://shop.example/new"]))

    assert [record.uri for record in await records(store)] == ["https://shop.example/new"]


_SLOW_TO_RE_POINT = """
CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_sleep({}); RETURN NULL; END';
CREATE TRIGGER slowly BEFORE UPDATE OF uri ON delivery EXECUTE FUNCTION slowly()
"""


async def until_waiting(database: str, count: int) -> None:
    """Return when so many transactions wait for a lock."""
    asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with anyio.fail_after(10), psycopg.connect(database, autocommit=True) as connection:
        while connection.execute(asked).fetchone() != (count,):
            await anyio.lowlevel.checkpoint()


async def test_who_waits_for_the_registry_takes_one_connection(
    store: PostgresStore, database: str
) -> None:
    """However many change the registry at once while it is held, webhooks find a connection."""

    async def create() -> None:
        with suppress(Conflict, StoreUnavailable):
            await store.create_application(an_application("shop"))

    with psycopg.connect(database) as somebody:
        somebody.execute("SELECT pg_advisory_xact_lock(hashtext('dispatcher registry'))")
        async with anyio.create_task_group() as group:
            for _ in range(2 * KEPT):
                group.start_soon(create)
            await until_waiting(database, 1)
            receipt = await accept(store, an_event())
            somebody.rollback()

    assert receipt.event_id
    assert list(store.applications) == ["shop"]


async def test_who_changes_the_registry_has_a_turn(
    store: PostgresStore, other: PostgresStore
) -> None:
    """However the matches of replicas overlap, one after the other without a pause."""

    async def hold(tx: Transaction) -> None:
        await tx.hold_registry()
        await tx.rows("SELECT pg_sleep(0.05)")

    async def keep_holding(replica: PostgresStore) -> None:
        while True:
            await replica._engine.run(hold)

    async with anyio.create_task_group() as holding:
        for replica in (store, other) * 3:
            holding.start_soon(keep_holding, replica)
        for name in ("shop", "wiki", "crm"):
            await store.create_application(an_application(name))
        holding.cancel_scope.cancel()

    assert list(store.applications) == ["shop", "wiki", "crm"]
