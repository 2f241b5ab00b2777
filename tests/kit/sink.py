"""A sink: applications' servers in one process, scripted to fail, which keep a history.

Run as ``python -m tests.kit.sink``: prints one JSON line ``{"ports": [...]}`` when it listens,
fails no more after a line ``heal`` on standard input, and ends when that closes. It writes one line
per token received to the history file: ``<unix time> <port> <status> <token>``. A status of 0 is a
lost reply: the token arrived, and the connection was closed without an answer. With ``--seconds``
each answer takes so long; the token is written down when it comes.
"""

import argparse
import asyncio
import json
import random
import socket
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TextIO, cast

import uvloop

_FIELD = b"logout_token="


class Sink(asyncio.Protocol):
    """One connection: reads requests one after another and answers each as the script says."""

    def __init__(self, port: int, script: "Script", history: TextIO | None) -> None:
        self._port = port
        self._script = script
        self._history = history
        self._buffer = b""
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's own transport, which is none of asyncio's classes.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            start = head.index(b"content-length:") + len(b"content-length:")
            length = int(head[start:].split(b"\r\n", 1)[0])
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            self._answer(body)

    def _answer(self, body: bytes) -> None:
        status = self._script.next()
        if self._history is not None:
            token = body.removeprefix(_FIELD).decode("ascii")
            self._history.write(f"{time.time():.6f} {self._port} {status} {token}\n")
        if self._script.seconds:
            loop = asyncio.get_running_loop()
            loop.call_later(self._script.seconds, self._reply, status)
        else:
            self._reply(status)

    def _reply(self, status: int) -> None:
        if status == 0:
            self._transport.close()
        elif not self._transport.is_closing():  # whoever asked may have gone meanwhile
            self._transport.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)


class Script:
    """What is answered after so many seconds: 200, but for shares of 503 and of lost replies."""

    def __init__(self, *, unavailable: float, lost: float, seconds: float, seed: int) -> None:
        self.seconds = seconds
        self._unavailable = unavailable
        self._lost = lost
        self._dice = random.Random(seed)

    def heal(self) -> None:
        """Answer 200 from now on."""
        self._unavailable = self._lost = 0.0

    def next(self) -> int:
        """Return the next status."""
        roll = self._dice.random()
        if roll < self._lost:
            return 0
        return 503 if roll < self._lost + self._unavailable else 200


async def serve(ports: Sequence[int], script: Script, history: TextIO | None) -> None:
    """Listen on *ports* (0: any free one) of loopback until standard input closes."""
    loop = asyncio.get_running_loop()
    bound: list[int] = []
    for wanted in ports:
        listening = socket.create_server(("127.0.0.1", wanted), backlog=1024)
        number = listening.getsockname()[1]
        await loop.create_server(partial(Sink, number, script, history), sock=listening)
        bound.append(number)
    print(json.dumps({"ports": bound}), flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        if line.strip() == "heal":
            script.heal()


def main() -> None:
    """Run a sink as a process of its own."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--applications", type=int, default=1)
    arguments.add_argument("--unavailable", type=float, default=0.0)
    arguments.add_argument("--lost", type=float, default=0.0)
    arguments.add_argument("--seconds", type=float, default=0.0)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--history", type=Path)
    wanted = arguments.parse_args()
    script = Script(
        unavailable=wanted.unavailable, lost=wanted.lost, seconds=wanted.seconds, seed=wanted.seed
    )
    history = wanted.history.open("a", buffering=1) if wanted.history else None
    uvloop.run(serve([0] * wanted.applications, script, history))


if __name__ == "__main__":
    main()
