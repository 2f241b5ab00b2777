"""A proxy that stands between two sides of a TCP connection, and does to it what networks do.

Each answer gets a ``Fault``, chosen by whoever opens the proxy; most end the connection. What
passed is written down, so that what each side made of it can be compared with what had happened.

While the way is ``shut`` nothing passes on any connection, neither forth nor back, not even that a
side has closed it. Nothing of it is lost: it passes when the way is open again, however late, as
what TCP sends again once a cable is mended.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Self, TypeAlias

CHUNK = 65536
PATIENCE_SECONDS = 30.0
"""No connection is held for longer, unless the proxy is told to be more patient."""

Stream: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Harm(StrEnum):
    """What is done to an answer, and to what comes after it."""

    NONE = "none"
    LATENCY = "latency"
    DRIP = "drip"
    RESET = "reset"
    BLACK_HOLE = "black hole"
    HALF_CLOSE = "half-close"
    TRUNCATE = "truncate"


@dataclass(frozen=True, slots=True)
class Fault:
    """A harm and its size: ``seconds`` of latency or between drops, ``after`` so many bytes."""

    harm: Harm = Harm.NONE
    seconds: float = 0.0
    after: int = 0


@dataclass
class Passage:
    """What passed over one connection."""

    faults: list[Fault] = field(default_factory=list)
    """One for each answer that the server gave."""
    forth: bytearray = field(default_factory=bytearray)
    """What the client sent, and the server got."""
    back: bytearray = field(default_factory=bytearray)
    """What the server answered, and the client got."""
    swallowed: bool = False
    """Whether nothing passes any more, neither forth nor back."""


class FaultProxy:
    """Listens on loopback while its ``async with`` lasts, and connects to *target*.

    That is a port of loopback, or the path of a socket.
    """

    def __init__(
        self,
        target: int | Path,
        choose: Callable[[], Fault] = Fault,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.choose = choose
        self._patience = patience_seconds
        self.passages: list[Passage] = []
        self._target = target
        self._way = asyncio.Event()
        self._way.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port that it listens on."""
        assert self._server is not None
        listening: socket.socket = self._server.sockets[0]
        return int(listening.getsockname()[1])

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1024)
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def shut(self) -> None:
        """Let nothing pass any more, and leave every connection open."""
        self._way.clear()

    def open(self) -> None:
        """Let everything pass again, what was sent meanwhile first."""
        self._way.set()

    def let_go(self) -> None:
        """End every connection that is open now, in the middle of whatever it does."""
        for task in self._tasks:
            task.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Here, since a task that is cancelled before it starts has no finally.
        task.add_done_callback(lambda _: writer.transport.abort())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passage = Passage()
        self.passages.append(passage)
        try:
            async with asyncio.timeout(self._patience):
                first = await self._read(reader)
                if reader.at_eof():
                    return  # it was given up before it got through
                there = await self._dial()
                try:
                    await _send(there[1], passage, first)
                    await self._pass_on(passage, (reader, writer), there)
                finally:
                    there[1].transport.abort()
        except (OSError, TimeoutError):
            return

    async def _dial(self) -> Stream:
        if isinstance(self._target, Path):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection("127.0.0.1", self._target)

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        """Return what comes, or nothing at the end, once the way is open."""
        data = await reader.read(CHUNK)
        await self._way.wait()
        return data

    async def _pass_on(self, passage: Passage, client: Stream, server: Stream) -> None:
        forth = asyncio.ensure_future(self._forth(client[0], server[1], passage))
        back = asyncio.ensure_future(self._back(server[0], client[1], passage))
        try:
            await asyncio.wait((forth, back), return_when=asyncio.FIRST_COMPLETED)
            if back.done() and back.exception() is None and back.result():
                await forth  # only the client can end it now
        finally:
            for task in (forth, back):
                task.cancel()
            await asyncio.gather(forth, back, return_exceptions=True)

    async def _forth(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passage: Passage
    ) -> None:
        while data := await self._read(reader):
            if not passage.swallowed:
                await _send(writer, passage, data)

    async def _back(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passage: Passage
    ) -> bool:
        """Hand answers back until a fault strikes; True where the connection stays, mute."""
        while data := await self._read(reader):
            fault = self.choose()
            passage.faults.append(fault)
            match fault.harm:
                case Harm.NONE | Harm.LATENCY:
                    await asyncio.sleep(fault.seconds)
                    await _say(writer, passage, data)
                case Harm.DRIP:
                    for position in range(len(data)):
                        await _say(writer, passage, data[position : position + 1])
                        await asyncio.sleep(fault.seconds)
                case _:
                    passage.swallowed = fault.harm is Harm.BLACK_HOLE
                    await _say(writer, passage, data[: fault.after])
                    return _struck(writer, fault.harm)
        return False


async def _send(writer: asyncio.StreamWriter, passage: Passage, data: bytes) -> None:
    passage.forth += data
    writer.write(data)
    await writer.drain()


def _struck(writer: asyncio.StreamWriter, harm: Harm) -> bool:
    match harm:
        case Harm.RESET:
            raw: socket.socket = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        case Harm.HALF_CLOSE:
            writer.write_eof()
            return True
        case Harm.BLACK_HOLE:
            return True
        case _:
            writer.close()
            return False


async def _say(writer: asyncio.StreamWriter, passage: Passage, data: bytes) -> None:
    if writer.is_closing():
        raise ConnectionResetError
    writer.write(data)
    await writer.drain()
    passage.back += data
