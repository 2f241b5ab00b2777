"""One process per store: an exclusive lock on a file beside it.

The lock is the kernel's, so it is gone when its process is, however that ends.
"""

import fcntl
import os
from pathlib import Path

from dispatcher.domain.errors import Fault, InvalidSettings

STORE_SETTING = "DISPATCHER_STORE"


class StoreLock:
    """Holds the store at *path* for this process until ``release``.

    Raises InvalidSettings where another one holds it, or the folder can not be used.
    """

    def __init__(self, path: Path) -> None:
        beside = path.with_name(path.name + ".lock")
        try:
            file = os.open(beside, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise _fault(f"{beside} can not be opened: {error.strerror}") from error
        self._file: int | None = file
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(file, 32, 0).decode("ascii", "replace").strip()
            self.release()
            raise _fault(
                f"{path} is in use by process {holder or 'unknown'}; a SQLite store belongs to one"
                " process"
            ) from error
        os.truncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let another process have the store; the file stays, since removing it would race."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


def _fault(message: str) -> InvalidSettings:
    return InvalidSettings([Fault(STORE_SETTING, message)])
