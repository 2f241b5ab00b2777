"""What may lie between a service and its server: it carries everything, or lets nothing through."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream


@dataclass
class Gap:
    """A port of loopback that leads to the socket at *path*; while it is ``mute``, into nothing.

    Nobody is refused and nothing is closed then: connections are taken, and what is sent into them
    goes nowhere, as where a cable is cut.
    """

    path: Path
    port: int = 0
    mute: bool = False
    carried: int = field(default=0)

    async def serve(self, stream: SocketStream) -> None:
        """Carry one connection."""
        async with AsyncExitStack() as both, anyio.create_task_group() as ways:
            await both.enter_async_context(stream)
            server = await both.enter_async_context(await anyio.connect_unix(self.path))
            ways.start_soon(self._carry, stream, server)
            await self._carry(server, stream)
            ways.cancel_scope.cancel()

    async def _carry(self, one: ByteStream, other: ByteStream) -> None:
        try:
            async for chunk in one:
                if not self.mute:
                    self.carried += len(chunk)
                    await other.send(chunk)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return


@asynccontextmanager
async def a_gap(path: Path) -> AsyncIterator[Gap]:
    """Return a way to the socket at *path*."""
    gap = Gap(path)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    gap.port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - not Django's
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, gap.serve)
        yield gap
        tasks.cancel_scope.cancel()
