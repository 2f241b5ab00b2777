"""A producer: a source in a process of its own that sends signed webhooks, and keeps a history.

Run as ``python -m tests.kit.producer``: reads one JSON document from standard input,
``{"urls": [...], "secret", "connections", "bodies": [...], "rate"?, "patience"?}``, sends each body
as one webhook over keep-alive connections, repeats it until it is answered by 202 (a refused or
broken connection, 503 and no answer within *patience* seconds are tried again, at the next URL, as
a load balancer does), and prints ``{"accepted": [...ids], "event_ids": [...], "latencies": [...],
"sent": [...], "answered": [...], "refused": [[sent, status, seconds], ...], "started", "ended"}``:
what was accepted, item by item, and when, request by request, in seconds; what is no latency is the
wall's time. What was tried again is refused: its status is 0 where no answer came.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

import uvloop

_AGAIN_AFTER = 0.02
_TRIED_AGAIN = (0, 503)

Stream: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class History:
    """What was accepted, and when; and what was refused on the way there."""

    accepted: list[str] = field(default_factory=list)
    event_ids: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    refused: list[tuple[float, int, float]] = field(default_factory=list)


class Producer:
    """Sends webhooks, one after another on each connection."""

    def __init__(
        self,
        urls: Sequence[str],
        secret: str,
        *,
        rate: float | None = None,
        patience: float | None = None,
    ) -> None:
        self._urls = [urlsplit(url) for url in urls]
        self._key = base64.b64decode(secret.removeprefix("whsec_"))
        self._interval = 1 / rate if rate else 0.0
        self._next = 0.0
        self._patience = patience
        self.history = History()

    async def send_all(self, bodies: deque[str], connections: int) -> None:
        """Send everything in *bodies*."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(connections):
                tasks.create_task(self._connection(bodies, number % len(self._urls)))

    async def _connection(self, bodies: deque[str], place: int) -> None:
        """Send one webhook after another to the URL at *place*, and on from it to the next."""
        streams: dict[int, Stream] = {}
        while bodies:
            body = bodies.popleft().encode()
            await self._pace()
            while True:
                started = time.perf_counter()
                status, answer = await self._tried(streams, place, body)
                took = time.perf_counter() - started
                if status not in _TRIED_AGAIN:
                    break
                self.history.refused.append((time.time() - took, status, took))
                place = (place + 1) % len(self._urls)
                await asyncio.sleep(_AGAIN_AFTER)
            self._note(status, answer, took)
        for _, writer in streams.values():
            writer.close()

    async def _tried(
        self, streams: dict[int, Stream], place: int, body: bytes
    ) -> tuple[int, bytes]:
        """Send *body* once; what is not answered has the status 0, and costs the connection."""
        url = self._urls[place]
        try:
            async with asyncio.timeout(self._patience):
                if place not in streams:
                    streams[place] = await asyncio.open_connection(url.hostname, url.port)
                return await self._exchange(*streams[place], self._request(url, body))
        except (OSError, asyncio.IncompleteReadError):
            if place in streams:
                streams.pop(place)[1].close()
            return 0, b""

    async def _pace(self) -> None:
        if not self._interval:
            return
        now = time.perf_counter()
        self._next = max(self._next + self._interval, now)
        await asyncio.sleep(self._next - now)

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
    ) -> tuple[int, bytes]:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        lowered = head.lower()
        at = lowered.index(b"content-length:") + len(b"content-length:")
        length = int(lowered[at:].split(b"\r\n", 1)[0])
        return status, await reader.readexactly(length)

    def _request(self, url: SplitResult, body: bytes) -> bytes:
        webhook_id = hashlib.md5(body, usedforsecurity=False).hexdigest()
        timestamp = str(int(time.time()))
        signed = f"{webhook_id}.{timestamp}.".encode() + body
        signature = base64.b64encode(hmac.digest(self._key, signed, "sha256")).decode()
        return (
            f"POST {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"webhook-id: {webhook_id}\r\nwebhook-timestamp: {timestamp}\r\n"
            f"webhook-signature: v1,{signature}\r\n\r\n"
        ).encode() + body

    def _note(self, status: int, answer: bytes, took: float) -> None:
        if status != 202:
            raise RuntimeError(f"a webhook was answered by {status}: {answer[:300]!r}")
        receipt = json.loads(answer)
        receipts = receipt if isinstance(receipt, list) else [receipt]
        self.history.accepted += [one["id"] for one in receipts]
        self.history.event_ids += [one["event_id"] for one in receipts]
        answered = time.time()
        self.history.latencies.append(took)
        self.history.sent.append(answered - took)
        self.history.answered.append(answered)


def _number(order: dict[str, object], name: str) -> float | None:
    """Return what may be left out of an *order*."""
    value = order.get(name)
    return float(str(value)) if value else None


async def produce(order: dict[str, object]) -> dict[str, object]:
    """Carry out one *order*, and return its history."""
    urls, connections, bodies = order["urls"], order["connections"], order["bodies"]
    assert isinstance(urls, list)
    assert isinstance(connections, int)
    assert isinstance(bodies, list)
    producer = Producer(
        urls, str(order["secret"]), rate=_number(order, "rate"), patience=_number(order, "patience")
    )
    started = time.time()
    await producer.send_all(deque(bodies), connections)
    history = producer.history
    return {
        "accepted": history.accepted,
        "event_ids": history.event_ids,
        "latencies": history.latencies,
        "sent": history.sent,
        "answered": history.answered,
        "refused": history.refused,
        "started": started,
        "ended": time.time(),
    }


if __name__ == "__main__":
    told = json.dumps(uvloop.run(produce(json.load(sys.stdin))))
    # Not printed: with PYTHONUNBUFFERED, what a pipe does not take at once would be lost.
    with os.fdopen(sys.stdout.fileno(), "w", closefd=False) as output:
        output.write(told + "\n")
