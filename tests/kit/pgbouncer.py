"""A real PgBouncer before a server, in transaction mode, where the program is found."""

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.kit.folders import a_folder
from tests.kit.postgres import NOBODY, Server
from tests.kit.service import free_port

_NOT_ALWAYS_IN_PATH = "/usr/sbin"
_START_SECONDS = 20.0
_ADMIN = "pgbouncer"
"""PgBouncer's own console, as a database."""


def program() -> str | None:
    """Return where PgBouncer is, or None."""
    path = os.pathsep.join((os.environ.get("PATH", ""), _NOT_ALWAYS_IN_PATH))
    return shutil.which("pgbouncer", path=path)


@dataclass(frozen=True)
class Pooler:
    """A running PgBouncer."""

    port: int

    def url(self, database: str) -> str:
        """Return the URL, through the pooler, of the database at a URL of the server itself."""
        return f"postgresql://postgres@127.0.0.1:{self.port}{urlsplit(database).path}"

    def shown(self, what: str) -> list[Mapping[str, object]]:
        """Return what the console shows, as ``POOLS``."""
        with psycopg.connect(self.url(f"/{_ADMIN}"), autocommit=True) as console:
            cursor = psycopg.ClientCursor(console).execute(f"SHOW {what}".encode())
            names = [column.name for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@contextmanager
def a_pooler(server: Server, *, pool: int) -> Iterator[Pooler]:
    """Run PgBouncer before all databases of *server*, with *pool* connections to each."""
    found = program()
    assert found is not None
    port = free_port()
    with a_folder() as folder:
        (folder / "pgbouncer.ini").write_text(_settings(server, port, pool))
        if os.geteuid() == 0:
            shutil.chown(folder, NOBODY)
            shutil.chown(folder / "pgbouncer.ini", NOBODY)
        with (
            (folder / "log").open("wb") as log,
            subprocess.Popen(
                [found, folder / "pgbouncer.ini"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=pwd.getpwnam(NOBODY).pw_uid if os.geteuid() == 0 else None,
            ) as process,
        ):
            try:
                pooler = Pooler(port)
                _until_ready(pooler, process, folder / "log")
                yield pooler
            finally:
                process.terminate()


def _settings(server: Server, port: int, pool: int) -> str:
    there = conninfo_to_dict(server.url)
    known = ("host", "port", "user", "password")
    reached = " ".join(f"{name}='{there[name]}'" for name in known if name in there)
    return f"""
[databases]
* = {reached}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {pool}
max_client_conn = 500
"""


def _until_ready(pooler: Pooler, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            pooler.shown("VERSION")
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PgBouncer does not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.02)
        else:
            return
