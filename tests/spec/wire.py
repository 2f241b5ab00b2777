"""The other end of the wire: an application's server that keeps every byte, and obeys its script.

It speaks raw TCP or TLS on loopback, a thread for each connection, and knows no HTTP library, so
that nothing is tidied up before a test sees it. What it answers is scripted by what a token is
about: its ``sid``, or its ``sub``.
"""

import contextlib
import json
import socket
import ssl
import threading
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

PATIENCE_SECONDS = 15.0
"""How long anything is waited for before the test fails."""
_END_OF_HEAD = b"\r\n\r\n"

Script: TypeAlias = Callable[[socket.socket], None]
"""What to do with a connection whose request has been read."""


@dataclass(frozen=True)
class Capture:
    """One request exactly as it came in: its head up to the empty line, and its body."""

    head: bytes
    body: bytes
    path: str
    at: float
    number: int
    connection: int
    tls_version: str | None
    cipher: str | None

    @property
    def request_line(self) -> str:
        """The first line."""
        return self.head.split(b"\r\n", 1)[0].decode("latin-1")

    def values(self, name: str) -> list[str]:
        """Return the values of all fields called *name*."""
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        fields = [line.partition(":") for line in lines if line]
        return [value.strip() for field, _, value in fields if field.lower() == name.lower()]

    @cached_property
    def form(self) -> list[tuple[str, str]]:
        """The parameters of the body."""
        return parse_qsl(self.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)

    @property
    def token(self) -> str:
        """The logout token."""
        return dict(self.form)["logout_token"]

    @cached_property
    def unverified_claims(self) -> dict[str, Any]:
        """What the token claims, to find it by; a test reads claims only after verification."""
        payload = self.token.split(".")[1]
        claims: dict[str, Any] = json.loads(urlsafe_b64decode(payload + "=="))
        return claims

    def is_about(self, about: str, client_id: str | None = None) -> bool:
        """Whether the token names *about* as its ``sid`` or ``sub``, and is for *client_id*."""
        with contextlib.suppress(ValueError, KeyError, IndexError):
            claims = self.unverified_claims
            addressed = client_id is None or claims.get("aud") in (client_id, [client_id])
            return addressed and about in (claims.get("sid"), claims.get("sub"))
        return False


def replies(status: int, body: bytes = b"", **fields: str) -> Script:
    """Answer with a whole response; ``retry_after="5"`` becomes ``retry-after: 5``."""
    fields.setdefault("content_length", str(len(body)))
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    response = f"HTTP/1.1 {status} Any\r\n{lines}\r\n".encode() + body
    return lambda connection: connection.sendall(response)


def hangs_up(connection: socket.socket) -> None:
    """Close the connection instead of answering: the answer is lost."""
    connection.shutdown(socket.SHUT_RDWR)


class Held:
    """Answers only when it is released, and can tell whether the other side still waits."""

    def __init__(self) -> None:
        self.holding = threading.Event()
        self._released = threading.Event()
        self._connection: socket.socket | None = None

    def __call__(self, connection: socket.socket) -> None:
        """Hold the request."""
        self._connection = connection
        self.holding.set()
        self._released.wait(PATIENCE_SECONDS)
        replies(200)(connection)

    @property
    def other_side_waits(self) -> bool:
        """Whether the request has neither been answered nor given up."""
        assert self._connection is not None
        if self._released.is_set():
            return False
        try:
            return self._connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True

    def release(self) -> None:
        """Answer now."""
        self._released.set()


def meets(barrier: threading.Barrier) -> Script:
    """Answer 200 once as many requests as the barrier has parties are unanswered at once."""

    def script(connection: socket.socket) -> None:
        try:
            barrier.wait()
        except threading.BrokenBarrierError:
            replies(400)(connection)
        else:
            replies(200)(connection)

    return script


class RecordingRp:
    """Listens on loopback until it is closed."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.failed_handshakes: list[str] = []
        self._tls = tls
        self._captures: list[Capture] = []
        self._changed = threading.Condition()
        self._scripts: dict[str, list[Script]] = {}
        self._connections: set[socket.socket] = set()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def uri(self, rest: str = "/logout") -> str:
        """Return a URI of this server, byte for byte with *rest* after the port."""
        scheme = "https" if self._tls else "http"
        return f"{scheme}://127.0.0.1:{self.port}{rest}"

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._listening.getsockname()[1])

    def answers(self, about: str, *scripts: Script) -> None:
        """Play *scripts* in turn to tokens about that ``sid`` or ``sub``; the last one repeats."""
        self._scripts[about] = list(scripts)

    def about(
        self, about: str, *, client_id: str | None = None, path: str | None = None
    ) -> list[Capture]:
        """Return what has come in so far about that ``sid`` or ``sub``, oldest first."""
        return [
            capture
            for capture in self._captures
            if capture.is_about(about, client_id) and path in (None, capture.path)
        ]

    def receives(
        self,
        about: str,
        *,
        count: int = 1,
        client_id: str | None = None,
        path: str | None = None,
    ) -> list[Capture]:
        """Wait until *count* requests have come in about that ``sid`` or ``sub``."""

        def found() -> list[Capture]:
            return self.about(about, client_id=client_id, path=path)

        with self._changed:
            came = self._changed.wait_for(lambda: len(found()) >= count, PATIENCE_SECONDS)
        assert came, f"{len(found())} of {count} requests came, of {len(self._captures)} in all"
        return found()

    def everything(self) -> list[Capture]:
        """Return every request that has come in."""
        return list(self._captures)

    def close(self) -> None:
        """End every connection, and listen no more."""
        self._listening.shutdown(socket.SHUT_RDWR)
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
        self._listening.close()

    def _accept(self) -> None:
        """Serve each connection on a thread of its own."""
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                number = len(self._threads)
                thread = threading.Thread(
                    target=self._serve, args=(connection, number), daemon=True
                )
                self._threads.append(thread)
                thread.start()

    def _serve(self, raw: socket.socket, number: int) -> None:
        """Keep each request of a connection, and play its script."""
        with self._secured(raw) as connection:
            if connection is None:
                return
            self._connections.add(connection)
            with contextlib.suppress(OSError, EOFError):
                while True:
                    capture = self._read(connection, number)
                    script = self._script_for(capture)
                    self._keep(capture)
                    script(connection)
            self._connections.discard(connection)

    @contextlib.contextmanager
    def _secured(self, raw: socket.socket) -> Iterator[socket.socket | None]:
        """Lend the connection, after the handshake where this server speaks TLS."""
        with raw:
            if self._tls is None:
                yield raw
                return
            try:
                secured = self._tls.wrap_socket(raw, server_side=True)
            except OSError as error:
                with self._changed:
                    self.failed_handshakes.append(str(error))
                    self._changed.notify_all()
                yield None
                return
            with secured:
                yield secured

    def fails_a_handshake(self) -> str:
        """Wait until a TLS handshake has failed, and return why."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.failed_handshakes, PATIENCE_SECONDS)
        return self.failed_handshakes[0]

    def _keep(self, capture: Capture) -> None:
        """Write a request down, and tell whoever waits for it."""
        with self._changed:
            self._captures.append(capture)
            self._changed.notify_all()

    def _script_for(self, capture: Capture) -> Script:
        """Return what to do with a request: 200, unless something else was scripted."""
        for about, scripts in self._scripts.items():
            if capture.is_about(about):
                return scripts.pop(0) if len(scripts) > 1 else scripts[0]
        return replies(200)

    def _read(self, connection: socket.socket, number: int) -> Capture:
        """Read one request; raise EOFError where there is none any more."""
        buffer = _received(connection, b"", lambda read: _END_OF_HEAD in read)
        head, _, rest = buffer.partition(_END_OF_HEAD)
        at = time.time()
        body = _received(connection, rest, _ending_of(head))
        encrypted = connection if isinstance(connection, ssl.SSLSocket) else None
        cipher = encrypted.cipher() if encrypted else None
        return Capture(
            head=head + _END_OF_HEAD,
            body=body,
            path=head.split(b" ", 2)[1].decode("latin-1"),
            at=at,
            number=len(self._captures),
            connection=number,
            tls_version=encrypted.version() if encrypted else None,
            cipher=cipher[0] if cipher else None,
        )


def _received(connection: socket.socket, read: bytes, complete: Callable[[bytes], bool]) -> bytes:
    """Read on until it is *complete*."""
    while not complete(read):
        piece = connection.recv(65536)
        if not piece:
            raise EOFError
        read += piece
    return read


def _ending_of(head: bytes) -> Callable[[bytes], bool]:
    """Return what tells that the body is whole: its length, or else its last chunk."""
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return lambda read: len(read) >= int(value)
        if name == b"transfer-encoding":
            return lambda read: read.endswith(b"0\r\n\r\n")
    return lambda _: True
