"""Sick applications, on loopback alone, and how they get well again."""

import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress

from tests.kit.rp_server import RpServer, Script, answers

_BACKLOG = 0
"""The kernel takes one connection more than this without anybody accepting it."""
_SETTLES_SECONDS = 5.0


@asynccontextmanager
async def servers(scripts: Mapping[str, Script]) -> AsyncIterator[dict[str, RpServer]]:
    """Run a server for each script, by name."""
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(RpServer(script))
            for name, script in scripts.items()
        }


@asynccontextmanager
async def healed(
    sick: Mapping[str, RpServer], dead_ports: Mapping[str, int]
) -> AsyncIterator[dict[str, RpServer]]:
    """Let each server answer well from now on, and open one on each port where there was none.

    Yields the opened ones, by the names of the ports.
    """
    for server in sick.values():
        server.script = answers(200)
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(RpServer(answers(200), port=port))
            for name, port in dead_ports.items()
        }


@contextmanager
def black_hole() -> Iterator[int]:
    """Yield a port where connections are neither taken nor refused: its queue is full.

    Whoever dials it waits, as for an address whose packets a firewall drops.
    """
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(_BACKLOG)
        address = listening.getsockname()
        deadline = time.monotonic() + _SETTLES_SECONDS
        while _is_taken(stack, address):
            if time.monotonic() > deadline:
                raise RuntimeError("the queue of connections does not fill")
        yield int(address[1])


def _is_taken(stack: ExitStack, address: tuple[str, int]) -> bool:
    """Dial *address* and keep what is dialled; tell whether the connection came about."""
    filling = stack.enter_context(socket.socket())
    filling.settimeout(0.2)
    with suppress(TimeoutError):
        filling.connect(address)
        return True
    return False
