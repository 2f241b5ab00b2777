"""Connections: how much of them is kept, and for how long, before anybody has read a request."""

from asyncio import TimerHandle, Transport

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MOST_CONNECTIONS = 2048
"""Of one listener; whoever comes beyond that is answered 503."""
MOST_HEADER_BYTES = 1 << 16
REQUEST_SECONDS = 10.0
"""How long a request may take to come, beyond what it takes to answer it."""


class HeaderTooLarge(Exception):
    """What the parser is stopped with; the server answers 400 and closes the connection."""


class BoundedProtocol(HttpToolsProtocol):
    """The server's own protocol, which by itself waits for any header, however large, for ever.

    It forgets its own deadline of a connection that is not used as soon as anything comes, be it a
    blank line.
    """

    _unread = 0
    """Bytes since the last request or piece of a body: what the parser still gathers."""
    _late: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless what is being gathered has become too large."""
        self._unread += len(data)
        if self._late is None:
            self._wait()
        super().data_received(data)
        if self._unread > MOST_HEADER_BYTES:
            self.transport.close()

    def on_headers_complete(self) -> None:
        """Take a header that is whole, which may have come all at once."""
        fields = sum(len(name) + len(value) for name, value in self.headers)
        if len(self.url) + fields > MOST_HEADER_BYTES:
            raise HeaderTooLarge
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body, which is bounded where it is read."""
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Take the end of a request."""
        self._unread = 0
        self._came()
        super().on_message_complete()

    def _wait(self) -> None:
        self._late = self.loop.call_later(REQUEST_SECONDS, self._give_up)

    def _came(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        # What is being answered has a deadline of its own, and the next one is not read meanwhile.
        if _is_open(self.cycle):
            self._wait()
        else:
            self.transport.close()


def _is_open(cycle: RequestResponseCycle | None) -> bool:
    return cycle is not None and not cycle.response_complete
