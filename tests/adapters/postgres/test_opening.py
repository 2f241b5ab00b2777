"""What is looked at before a store is opened: its server, its schema, its master key."""

from collections.abc import Iterator

import anyio
import psycopg
import pytest

from dispatcher.adapters.clock import SystemClock
from dispatcher.adapters.postgres import PostgresStore, migrate
from dispatcher.adapters.postgres.schema import STEPS
from dispatcher.domain.errors import InvalidSettings, StoreUnavailable
from dispatcher.domain.events import SourceName
from dispatcher.domain.sources import Source
from keys import Seal
from tests.adapters.postgres.conftest import Open
from tests.contract.steps import claim, owe, register
from tests.kit.builders import acknowledged, an_application
from tests.kit.postgres import Server, an_own_server


@pytest.fixture
def empty(postgres: Server) -> Iterator[str]:
    """Return the URL of a database in which nothing is."""
    with postgres.database() as url:
        yield url


def run(url: str, *statements: str) -> None:
    """Run statements in the database at *url*, as its owner."""
    Server(url).run(*statements)


async def faults_of(opens: Open, url: str) -> list[str]:
    """Return why the store at *url* is not opened."""
    with pytest.raises(InvalidSettings) as refused:
        await opens(url)
    return [str(fault) for fault in refused.value.faults]


async def test_a_schema_that_is_behind_is_refused(opens: Open, empty: str) -> None:
    """A replica never migrates by itself: it says what is to be done, and does not start."""
    (fault,) = await faults_of(opens, empty)

    assert fault == (
        f"DISPATCHER_STORE: has schema version 0, this release needs {len(STEPS)}: run"
        " `dispatcher migrate` once"
    )


async def test_of_many_that_migrate_one_does(opens: Open, empty: str) -> None:
    """Migrations at one moment, and repeated ones, do no harm."""
    async with anyio.create_task_group() as many:
        for _ in range(4):
            many.start_soon(migrate, empty)

    store = await opens(empty)

    assert store.describe().endswith(f"schema {len(STEPS)}, shared by replicas")


async def test_a_newer_schema_serves_too(opens: Open, database: str) -> None:
    """While a new release is rolled out, a replica of the old one may start again."""
    run(database, "UPDATE meta SET schema_version = 99")
    store = await opens()
    await migrate(database)

    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT schema_version FROM meta").fetchone()

    assert row == (99,)
    assert await store.writable() is None


@pytest.mark.parametrize("name", ["fsync", "synchronous_commit", "full_page_writes"])
async def test_a_server_that_may_lose_what_it_has_is_refused(
    opens: Open, seal: Seal, name: str
) -> None:
    """A server with one of its promises switched off is not used, unless that is taken on."""
    with an_own_server(f"{name}=off") as server, server.database() as url:
        await migrate(url, allow_unsafe=True)
        faults = await faults_of(opens, url)
        taken_on = await PostgresStore.open(url, clock=SystemClock(), seal=seal, allow_unsafe=True)
        await taken_on.close()

    (fault,) = faults
    assert fault == (
        f"DISPATCHER_STORE: {name} is off: what was accepted could be lost;"
        " DISPATCHER_POSTGRES_ALLOW_UNSAFE=true takes that on"
    )


@pytest.mark.parametrize(
    ("how", "fault"),
    [
        (
            "ENCODING 'SQL_ASCII' LOCALE 'C'",
            "the database's encoding is SQL_ASCII; it must be UTF8",
        ),
        ("IS_TEMPLATE false", "the server takes no writes: it is a standby, or set so"),
    ],
)
async def test_a_database_of_no_use_is_refused(
    opens: Open, empty: str, how: str, fault: str
) -> None:
    """A database that can not hold every text, or takes no writes, is refused plainly."""
    run(empty, f"CREATE DATABASE useless TEMPLATE template0 {how}")
    try:
        if "ENCODING" not in how:
            run(empty, "ALTER DATABASE useless SET default_transaction_read_only = on")
        url = empty.replace(empty.partition("@/")[2].partition("?")[0], "useless")
        faults = await faults_of(opens, url)
    finally:
        run(empty, "DROP DATABASE useless WITH (FORCE)")

    assert faults == [f"DISPATCHER_STORE: {fault}"]


async def test_a_store_under_another_master_key_is_refused(
    opens: Open, store: PostgresStore
) -> None:
    """A replica with another master key than the others does not start."""
    with pytest.raises(InvalidSettings) as refused:
        await opens(seal=Seal([b"x" * 32]))

    assert refused.value.faults[0].field == "DISPATCHER_MASTER_KEY"
    assert await store.writable() is None


async def test_a_master_key_is_changed_one_replica_after_the_other(opens: Open) -> None:
    """Started with the new key and the old, a replica seals anew; then the new one is enough."""
    old, new = b"k" * 32, b"n" * 32
    await register(await opens(), an_application("shop", client_key_pem="PEM"))
    await opens(seal=Seal([new, old]))

    store = await opens(seal=Seal([new]))

    assert [one.client_key_pem for one in store.applications.values()] == ["PEM"]


async def test_what_a_replica_can_not_open_is_a_fault_of_ours(opens: Open) -> None:
    """A replica without another's new key can do nothing for now, and is well again with it.

    Nothing that it was asked for is given up: it is told as of a store that does not answer.
    """
    old, new = b"a" * 32, b"b" * 32
    behind = await opens(seal=Seal([old]))
    await owe(behind, "shop")
    (delivery,) = await claim(behind)
    ahead = await opens(seal=Seal([new, old]))
    await ahead.put_source(Source(name=SourceName("op"), secrets=("whsec_a",)))

    with pytest.raises(StoreUnavailable):
        await behind.settle([acknowledged(delivery)])

    assert "master" in str(await behind.writable()).lower()
    assert await ahead.settle([acknowledged(delivery)]) == [True]


async def test_the_store_tells_the_time(database: str, seal: Seal) -> None:
    """A replica whose wall clock is wrong knows it, and keeps the database's time all the same."""
    right = SystemClock()
    wrong = SystemClock(wall=lambda: right.now().timestamp() + 3600)
    before = wrong.in_doubt()

    store = await PostgresStore.open(database, clock=wrong, seal=seal, heard=wrong.follow)
    await store.close()

    assert (before, wrong.in_doubt()) == (False, True)
    assert abs((wrong.steady() - right.now()).total_seconds()) < 60
