"""What the doors of the store share: one writer, a few readers, the hint, the seal."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dispatcher.adapters.sqlite.disk import DiskReserve
from dispatcher.adapters.sqlite.lock import StoreLock
from dispatcher.adapters.sqlite.readers import Readers
from dispatcher.adapters.sqlite.transactions import Scribe
from dispatcher.adapters.sqlite.writers import Writer
from dispatcher.ports import Clock
from dispatcher.stored.hint import Hint
from keys import Seal


@dataclass(frozen=True, slots=True)
class Engine:
    """The running parts of an open store; ``leases`` never yields a number twice."""

    path: Path
    lock: StoreLock
    clock: Clock
    seal: Seal
    scribe: Scribe
    writer: Writer
    readers: Readers
    hint: Hint
    disk: DiskReserve
    leases: Iterator[int]


class Door:
    """One of the ports that a store fulfils."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
