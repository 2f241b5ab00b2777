"""An application's server, on loopback, that does exactly what its script says, byte for byte.

It speaks raw TCP or TLS, so that it can do what no HTTP library would: answer in pieces, answer
garbage, fall silent, hang up at any byte. Everything that reaches it is written down.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self, TypeAlias

_ESTABLISHED = 1
"""A TCP connection's state as Linux tells it (tcp_info)."""
PATIENCE_SECONDS = 20.0
"""No script goes on for longer, whatever becomes of the test that started it."""


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came in; ``connection`` counts the connections, from 0."""

    line: str
    fields: tuple[tuple[str, str], ...]
    body: bytes
    connection: int

    def values(self, name: str) -> list[str]:
        """Return the values of all fields of that name."""
        return [value for field, value in self.fields if field.lower() == name.lower()]


class Peer:
    """The other side of one connection, as a script sees it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.number = number
        self.request: Received | None = None

    async def say(self, data: bytes) -> None:
        """Send *data*; raise ConnectionError where the other side has gone (uvloop would not)."""
        if self.writer.is_closing():
            raise ConnectionResetError
        self.writer.write(data)
        await self.writer.drain()

    async def drip(self, data: bytes, *, every: float = 0.01) -> None:
        """Send *data* byte by byte, and start again, until the other side has had enough."""
        while True:
            for position in range(len(data)):
                await self.say(data[position : position + 1])
                await asyncio.sleep(every)

    async def hang(self) -> None:
        """Do nothing, until the other side has had enough."""
        while await self.reader.read(65536):
            pass

    def close(self) -> None:
        """Close in good order."""
        self.writer.close()

    def reset(self) -> None:
        """Close with a reset (RST)."""
        self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    @property
    def connected(self) -> bool:
        """Whether neither side has closed, which the kernel knows before our loop hears of it."""
        if self._raw.fileno() < 0:
            return False
        return self._raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED

    @property
    def _raw(self) -> socket.socket:
        raw: socket.socket = self.writer.get_extra_info("socket")
        return raw


Script: TypeAlias = Callable[[Peer], Awaitable[None]]
"""What to do with one request; the connection stays open unless the script closes it."""


def response(status: int = 200, body: bytes = b"", **fields: str) -> bytes:
    """Return a whole response; ``retry_after="5"`` becomes ``retry-after: 5``."""
    fields.setdefault("content_length", str(len(body)))
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Any\r\n{lines}\r\n".encode() + body


def says(data: bytes) -> Script:
    """Send *data* and wait for the next request."""
    return lambda peer: peer.say(data)


def answers(status: int = 200, body: bytes = b"", **fields: str) -> Script:
    """Answer with a whole response."""
    return says(response(status, body, **fields))


def then_closes(data: bytes) -> Script:
    """Send *data*, and close."""

    async def script(peer: Peer) -> None:
        """Send and close."""
        await peer.say(data)
        peer.close()

    return script


def then_drips(data: bytes, drops: bytes) -> Script:
    """Send *data*, and then *drops*, byte by byte and over and over."""

    async def script(peer: Peer) -> None:
        """Send and drip."""
        await peer.say(data)
        await peer.drip(drops)

    return script


async def hangs(peer: Peer) -> None:
    """Never answer."""
    await peer.hang()


async def resets(peer: Peer) -> None:
    """Close with a reset, instead of an answer."""
    peer.reset()


def in_turn(*scripts: Script) -> Script:
    """Do one thing after the other, request by request, and the last one from then on."""
    left = list(scripts)

    async def script(peer: Peer) -> None:
        """Play the next one."""
        await (left.pop(0) if len(left) > 1 else left[0])(peer)

    return script


class RpServer:
    """Listens on a loopback address while its ``async with`` lasts, on any free *port* or that one.

    *greeting*, if given, is played as soon as a connection is there, before any TLS and HTTP.
    """

    def __init__(
        self,
        script: Script,
        *,
        tls: ssl.SSLContext | None = None,
        greeting: Script | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.script = script
        self.requests: list[Received] = []
        self.connections = 0
        self.busiest = 0
        self.most_connections = 0
        self._busy = 0
        self._port = port
        self._tls = tls
        self._greeting = greeting
        self._host = host
        self._tasks: dict[asyncio.Task[None], Peer] = {}
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port that it listens on."""
        assert self._server is not None
        listening: socket.socket = self._server.sockets[0]
        return int(listening.getsockname()[1])

    def uri(self, rest: str = "/logout", *, host: str | None = None) -> str:
        """Return a URI of this server, at its literal address or under the name *host*."""
        scheme = "https" if self._tls else "http"
        literal = f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}://{host or literal}:{self.port}{rest}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._accept, self._host, self._port, ssl=self._tls, backlog=1024
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        # A connection that the kernel has accepted may reach us a few rounds later.
        for _ in range(10):
            await asyncio.sleep(0)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        # Python 3.11's does not wait for connections that are still in their TLS handshake.
        async with asyncio.timeout(PATIENCE_SECONDS):
            while getattr(self._server, "_active_count", 0):  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(0.005)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Start to serve one connection."""
        peer = Peer(reader, writer, self.connections)
        self.connections += 1
        task = asyncio.ensure_future(self._serve(peer))
        self._tasks[task] = peer
        # Whoever closes one connection and opens another has never had both.
        held = sum(peer.connected for peer in self._tasks.values())
        self.most_connections = max(self.most_connections, held)
        task.add_done_callback(self._tasks.pop)
        # Here, since a task that is cancelled before it starts has no finally.
        task.add_done_callback(lambda _: writer.transport.abort())

    async def _serve(self, peer: Peer) -> None:
        """Serve one connection to its end."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                if self._greeting is not None:
                    await self._greeting(peer)
                while not peer.writer.is_closing():
                    await self._one(peer)
        except (OSError, asyncio.IncompleteReadError):
            pass

    async def _one(self, peer: Peer) -> None:
        """Read one request and play the script."""
        peer.request = await _read_request(peer)
        self.requests.append(peer.request)
        self._busy += 1
        self.busiest = max(self.busiest, self._busy)
        try:
            await self.script(peer)
        finally:
            self._busy -= 1


async def _read_request(peer: Peer) -> Received:
    """Read one request, whole."""
    head = (await peer.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *rest = head.removesuffix("\r\n\r\n").split("\r\n")
    fields = tuple((name, value) for name, _, value in (field.partition(": ") for field in rest))
    received = Received(line, fields, b"", peer.number)
    body = await peer.reader.readexactly(int("".join(received.values("content-length")) or 0))
    return Received(line, fields, body, peer.number)
