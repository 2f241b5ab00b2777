"""Opening: one process, a version that is known, the right master key; else a plain refusal."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.adapters.sqlite.connections import LEAST_SQLITE, open_writer
from dispatcher.adapters.sqlite.migrations import migrate
from dispatcher.adapters.sqlite.schema import STEPS
from dispatcher.domain.errors import InvalidSettings, StoreUnavailable
from dispatcher.domain.events import SourceName
from dispatcher.domain.sources import Source
from keys import Seal
from tests.adapters.sqlite.conftest import Open
from tests.kit.builders import an_application, an_event
from tests.kit.clock import FakeClock

HOLD = """
import asyncio, sys
from pathlib import Path
from dispatcher.adapters.sqlite import SqliteStore
from keys import Seal
from tests.kit.clock import FakeClock

async def main():
    await SqliteStore.open(Path(sys.argv[1]), clock=FakeClock(), seal=Seal([b"k" * 32]))
    print("held", flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


async def test_a_store_belongs_to_one_process(path: Path, opens: Open) -> None:
    """A second process is refused, by name of the setting and of the first; then it may."""
    with _holder(path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"

        with pytest.raises(InvalidSettings, match=f"DISPATCHER_STORE.*process {process.pid}"):
            await opens()

        process.kill()
    assert (await opens()).describe()


def _holder(path: Path) -> "subprocess.Popen[str]":
    """Start a process that holds the store until it is killed."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
        env=os.environ | {"PYTHONPATH": "."},
    )


async def test_a_store_is_opened_once(opens: Open) -> None:
    """Within one process, too, a store is open once, and again when it was closed."""
    first = await opens()

    with pytest.raises(InvalidSettings, match="DISPATCHER_STORE"):
        await opens()

    await first.close()
    assert await (await opens()).writable() is None


async def test_a_refused_opening_lets_go(path: Path, clock: FakeClock, opens: Open) -> None:
    """An opening that fails leaves the store to the next one."""
    await (await opens()).close()
    with pytest.raises(InvalidSettings):
        await SqliteStore.open(path, clock=clock, seal=Seal([b"x" * 32]))

    store = await opens()

    assert await store.writable() is None


async def test_a_newer_store_is_refused(path: Path, opens: Open) -> None:
    """A store that a newer release wrote is refused, with both versions."""
    await (await opens()).close()
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", 999)
    connection.close()

    with pytest.raises(InvalidSettings, match=f"999, this release knows {len(STEPS)}"):
        await opens()


def test_steps_are_taken_from_where_the_store_stands(path: Path) -> None:
    """Only the missing steps are taken, in order, and the version says so."""
    connection = open_writer(path)
    migrate(connection, ["CREATE TABLE one (a)"])

    migrate(connection, ["CREATE TABLE one (a)", "ALTER TABLE one ADD b", "ALTER TABLE one ADD c"])

    assert [row[1] for row in connection.execute("PRAGMA table_info(one)")] == ["a", "b", "c"]
    assert connection.pragma("user_version") == 3
    connection.close()


def test_steps_are_taken_all_or_none(path: Path) -> None:
    """A step that fails leaves the store as it was, the earlier steps undone."""
    connection = open_writer(path)

    with pytest.raises(apsw.SQLError):
        migrate(connection, ["CREATE TABLE one (a)", "no such statement"])

    assert connection.pragma("user_version") == 0
    assert connection.execute("SELECT count(*) FROM sqlite_schema").get == 0
    connection.close()


async def test_another_master_key_is_refused(path: Path, clock: FakeClock, opens: Open) -> None:
    """A store that the master key does not open stops the start, before anything is needed."""
    await (await opens()).close()

    with pytest.raises(InvalidSettings, match="DISPATCHER_MASTER_KEY"):
        await SqliteStore.open(path, clock=clock, seal=Seal([b"x" * 32]))


async def test_a_master_key_can_be_replaced(path: Path, clock: FakeClock) -> None:
    """After one start with both keys the older one is no longer needed."""
    old, new = b"o" * 32, b"n" * 32
    source = Source(name=SourceName("op"), secrets=("whsec_1",))
    application = an_application("shop", client_key_pem="PRIVATE")
    store = await SqliteStore.open(path, clock=clock, seal=Seal([old]))
    await store.put_source(source)
    await store.create_application(application)
    await store.close()
    await (await SqliteStore.open(path, clock=clock, seal=Seal([new, old]))).close()

    after = await SqliteStore.open(path, clock=clock, seal=Seal([new]))

    assert after.sources[source.name] == source
    assert after.applications[application.client_id] == application
    await after.close()


async def test_a_sealed_secret_stays_in_its_row(path: Path, opens: Open) -> None:
    """A secret that was copied over another source's does not open."""
    store = await opens()
    await store.put_source(Source(name=SourceName("a"), secrets=("whsec_a",)))
    await store.put_source(Source(name=SourceName("b"), secrets=("whsec_b",)))
    await store.close()
    connection = apsw.Connection(str(path))
    copied = "UPDATE source SET sealed = (SELECT sealed FROM source WHERE name = 'a')"
    connection.execute(copied)
    connection.close()

    with pytest.raises(InvalidSettings, match="source b"):
        await opens()


async def test_no_secret_lies_in_the_file(path: Path, store: SqliteStore) -> None:
    """Of what is sealed not a byte can be read from the files, while the rest can."""
    await store.put_source(
        Source(name=SourceName("op"), secrets=("whsec_KANARI1",), bearer_tokens=("KANARI2",))
    )
    await store.create_application(an_application("shop", client_key_pem="KANARI3"))
    await store.replace_application(an_application("shop", client_key_pem="KANARI4"))

    written = _bytes_of(path.parent)
    await store.close()
    written += _bytes_of(path.parent)

    assert b"https://shop.example/bcl" in written
    assert b"KANARI" not in written


def _bytes_of(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


async def test_the_file_is_its_owners_alone(path: Path, store: SqliteStore) -> None:
    """Nobody else on the machine can read who logged in where."""
    await store.accept([an_event()])

    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in os.scandir(path.parent)}

    assert set(modes.values()) == {0o600}
    assert "store.db-wal" in modes


async def test_a_folder_that_is_not_there_is_a_faulty_setting(
    folder: Path, clock: FakeClock, seal: Seal
) -> None:
    """A path that can not be used names the setting that holds it."""
    nowhere = folder / "missing" / "store.db"

    with pytest.raises(InvalidSettings, match="DISPATCHER_STORE"):
        await SqliteStore.open(nowhere, clock=clock, seal=seal)


async def test_a_file_that_is_no_store_is_unavailable(path: Path, opens: Open) -> None:
    """What is not a database is refused in our own words."""
    _write_letter(path)

    with pytest.raises(StoreUnavailable):
        await opens()


def _write_letter(path: Path) -> None:
    path.write_bytes(b"this is a letter, not a database" * 200)


async def test_the_library_is_one_that_corrupts_nothing(store: SqliteStore) -> None:
    """The SQLite at work has the fix of the bug that corrupted write-ahead logs, and is named."""
    version = tuple(map(int, apsw.sqlite_lib_version().split(".")))

    assert version >= LEAST_SQLITE
    assert apsw.sqlite_lib_version() in store.describe()
