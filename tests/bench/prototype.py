"""A bare prototype: what it costs to carry a token with a table, a signature and a POST alone.

One process, one SQLite table as durable as the service's. Deliveries are claimed in batches, signed
with PyJWT, eight at a time (RSA on two threads), POSTed by aiohttp over kept connections, and
settled in batches. There is no webhook, no matching, no lane, lease, guard, metric or log line,
and of an attempt only the client's own time-out. It is a yardstick for machines: Python and a raw
signature do not get cheaper alike.
"""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import anyio
import apsw
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.bench.load import FAN_OUT, sid_of
from tests.kit.folders import a_folder
from tests.kit.processes import a_sink

IN_FLIGHT = 80
"""What five applications of the service may have on their way."""
LEAST, MOST, MINTED = 16, 64, 8
"""The least and the most that are claimed or settled at once; how many are signed in a row."""
_TABLE = """
CREATE TABLE delivery (
    id INTEGER PRIMARY KEY, client TEXT, uri TEXT, sub TEXT, sid TEXT,
    state TEXT, due_at INTEGER, status INTEGER);
CREATE INDEX delivery_due ON delivery (due_at) WHERE state = 'pending';
"""
_OWE = "INSERT INTO delivery VALUES (NULL, ?, ?, ?, ?, 'pending', 0, NULL)"
_CLAIM = """
UPDATE delivery SET state = 'in_flight' WHERE id IN (
    SELECT id FROM delivery WHERE state = 'pending' ORDER BY due_at LIMIT ?)
RETURNING id, client, uri, sub, sid
"""
_SETTLE = "UPDATE delivery SET state = 'delivered', status = ? WHERE id = ?"
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_EVENTS = {"http://schemas.openid.net/event/backchannel-logout": dict[str, object]()}

_Row = tuple[int, str, str, str, str]
_Minted = tuple[int, str, str]
"""The number of a delivery, its URI and its token."""


@dataclass(frozen=True, slots=True)
class Bare:
    """What the prototype's run took: CPU seconds of each token, and tokens in a second."""

    cpu_seconds: float
    per_second: float


def carried_bare(algorithm: str, tokens: int) -> Bare:
    """Carry so many *tokens* to a sink with a prototype, within this process."""
    with (
        a_folder(on_disk=True) as folder,
        a_sink(folder, applications=FAN_OUT, recorded=False) as sink,
    ):
        uris = [f"http://127.0.0.1:{port}/logout" for port in sink.ports]
        table = _table(folder / "prototype.db", uris, tokens)
        prototype = _Prototype(table, algorithm)
        began, cpu = time.monotonic(), time.process_time()
        anyio.run(prototype.run, tokens, backend_options={"use_uvloop": True})
        cpu, took = time.process_time() - cpu, time.monotonic() - began
        delivered = table.execute("SELECT count(*) FROM delivery WHERE status = 200").get
        table.close()
    assert delivered == tokens
    return Bare(cpu / tokens, tokens / took)


def _table(path: Path, uris: Sequence[str], tokens: int) -> apsw.Connection:
    table = apsw.Connection(str(path))
    table.pragma("journal_mode", "wal")
    table.pragma("synchronous", "full")
    table.execute(_TABLE)
    owed = (
        (f"app-{number % FAN_OUT}", uris[number % FAN_OUT], f"auth0|{number:024x}", sid_of(number))
        for number in range(tokens)
    )
    with table:
        table.executemany(_OWE, owed)
    return table


class _Prototype:
    def __init__(self, table: apsw.Connection, algorithm: str) -> None:
        self._table = table
        self._algorithm = algorithm
        self._key = (
            rsa.generate_private_key(65537, 2048)
            if algorithm == "RS256"
            else ec.generate_private_key(ec.SECP256R1())
        )
        self._ready: asyncio.Queue[_Minted] = asyncio.Queue()
        self._done: list[tuple[int, int]] = []
        self._moved = asyncio.Event()

    async def run(self, tokens: int) -> None:
        """Carry all of them."""
        loop = asyncio.get_running_loop()
        left, free = tokens, IN_FLIGHT
        with ThreadPoolExecutor(1) as store, ThreadPoolExecutor(2) as signers:
            async with (
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
                anyio.create_task_group() as tasks,
            ):
                for _ in range(IN_FLIGHT):
                    tasks.start_soon(self._carry, session)
                while left:
                    if free >= LEAST:
                        rows = await loop.run_in_executor(store, self._claim, min(free, MOST))
                        free -= len(rows)
                        for start in range(0, len(rows), MINTED):
                            part = rows[start : start + MINTED]
                            tasks.start_soon(self._prepare, part, signers)
                    while len(self._done) < min(LEAST, IN_FLIGHT - free):
                        self._moved.clear()
                        await self._moved.wait()
                    done, self._done = self._done, []
                    await loop.run_in_executor(store, self._settle, done)
                    left, free = left - len(done), free + len(done)
                tasks.cancel_scope.cancel()

    async def _prepare(self, rows: Sequence[_Row], signers: ThreadPoolExecutor) -> None:
        if self._algorithm == "RS256":
            loop = asyncio.get_running_loop()
            minted = await loop.run_in_executor(signers, self._mint_all, rows)
        else:
            minted = self._mint_all(rows)
        for one in minted:
            self._ready.put_nowait(one)

    async def _carry(self, session: aiohttp.ClientSession) -> None:
        timeout = aiohttp.ClientTimeout(total=5)
        while True:
            number, uri, token = await self._ready.get()
            body = f"logout_token={token}"
            async with session.post(uri, data=body, headers=_FORM, timeout=timeout) as response:
                await response.read()
            self._done.append((response.status, number))
            self._moved.set()

    def _claim(self, most: int) -> list[_Row]:
        with self._table:
            rows: list[Any] = self._table.execute(_CLAIM, (most,)).fetchall()
        return rows

    def _settle(self, done: Sequence[tuple[int, int]]) -> None:
        with self._table:
            self._table.executemany(_SETTLE, done)

    def _mint_all(self, rows: Sequence[_Row]) -> list[_Minted]:
        return [
            (number, uri, self._mint(client, sub, sid)) for number, client, uri, sub, sid in rows
        ]

    def _mint(self, client: str, sub: str, sid: str) -> str:
        now = int(time.time())
        claims = {
            "iss": "https://op.example.com/", "aud": client, "iat": now, "exp": now + 120,
            "jti": uuid4().hex, "events": _EVENTS, "sub": sub, "sid": sid,
        }  # fmt: skip
        headers = {"typ": "logout+jwt", "kid": "prototype"}
        return jwt.encode(claims, self._key, algorithm=self._algorithm, headers=headers)
