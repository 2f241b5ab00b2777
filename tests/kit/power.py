"""A disk that loses power: everything that a store does to its files is recorded, to be cut.

The recording runs over real files, so that the store notices nothing. A *cut* then says what is
left on the disk when the power goes at some moment: whatever was synced before, and of what was
written since a part by chance, sector by sector and in any order, as disks do it.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Any

import apsw

SECTOR = 512
_names = count(1)


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes written to a file."""

    file: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    """A file cut off."""

    file: str
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """A file's earlier writes are on the disk."""

    file: str


@dataclass(frozen=True, slots=True)
class Delete:
    """A file removed."""

    file: str


@dataclass(frozen=True, slots=True)
class Promise:
    """Something that the store said was done: it must outlive every later cut."""

    what: Any


Step = Write | Truncate | Sync | Delete | Promise


class Mercy(StrEnum):
    """What the disk keeps of what was not synced."""

    NOTHING = "nothing"
    ALL = "all"
    IN_ORDER = "in order"
    """All up to some moment, and nothing after it."""
    BY_CHANCE = "by chance"
    """Any of it, torn into sectors."""


class Recorder(apsw.VFS):
    """The files of one process as SQLite sees them; what is done to them is kept in ``steps``."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.under = apsw.vfs_names()[0]
        super().__init__(f"recorder-{next(_names)}", self.under, makedefault=True)

    def xOpen(  # noqa: N802 - SQLite's name
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> apsw.VFSFile:
        """Open a file, and record what is done to it."""
        return _File(self.under, self.steps, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802, FBT001 - SQLite's name
        """Remove a file."""
        super().xDelete(filename, syncdir)
        self.steps.append(Delete(Path(filename).name))

    def promised(self, what: Any) -> None:
        """Note what the store has just said was done."""
        self.steps.append(Promise(what))


class _File(apsw.VFSFile):
    def __init__(
        self,
        under: str,
        steps: list[Step],
        name: str | apsw.URIFilename | None,
        flags: list[int],
    ) -> None:
        self._steps = steps
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._name = Path(path or "").name
        super().__init__(under, name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        """Write, and record it."""
        super().xWrite(data, offset)
        self._steps.append(Write(self._name, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's name
        """Cut the file off, and record it."""
        super().xTruncate(newsize)
        self._steps.append(Truncate(self._name, newsize))

    def xSync(self, _flags: int) -> None:  # noqa: N802 - SQLite's name
        """Record a sync. It need not happen: the files under the recording lose no power."""
        self._steps.append(Sync(self._name))


@contextmanager
def recorded() -> Iterator[Recorder]:
    """Record what is done to each store that is opened meanwhile, in this process."""
    recorder = Recorder()
    try:
        yield recorder
    finally:
        apsw.set_default_vfs(recorder.under)
        recorder.unregister()


class Disk:
    """What lies on a disk for certain, and what is on its way there."""

    def __init__(self) -> None:
        self._files: dict[str, bytearray] = defaultdict(bytearray)
        self._unsynced: dict[str, list[Write | Truncate]] = defaultdict(list)

    def take(self, step: Step) -> None:
        """Do what was recorded."""
        match step:
            case Write(file=file) | Truncate(file=file):
                self._unsynced[file].append(step)
            case Sync(file=file):
                _apply(self._files[file], self._unsynced.pop(file, []))
            case Delete(file=file):
                self._files.pop(file, None)
                self._unsynced.pop(file, None)
            case Promise():
                pass

    @property
    def at_stake(self) -> int:
        """How many writes are not on the disk for certain."""
        return sum(map(len, self._unsynced.values()))

    def cut(self, folder: Path, mercy: Mercy, dice: random.Random) -> None:
        """Write into *folder* what is left when the power goes now."""
        for file in self._files.keys() | self._unsynced.keys():
            content = bytearray(self._files.get(file, b""))
            _apply(content, list(_left(self._unsynced.get(file, []), mercy, dice)))
            (folder / file).write_bytes(content)


def _apply(content: bytearray, steps: Sequence[Write | Truncate]) -> None:
    for step in steps:
        if isinstance(step, Truncate):
            del content[step.size :]
            continue
        content.extend(bytes(max(0, step.offset - len(content))))
        content[step.offset : step.offset + len(step.data)] = step.data


def _left(
    steps: Sequence[Write | Truncate], mercy: Mercy, dice: random.Random
) -> Iterator[Write | Truncate]:
    match mercy:
        case Mercy.NOTHING:
            return
        case Mercy.ALL:
            yield from steps
        case Mercy.IN_ORDER:
            yield from steps[: dice.randint(0, len(steps))]
        case Mercy.BY_CHANCE:
            for step in steps:
                yield from _torn(step, dice)


def _torn(step: Write | Truncate, dice: random.Random) -> Iterator[Write | Truncate]:
    """Keep a step, lose it, or keep only some of its sectors."""
    fate = dice.random()
    if isinstance(step, Truncate) or fate < 1 / 3:
        if fate < 1 / 2:
            yield step
        return
    if fate < 2 / 3:
        return
    first = step.offset - step.offset % SECTOR
    for sector in range(first, step.offset + len(step.data), SECTOR):
        if dice.random() < 1 / 2:
            start = max(0, sector - step.offset)
            end = sector + SECTOR - step.offset
            yield Write(step.file, step.offset + start, step.data[start:end])
