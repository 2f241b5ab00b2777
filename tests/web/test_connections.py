"""Connections: a header that comes all at once is bounded as one that comes little by little."""

import asyncio
from typing import Any

import pytest
import uvicorn
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from dispatcher.web.connections import MOST_HEADER_BYTES, BoundedProtocol


class Line(asyncio.Transport):
    """A connection that keeps what is written, and whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        """Keep *data*."""
        self.written += data

    def close(self) -> None:
        """Be closed."""
        self.closed = True

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.closed


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer that there is nothing."""
    await Response(status_code=204)(scope, receive, send)


def a_header(size: int) -> bytes:
    """Return a request whose path and fields have *size* bytes, in fields of up to 1000."""
    wholes, rest = divmod(size - len("/livez"), 1000)
    lengths = [1000] * wholes + [rest] * (rest > 0)
    fields = [b"X" + b":" + b"x" * (length - 1) for length in lengths]
    return b"GET /livez HTTP/1.1\r\n" + b"\r\n".join(fields) + b"\r\n\r\n"


@pytest.mark.parametrize(("over", "closed"), [(0, False), (1, True)])
async def test_a_header_that_comes_at_once_is_bounded(
    over: int,
    closed: bool,  # noqa: FBT001 - a parameter of the test's table
) -> None:
    """A header block that is over the bound is answered 400, and starts nothing."""
    config = uvicorn.Config(nothing, lifespan="off", ws="none", log_config=None)
    protocol, line = BoundedProtocol(config, ServerState(), {}), Line()
    protocol.connection_made(line)

    protocol.data_received(a_header(MOST_HEADER_BYTES + over))

    assert (line.closed, line.written.startswith(b"HTTP/1.1 400")) == (closed, closed)
    assert (protocol.cycle is None) is closed
    await asyncio.gather(*protocol.tasks)
    protocol.connection_lost(ConnectionResetError())
