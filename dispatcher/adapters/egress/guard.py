"""The address guard: the only place from which an application's server is dialled.

A name is resolved once, every address is judged, and a literal address that was judged is dialled:
between check and connect there is no second look-up that could answer differently (DNS rebinding).
Where one address of a name is forbidden the whole name is, since whoever mixes them is up to
something. A literal host in a URI takes the same way, in whatever form ``getaddrinfo`` reads.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from dispatcher.adapters.egress.addresses import Address, EgressPolicy, Network, canonical
from dispatcher.adapters.egress.failures import EXHAUSTED, Failure, OwnTrouble, failure_of
from dispatcher.adapters.egress.resolver import Resolver
from dispatcher.domain.deliveries import Cause

Dial: TypeAlias = Callable[[str, int], Awaitable[socket.socket]]
"""Connects a TCP socket to a literal address and a port; raises OSError."""


async def dial_literal(address: str, port: int) -> socket.socket:
    """Connect to *address*, a literal: nothing is looked up here."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(0)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(connection, (address, port))
    except BaseException:
        connection.close()
        raise
    return connection


class Guard:
    """Judges and dials, for one deployment."""

    def __init__(
        self, policy: EgressPolicy, resolver: Resolver, *, dial: Dial = dial_literal
    ) -> None:
        self._policy = policy
        self._resolver = resolver
        self._dial = dial

    async def connect(
        self, host: str, port: int, *, allow: Sequence[Network], deadline: float
    ) -> socket.socket:
        """Return a connected socket to an address of *host* that may be dialled, or raise Failure.

        The addresses are tried in order; each may take an equal share of what is left until
        *deadline* (the loop's time), so that a dead first one leaves room for the second. What the
        last one failed of is told, unless that was ours and another one's was not.
        """
        addresses = await self._judged(host, allow, deadline)
        failure: Failure | None = None
        for others in reversed(range(len(addresses))):
            address = addresses[-1 - others]
            # The last one may take all that is left: whoever waits for the attempt ends it.
            share = _left(deadline) / (others + 1) if others else None
            try:
                async with asyncio.timeout(share):
                    return await self._dial_checked(address, port)
            except OSError as error:  # a TimeoutError is one, ours or the system's
                found = failure_of(error, otherwise=Cause.CONNECT)
                if error.errno in EXHAUSTED:
                    raise found from error
                # Where we have no IPv6, say, it is still the IPv4 address that did not answer.
                failure = found if failure is None or not isinstance(found, OwnTrouble) else failure
        raise failure or Failure(Cause.DNS, "the name has no address")

    async def _judged(
        self, host: str, allow: Sequence[Network], deadline: float
    ) -> Sequence[Address]:
        """Return the addresses of *host*, all of which may be dialled."""
        # Half of the time at most, so that an older answer can still be dialled.
        texts = await self._resolver.addresses(host, within=_left(deadline) / 2)
        addresses = list(dict.fromkeys(map(canonical, texts)))
        for address in addresses:
            if self._policy.objection(address, allow=allow):
                raise Failure(Cause.BLOCKED, f"an address that is not allowed ({_kind(address)})")
        return addresses

    async def _dial_checked(self, address: Address, port: int) -> socket.socket:
        connection = await self._dial(str(address), port)
        with contextlib.ExitStack() as undo:
            undo.callback(connection.close)
            # The kernel has the last word on where the socket ended up.
            if canonical(connection.getpeername()[0]) != address:
                raise Failure(Cause.BLOCKED, "another address answered than was dialled")
            undo.pop_all()
        return connection


def _kind(address: Address) -> str:
    """Return the kind of network that *address* is of.

    No more is told: whoever registers a URI learns so not what our name servers say of our network.
    """
    kinds = {
        "loopback": address.is_loopback,
        "unspecified": address.is_unspecified,
        "link-local": address.is_link_local,
        "multicast": address.is_multicast,
        "private": address.is_private,
    }
    return next((kind for kind, is_so in kinds.items() if is_so), "reserved")


def _left(deadline: float) -> float:
    return max(0.0, deadline - asyncio.get_running_loop().time())
