"""One connection to an application's server, and the POSTs that go over it one after another."""

import asyncio
import socket
import ssl
from typing import cast

from dispatcher.adapters.egress.answer import Answer
from dispatcher.adapters.egress.failures import require_a_file

IDLE_SECONDS, AGE_SECONDS = 30.0, 300.0
"""How long a connection waits for its next POST, and how long it lives: its address was checked
when it was dialled, and a check should not be trusted for long."""


class Connection(asyncio.Protocol):
    """A connection: ``post`` writes a request and waits for the end of its answer.

    ``error`` is what the connection ended with, if it ended by an error.
    """

    __slots__ = ("_answer", "_done", "_loop", "_transport", "born", "closed", "error", "idle_since")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.closed = False
        self.error: Exception | None = None
        self.born = self.idle_since = loop.time()
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._answer: Answer | None = None
        self._done: asyncio.Future[None] | None = None

    async def secure(self, context: ssl.SSLContext, server_name: str) -> None:
        """Greet *server_name* in TLS, and speak nothing else from now on; raise OSError.

        ``create_connection(ssl=…)`` would do in one step what takes two here, but where it is
        cancelled before the handshake has begun asyncio (of Python 3.11) leaves its socket open.
        """
        plain = self._transport
        if self.closed or plain is None:
            raise ConnectionResetError
        try:
            require_a_file()
            self._transport = await self._loop.start_tls(
                plain, self, context, server_hostname=server_name
            )
        except BaseException:
            self.abort()
            raise

    async def post(self, request: bytes, answer: Answer, *, deadline: float) -> None:
        """Send *request* and fill *answer*; return when it has ended or the connection has.

        Raises TimeoutError at *deadline*, a time of the loop's.
        """
        assert self._transport is not None  # noqa: S101 - connection_made came before
        self._answer = answer
        self._done = self._loop.create_future()
        # A bare timer: asyncio's own time-outs, which can cancel anything, cost five of these.
        timer = self._loop.call_at(deadline, self._finish, TimeoutError())
        self._transport.write(request)
        try:
            await self._done
        finally:
            timer.cancel()
            self._answer = None
            self.idle_since = self._loop.time()

    def fit(self, now: float) -> bool:
        """Whether another POST may go over this connection, as far as can be known."""
        return (
            not self.closed
            and now - self.idle_since < IDLE_SECONDS
            and now - self.born < AGE_SECONDS
        )

    def abort(self) -> None:
        """Close at once, without a word: what is open is either over or not worth one."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    # What follows is called by the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Feed the answer; what nobody asked for ends the connection."""
        if self._answer is None:
            self.abort()
        elif self._answer.feed(data):
            self._answer = None
            self._finish()

    def eof_received(self) -> None:
        """Take no further POST; the transport closes itself."""
        self.closed = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end, and tell whoever waits for an answer."""
        self.closed = True
        self.error = exc
        self._finish()

    def _finish(self, error: Exception | None = None) -> None:
        if self._done is None or self._done.done():
            return
        if error is None:
            self._done.set_result(None)
        else:
            self._done.set_exception(error)


async def open_connection(
    raw: socket.socket, context: ssl.SSLContext | None, server_name: str
) -> Connection:
    """Make a connection of a connected socket; with *context*, greet *server_name* in TLS first."""
    loop = asyncio.get_running_loop()
    try:
        _, connection = await loop.create_connection(lambda: Connection(loop), sock=raw)
    except BaseException:
        raw.close()
        raise
    if context is not None:
        await connection.secure(context, server_name)
    return connection
