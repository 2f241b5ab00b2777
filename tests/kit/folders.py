"""Where a test keeps its files: in memory where the machine has room for them there.

What a test asks of a store is not how fast the disk is. A process that is killed leaves its files
behind in memory as it does on a disk; what only a power cut tells is tested by a disk of its own.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of a random name is made in it
_ENOUGH = 1 << 28


@contextmanager
def a_folder(*, on_disk: bool = False) -> Iterator[Path]:
    """Make an empty folder, *on_disk* where it is asked for, and remove it afterwards."""
    in_memory = not on_disk and _has_room()
    with tempfile.TemporaryDirectory(dir=_MEMORY if in_memory else None) as folder:
        yield Path(folder)


def _has_room() -> bool:
    if not os.access(_MEMORY, os.W_OK):
        return False
    memory = os.statvfs(_MEMORY)
    return memory.f_bavail * memory.f_frsize > _ENOUGH
