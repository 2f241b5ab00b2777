"""Writing: one commit for many, nobody spoilt by another, no success that is not on disk."""

import asyncio
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import apsw
import pytest

from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.adapters.sqlite.intake import accept_all
from dispatcher.adapters.sqlite.readers import Reading
from dispatcher.adapters.sqlite.transactions import Joint
from dispatcher.domain.errors import Conflict, StoreUnavailable
from dispatcher.domain.ledger import EventFilter
from tests.adapters.sqlite.conftest import Open
from tests.kit.builders import an_application, an_event


class FlakyFile(apsw.VFSFile):
    """A file whose flushes are counted, and fail when the disk does."""

    def __init__(self, disk: "FlakyDisk", name: Any, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self._disk = disk

    def xSync(self, flags: int) -> None:  # noqa: N802 - the driver's name
        """Flush, unless the disk is broken."""
        self._disk.syncs += 1
        if self._disk.broken:
            raise apsw.IOError
        super().xSync(flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - the driver's name
        """Write, unless the disk is full."""
        if self._disk.full:
            raise apsw.FullError
        super().xWrite(data, offset)


class FlakyDisk(apsw.VFS):
    """A disk that can be broken, or full, for a while."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "unix", makedefault=True)
        self.broken = False
        self.full = False
        self.syncs = 0

    def xOpen(self, name: Any, flags: list[int]) -> FlakyFile:  # noqa: N802 - the driver's name
        """Open a file on this disk."""
        return FlakyFile(self, name, flags)


_names = (f"flaky-{number}" for number in count())


@pytest.fixture
def disk() -> Iterator[FlakyDisk]:
    """Put a flaky disk under every connection that is opened from now on."""
    flaky = FlakyDisk(next(_names))
    yield flaky
    flaky.unregister()


async def test_many_share_one_commit(store: SqliteStore) -> None:
    """What waits while the disk is busy is committed together."""
    commits = count()

    def note() -> bool:
        next(commits)
        return False

    connection = store._engine.scribe._connection
    assert connection is not None
    connection.set_commit_hook(note)

    await asyncio.gather(*(store.accept([an_event()]) for _ in range(200)))

    assert next(commits) < 50
    assert (await store.depth()).events_accepted == 200


async def test_one_that_is_refused_spoils_nobody(store: SqliteStore) -> None:
    """Among many that share a commit one conflict is one conflict, and leaves nothing behind."""
    await store.accept([an_event(id="taken", sub="alice")])
    batches = [[an_event(id=f"e{number}")] for number in range(50)]
    batches[25] = [an_event(id="left-behind"), an_event(id="taken", sub="bob")]

    answers = await asyncio.gather(*map(store.accept, batches), return_exceptions=True)

    refused = [index for index, answer in enumerate(answers) if isinstance(answer, Conflict)]
    assert refused == [25]
    ids = {record.event.id for record in await store.events(EventFilter(take=100))}
    assert ids == {"taken"} | {f"e{number}" for number in range(50) if number != 25}


async def test_a_command_that_fails_leaves_the_snapshots_alone(store: SqliteStore) -> None:
    """What is rolled back on the disk is rolled back in memory."""
    application = an_application("shop")

    def create_and_fail(tx: Any) -> None:
        tx.books = tx.books.with_application(application)
        raise LookupError

    with pytest.raises(LookupError):
        await store._engine.writer.run(create_and_fail)

    assert not store.applications


async def test_every_answer_waited_for_the_disk(disk: FlakyDisk, opens: Open) -> None:
    """Each accepted event was flushed before it was acknowledged."""
    store = await opens()
    flushed = []

    for _ in range(5):
        before = disk.syncs
        await store.accept([an_event()])
        flushed.append(disk.syncs - before)

    await store.close()
    assert min(flushed) >= 1


async def test_a_failing_disk_is_never_a_success(disk: FlakyDisk, opens: Open) -> None:
    """While the disk does not flush nobody is told that anything was stored; then all goes on."""
    store = await opens()
    await store.create_application(an_application("shop"))
    disk.broken = True
    answers = await asyncio.gather(
        *(store.accept([an_event(id=str(number))]) for number in range(20)),
        return_exceptions=True,
    )
    wrong = await store.writable()
    disk.broken = False

    receipts = [(await store.accept([an_event(id=str(number))]))[0] for number in range(20)]

    assert {type(answer) for answer in answers} == {StoreUnavailable}
    assert wrong is None or "does not answer" in wrong
    assert len({receipt.event_id for receipt in receipts}) == 20
    assert (await store.depth()).events_accepted == 20
    await store.close()


async def test_the_snapshots_are_what_is_on_disk(disk: FlakyDisk, opens: Open) -> None:
    """A write of which nobody knows whether it reached the disk is read back from there."""
    store = await opens()
    disk.full = True
    with pytest.raises(StoreUnavailable):
        await store.create_application(an_application("lost"))
    disk.full, disk.broken = False, True
    with pytest.raises(StoreUnavailable):
        await store.create_application(an_application("perhaps"))
    disk.broken = False
    await store.create_application(an_application("shop"))
    published = list(store.applications)
    await store.close()

    after = await opens()

    assert published == list(after.applications)
    assert "lost" not in published
    await after.close()


async def test_the_writer_outlives_what_it_can_not_read(
    disk: FlakyDisk, opens: Open, path: Path
) -> None:
    """Where the registry can not be read anew whoever asks is told, until it can be again."""
    store = await opens()
    await store.create_application(an_application("shop"))
    somebody = apsw.Connection(str(path))
    record = somebody.execute("SELECT record FROM application").get
    somebody.execute("UPDATE application SET record = 'torn'")
    disk.broken = True
    with pytest.raises(StoreUnavailable):
        await store.accept([an_event()])
    disk.broken = False

    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(store.accept([an_event()]), timeout=10)
    somebody.execute("UPDATE application SET record = ?", (record,))
    await asyncio.wait_for(store.accept([an_event()]), timeout=10)

    assert list(store.applications) == ["shop"]
    somebody.close()
    await store.close()


async def test_an_error_of_the_disk_spoils_its_whole_group(store: SqliteStore) -> None:
    """Where a command meets an error of the disk nobody that shared its transaction succeeds."""
    await store.close()
    scribe = store._engine.scribe

    def broken(_: Any) -> None:
        raise apsw.IOError

    answers, _ = scribe.write([Joint(accept_all, [an_event()]), broken])
    after, _ = scribe.write([lambda tx: tx.read("SELECT count(*) FROM event")])
    scribe.close()

    assert [type(answer.error) for answer in answers] == [StoreUnavailable] * 2
    assert [answer.result for answer in after] == [0]


async def test_each_is_told_what_came_of_its_own(store: SqliteStore) -> None:
    """However kinds are mixed in a group, and though some run together, answers keep places."""
    await store.close()
    scribe = store._engine.scribe
    first, later = an_event(), an_event()

    answers, _ = scribe.write(
        [Joint(accept_all, [first]), lambda _: "x", Joint(accept_all, [later]), lambda _: "y"]
    )
    scribe.close()

    told = [answer.get() for answer in answers]
    assert [receipt.id for receipt in told[0]] == [first.id]
    assert [receipt.id for receipt in told[2]] == [later.id]
    assert (told[1], told[3]) == ("x", "y")


async def test_a_full_disk_is_survived(disk: FlakyDisk, opens: Open) -> None:
    """A disk that is full is told as such, and what comes after it was freed is stored."""
    store = await opens()
    disk.full = True
    with pytest.raises(StoreUnavailable):
        await store.accept([an_event()])
    disk.full = False

    await store.accept([an_event()])

    assert (await store.depth()).events_accepted == 1
    await store.close()


async def test_a_reader_can_not_write(store: SqliteStore) -> None:
    """Only the writer's connection writes; a driver's error crosses no port."""

    def write(reading: Reading) -> Any:
        return reading.read("UPDATE meta SET probe = 1 RETURNING probe")

    with pytest.raises(StoreUnavailable):
        await store._engine.readers.run(write)


async def test_a_closed_store_does_not_answer(path: Path, store: SqliteStore) -> None:
    """After its end a store stores nothing, and its log is folded into its file."""
    await store.accept([an_event()])
    await store.close()

    with pytest.raises(StoreUnavailable):
        await store.accept([an_event()])
    with pytest.raises(StoreUnavailable):
        await store.depth()

    assert set(_sizes(path.parent)) == {"store.db", "store.db.lock"}


async def test_closing_finishes_what_was_asked_for(store: SqliteStore, opens: Open) -> None:
    """What was asked for before the end is done and answered."""
    asked = [asyncio.ensure_future(store.accept([an_event()])) for _ in range(50)]
    await asyncio.sleep(0)

    await store.close()

    receipts = await asyncio.gather(*asked)
    assert len(receipts) == 50
    assert (await (await opens()).depth()).events_accepted == 50


async def test_a_caller_that_gave_up_disturbs_nobody(store: SqliteStore) -> None:
    """A caller that is cancelled while its command waits leaves the others their answers."""
    asked = [asyncio.ensure_future(store.accept([an_event()])) for _ in range(20)]
    await asyncio.sleep(0)
    asked[3].cancel()

    answers = await asyncio.gather(*asked, return_exceptions=True)

    assert [index for index, answer in enumerate(answers) if isinstance(answer, BaseException)] == [
        3
    ]


async def test_the_log_does_not_grow_without_end(path: Path, store: SqliteStore) -> None:
    """The writer checkpoints as it goes, so that the log is written over from its start."""
    batch = [{"filler": "x" * 2000}] * 100

    for _ in range(120):
        await store.accept([an_event(session_metadata=filler) for filler in batch])

    sizes = _sizes(path.parent)
    assert sizes["store.db"] > 20_000_000
    assert sizes["store.db-wal"] < 20_000_000


def _sizes(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_size for file in folder.iterdir()}
