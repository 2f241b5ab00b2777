"""What the service listens on: its sockets, and the web server within our own process."""

import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network, IPv6Network
from typing import TypeAlias

import uvicorn
from starlette.types import ASGIApp

from dispatcher.domain.errors import Fault, InvalidSettings
from dispatcher.settings import Settings
from dispatcher.settings.environment import Listen
from dispatcher.web.connections import MOST_CONNECTIONS, BoundedProtocol

Network: TypeAlias = IPv4Network | IPv6Network

UNREAD_SECONDS = 30
"""How long an answer may wait for whoever asked to read any of it."""


class Server(uvicorn.Server):
    """uvicorn within our own process: the signals are ours."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone; ``serve`` minds them."""
        yield


def server_config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    """Return how uvicorn serves *app*: no signals, no logs and no headers of its own."""
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        limit_concurrency=MOST_CONNECTIONS,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=[*_written(settings.trusted_proxies)],
        timeout_graceful_shutdown=max(1, int(settings.grace.total_seconds())),
    )


def _written(networks: Iterable[Network]) -> Iterator[str]:
    """Write networks down, those of IPv4 also as who listens on both families sees them."""
    for network in networks:
        yield str(network)
        if isinstance(network, IPv4Network):
            yield f"::ffff:{network.network_address}/{96 + network.prefixlen}"


@contextmanager
def bound_sockets(settings: Settings) -> Iterator[list[socket.socket]]:
    """Bind what is to be listened on, so that a port in use stops the start with its name."""
    wanted = {"DISPATCHER_LISTEN": settings.listen}
    if settings.management_listen is not None:
        wanted["DISPATCHER_MANAGEMENT_LISTEN"] = settings.management_listen
    sockets: list[socket.socket] = []
    try:
        for name, listen in wanted.items():
            sockets.append(_bind(name, listen))
        yield sockets
    finally:
        for bound in sockets:
            bound.close()


def _bind(name: str, listen: Listen) -> socket.socket:
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        _let_go_of_who_does_not_read(bound)
        bound.bind((listen.host, listen.port))
        bound.listen(2048)
    except OSError as error:
        bound.close()
        raise InvalidSettings([Fault(name, f"{listen}: {error.strerror or error}")]) from None
    bound.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    return bound


def _let_go_of_who_does_not_read(bound: socket.socket) -> None:
    """End connections whose peer takes nothing: no answer's end is waited for by anything else.

    They have it from the socket that they are accepted at, where the system can do it (Linux).
    """
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None:
        bound.setsockopt(socket.IPPROTO_TCP, option, UNREAD_SECONDS * 1000)


def url_of(bound: socket.socket) -> str:
    """Return the URL of what is served on a socket."""
    host, port = bound.getsockname()[:2]
    return f"http://{Listen(host, port)}"
