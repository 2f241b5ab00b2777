"""A flood: whoever sends too much, too slowly or too often is let go, and the service goes on."""

import base64
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
import httpx2
import pytest
from anyio.abc import ByteStream

from dispatcher import app, listeners
from dispatcher.adapters import vault
from dispatcher.adapters.vault import VaultVerifier
from dispatcher.ports import Clock, KeySets
from dispatcher.settings import Settings
from dispatcher.web import bodies, connections
from tests.kit.service import toml_of

PATIENCE = 30.0
SOON = 0.2
MOST = connections.MOST_HEADER_BYTES
STATUS = "HTTP/1.1 "


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio, as the server does."""
    return "asyncio"


@dataclass
class Flooded:
    """A running house, and the port to flood."""

    port: int

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[ByteStream]:
        """Open a connection of our own."""
        async with await anyio.connect_tcp("127.0.0.1", self.port) as stream:
            yield stream

    def client(self) -> httpx2.AsyncClient:
        """Return a well-behaved client."""
        return httpx2.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=PATIENCE)

    async def lives(self) -> bool:
        """Whether the service still answers others."""
        async with self.client() as http:
            return (await http.get("/livez")).status_code == 200


async def until_closed(stream: ByteStream) -> str:
    """Return all that comes before the other side closes the connection, by whatever means."""
    read = bytearray()
    try:
        while True:
            read += await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return read.decode("latin-1")


async def send(stream: ByteStream, *pieces: bytes) -> None:
    """Send *pieces*, for as long as the other side takes them."""
    try:
        for piece in pieces:
            await stream.send(piece)
    except anyio.BrokenResourceError:
        return


def environment(folder: Path) -> Mapping[str, str]:
    """Return the settings of a house with one management client."""
    client = {"client_id": "ops", "client_secret": "s" * 40, "scopes": ["read:clients"]}
    config = folder / "dispatcher.toml"
    config.write_text(f"management_clients = {toml_of([client])}", encoding="utf-8")
    return {
        "DISPATCHER_ISSUER": "https://op.example/",
        "DISPATCHER_STORE": f"sqlite:///{folder / 'store.db'}",
        "DISPATCHER_LISTEN": "127.0.0.1:0",
        "DISPATCHER_MASTER_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "DISPATCHER_ALGORITHMS": "ES256",
        "DISPATCHER_DISK_RESERVE": "0",
        "DISPATCHER_DRAIN_DELAY": "0s",
        "DISPATCHER_CONFIG": str(config),
    }


@pytest.fixture
async def flooded(tmp_path: Path) -> AsyncIterator[Flooded]:
    """Run a house, and let it drain at the end."""
    with anyio.fail_after(4 * PATIENCE):
        settings = Settings.from_env(environment(tmp_path))
        async with app.open_house(settings) as house, anyio.create_task_group() as tasks:
            urls: list[str] = []
            stop = anyio.Event()
            tasks.start_soon(partial(house.run, stop, listening=urls.append))
            while not urls:  # noqa: ASYNC110 - the callback is not a coroutine's
                await anyio.sleep(0.001)
            yield Flooded(int(urls[0].rpartition(":")[2]))
            stop.set()


HEAD = b"GET /livez HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"POST /webhooks/idp HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
TOO_MUCH: dict[str, list[bytes]] = {
    "one endless field": [HEAD + b"X: ", *([b"x" * 1000] * 80)],
    "an endless path": [b"GET /", *([b"x" * 1000] * 80)],
    "fields without an end": [HEAD, *([b"X: " + b"x" * 990 + b"\r\n"] * 80)],
    "all at once": [HEAD + b"X: " + b"x" * (MOST + 1) + b"\r\n\r\n"],
    "fields, all at once": [HEAD + (b"X: " + b"x" * 990 + b"\r\n") * 80 + b"\r\n"],
    "in a second request": [HEAD + b"\r\n", HEAD + b"X: ", *([b"x" * 1000] * 80)],
    "behind a body": [CHUNKED + b"0\r\n", *([b"X: " + b"x" * 990 + b"\r\n"] * 80)],
    "within a chunk's length": [CHUNKED + b"1;", *([b"x" * 1000] * 80)],
}


@pytest.mark.parametrize("pieces", TOO_MUCH.values(), ids=TOO_MUCH.keys())
async def test_a_header_that_is_too_large_ends_its_connection(
    flooded: Flooded, pieces: list[bytes]
) -> None:
    """Of what has no end no more than its bound is kept, however it comes."""
    with anyio.fail_after(PATIENCE):
        async with flooded.connected() as stream:
            await send(stream, *pieces)
            answer = await until_closed(stream)

    assert answer.count(STATUS + "200") <= pieces.count(HEAD + b"\r\n")
    assert await flooded.lives()


async def test_a_large_header_within_the_bound_is_read(flooded: Flooded) -> None:
    """What is large and allowed is no trouble, nor is a large body behind it."""
    async with flooded.client() as http:
        large = await http.get("/livez", headers={"x": "x" * (MOST - 4096)})
        heavy = [await http.post("/webhooks/idp", content=b"x" * (MOST * 8)) for _ in range(2)]

    assert large.status_code == 200
    assert [answer.status_code for answer in heavy] == [401, 401]


SLOW: dict[str, tuple[bytes, bytes]] = {
    "nothing at all": (b"", b""),
    "half a header": (HEAD + b"X: ", b"x"),
    "half a second header": (HEAD + b"\r\n" + HEAD + b"X: ", b"x"),
    "blank lines": (HEAD + b"\r\n", b"\r\n"),
    "a body that nobody reads": (HEAD + b"Content-Length: 900\r\n\r\n", b"x"),
}


@pytest.mark.parametrize(("begun", "more"), SLOW.values(), ids=SLOW.keys())
async def test_a_request_that_does_not_come_is_not_waited_for(
    flooded: Flooded, begun: bytes, more: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection without a request is closed, though something comes now and then."""
    monkeypatch.setattr(connections, "REQUEST_SECONDS", SOON)
    with anyio.fail_after(PATIENCE):
        async with flooded.connected() as stream, anyio.create_task_group() as tasks:
            tasks.start_soon(trickle, stream, begun, more)
            answer = await until_closed(stream)
            tasks.cancel_scope.cancel()

    assert answer.count(STATUS) == begun.count(b"\r\n\r\n")
    assert await flooded.lives()


async def trickle(stream: ByteStream, begun: bytes, more: bytes) -> None:
    """Send *begun*, and then a little *more* again and again, if there is any."""
    await send(stream, begun)
    while more:
        await anyio.sleep(SOON / 10)
        await send(stream, more)


async def test_a_connection_that_is_used_is_kept(
    flooded: Flooded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sends whole requests keeps the connection beyond the time that one may take."""
    monkeypatch.setattr(connections, "REQUEST_SECONDS", SOON)
    async with flooded.connected() as stream:
        for _ in range(4):
            await stream.send(HEAD + b"\r\n")
            answer = await stream.receive()
            assert answer.startswith(b"HTTP/1.1 200")
            await anyio.sleep(SOON / 2)


async def test_a_body_has_its_own_time(flooded: Flooded, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection whose request is being read is not closed before the reader gives it up."""
    monkeypatch.setattr(connections, "REQUEST_SECONDS", SOON)
    head = b"POST /webhooks/idp HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n"
    async with flooded.connected() as stream:
        await stream.send(head + b"{")
        await anyio.sleep(3 * SOON)
        await stream.send(b"}")
        answer = await stream.receive()

    assert answer.startswith(b"HTTP/1.1 401")


async def test_a_body_that_does_not_come_is_answered_and_let_go(
    flooded: Flooded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that is not whole in time is 408, and its connection is closed."""
    monkeypatch.setattr(bodies, "SECONDS", SOON)
    head = b"POST /webhooks/idp HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n"
    with anyio.fail_after(PATIENCE):
        async with flooded.connected() as stream:
            await send(stream, head + b"half of it")
            answer = await until_closed(stream)

    assert answer.startswith(STATUS + "408")
    assert '"code":"request_timeout"' in answer
    assert await flooded.lives()


@pytest.fixture
def few_connections(monkeypatch: pytest.MonkeyPatch) -> int:
    """Let a house that is opened after this take few connections."""
    monkeypatch.setattr(listeners, "MOST_CONNECTIONS", 10)
    return 10


async def test_connections_have_a_bound(few_connections: int, flooded: Flooded) -> None:
    """Where others hold too many connections a further one is answered 503, until they let go."""
    async with anyio.create_task_group() as tasks:
        held = anyio.Event()
        for _ in range(few_connections):
            tasks.start_soon(hold, flooded, held)
        async with flooded.client() as http:
            await until_answered(http, 503)
            held.set()
            await until_answered(http, 200)


async def until_answered(http: httpx2.AsyncClient, status: int) -> None:
    """Return when the service answers with *status*; fail where it does not come to that."""
    with anyio.fail_after(PATIENCE):
        while (await http.get("/livez")).status_code != status:  # noqa: ASYNC110 - it tells nobody
            await anyio.sleep(0.01)


async def hold(flooded: Flooded, until: anyio.Event) -> None:
    """Hold a connection."""
    async with flooded.connected():
        await until.wait()


async def test_guesses_do_not_queue_without_bound(
    flooded: Flooded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes when too many secrets wait to be judged is told at once when to come again."""
    monkeypatch.setattr(vault, "MOST_WAITING", 4)
    answers: list[httpx2.Response] = []

    async def guess(http: httpx2.AsyncClient) -> None:
        grant = {"grant_type": "client_credentials", "client_id": "ops", "client_secret": "wrong"}
        answers.append(await http.post("/oauth/token", data=grant))

    async with flooded.client() as http, anyio.create_task_group() as tasks:
        for _ in range(40):
            tasks.start_soon(guess, http)

    refused = [answer for answer in answers if answer.status_code == 503]
    assert {answer.status_code for answer in answers} == {401, 503}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)
    assert all(answer.json()["code"] == "unavailable" for answer in refused)
    assert await flooded.lives()


async def test_a_house_has_one_verifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is judged at once is counted in one place."""
    made: list[VaultVerifier] = []

    class Counted(VaultVerifier):
        """A verifier that is seen to be made."""

        def __init__(self, clock: Clock, key_sets: KeySets) -> None:
            super().__init__(clock, key_sets)
            made.append(self)

    monkeypatch.setattr(app, "VaultVerifier", Counted)

    async with app.open_house(Settings.from_env(environment(tmp_path))):
        pass

    assert len(made) == 1


def test_the_bounds_leave_room_for_an_ordinary_day() -> None:
    """The service as it is started takes the connections of many sources, and large headers."""
    assert (connections.MOST_CONNECTIONS, MOST) == (2048, 65536)
    assert (connections.REQUEST_SECONDS, bodies.SECONDS) == (10, 10)
