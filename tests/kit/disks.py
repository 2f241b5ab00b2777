"""A small disk: a file system in memory of a size of its own, for as long as a test wants it.

To mount one is a right that not every machine gives.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MEBI = 1 << 20


class CanNotMount(Exception):
    """This machine does not let us mount a file system."""


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A mounted file system, and a file in it that takes room away."""

    folder: Path

    @property
    def free(self) -> int:
        """Return the bytes that are left."""
        disk = os.statvfs(self.folder)
        return disk.f_bavail * disk.f_frsize

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def take(self, size: int) -> None:
        """Take *size* bytes away, or as many as there are."""
        with self._ballast.open("ab", buffering=0) as ballast:
            try:
                for _ in range(0, size, MEBI // 4):
                    ballast.write(bytes(MEBI // 4))
                ballast.write(bytes(MEBI // 4))
            except OSError:  # it is full, which is what was wanted
                return

    def give_back(self) -> None:
        """Give back what was taken."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def a_small_disk(size: int) -> Iterator[SmallDisk]:
    """Mount an empty file system of *size* bytes; raise CanNotMount where that is not allowed."""
    with tempfile.TemporaryDirectory() as name:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", name]
        try:
            mounted = subprocess.run(command, capture_output=True, check=False)
        except OSError as error:
            raise CanNotMount(str(error)) from error
        if mounted.returncode != 0:
            raise CanNotMount(mounted.stderr.decode("utf-8", "replace").strip())
        try:
            yield SmallDisk(Path(name))
        finally:
            subprocess.run(["umount", name], check=True)
