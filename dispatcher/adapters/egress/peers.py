"""Applications as the sender knows them: their TLS context, allow-list and pools.

All of it is made from one ``Application`` and thrown away when that changes, connections included:
what was authorised under the old record must not carry a token under the new one.
"""

import contextlib
import ssl
from collections.abc import Sequence
from urllib.parse import urlsplit

from dispatcher.adapters.egress.addresses import (
    EgressPolicy,
    Network,
    canonical,
    parse_networks,
)
from dispatcher.adapters.egress.failures import OwnTrouble
from dispatcher.adapters.egress.pool import Pool
from dispatcher.adapters.egress.target import Origin
from dispatcher.adapters.egress.tls import context_of
from dispatcher.domain.applications import Application
from dispatcher.domain.deliveries import Cause
from dispatcher.domain.errors import Fault, InvalidApplication, Unavailable

FORGET_SECONDS = 600.0
"""An application that nothing was sent to for so long is read again when something is."""
ALLOW_FIELD = "logout_delivery.allow_addresses"


def check_application(application: Application, policy: EgressPolicy) -> list[Fault]:
    """Return what would keep every token from *application*, so that its owner learns it at once.

    Bad CIDRs, certificates and keys, and URIs with a literal address that *policy* keeps closed.
    Raises Unavailable where this process can open no more files.
    """
    allow, faults = parse_networks(application.delivery.allow_addresses, field=ALLOW_FIELD)
    try:
        context_of(application)
    except InvalidApplication as error:
        faults += error.faults
    return faults + _closed_literals(application, policy, allow)


def _closed_literals(
    application: Application, policy: EgressPolicy, allow: Sequence[Network]
) -> list[Fault]:
    """Return a fault for each URI whose host is a literal address that is not open."""
    faults: list[Fault] = []
    for index, uri in enumerate(application.urls):
        with contextlib.suppress(ValueError):  # a name, which is judged when it is dialled
            if objection := policy.objection(canonical(urlsplit(uri).hostname or ""), allow=allow):
                faults.append(Fault(f"oidc_logout.backchannel_logout_urls[{index}]", objection))
    return faults


class Peer:
    """One application; raises OwnTrouble where its record can not be used."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.used_at = 0.0
        self.closed = False
        self.allow: Sequence[Network]
        self.allow, faults = parse_networks(application.delivery.allow_addresses, field=ALLOW_FIELD)
        if faults:
            raise OwnTrouble(Cause.INTERNAL, str(faults[0]))
        self._context: ssl.SSLContext | None = None
        self._pools: dict[Origin, Pool] = {}

    def still(self, application: Application) -> bool:
        """Whether *application* is what this was made from, as far as it matters here."""
        if self.application is application:
            return True
        same = (
            self.application.delivery == application.delivery
            and self.application.client_key_pem == application.client_key_pem
        )
        if same:
            self.application = application
        return same

    def pool(self, origin: Origin) -> Pool:
        """Return the connections to *origin*."""
        return self._pools.get(origin) or self._pools.setdefault(origin, Pool())

    @property
    def context(self) -> ssl.SSLContext:
        """The TLS context, made when it is first needed; raises OwnTrouble where it can not be."""
        if self._context is None:
            try:
                self._context = context_of(self.application)
            except (InvalidApplication, Unavailable) as error:
                raise OwnTrouble(Cause.INTERNAL, str(error)) from error
        return self._context

    def sweep(self, now: float) -> bool:
        """Close what has been kept for too long; return whether this peer can be forgotten."""
        for origin, pool in list(self._pools.items()):
            pool.sweep(now)
            if pool.empty:
                del self._pools[origin]
        return not self._pools and now - self.used_at > FORGET_SECONDS

    def close(self) -> None:
        """Close all connections that are kept, and keep none from now on."""
        self.closed = True
        for pool in self._pools.values():
            pool.close()


class Peers:
    """All applications that something was sent to lately."""

    def __init__(self) -> None:
        self._peers: dict[str, Peer] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def of(self, application: Application, now: float) -> Peer:
        """Return the peer of *application*, made anew where its record has changed."""
        peer = self._peers.get(application.client_id)
        if peer is None or not peer.still(application):
            if peer is not None:
                self._peers.pop(application.client_id).close()
            peer = self._peers[application.client_id] = Peer(application)
        peer.used_at = now
        return peer

    def sweep(self, now: float) -> None:
        """Close and forget what is no longer used."""
        for client_id, peer in list(self._peers.items()):
            if peer.sweep(now):
                del self._peers[client_id]

    def close(self) -> None:
        """Close everything that is kept."""
        for peer in self._peers.values():
            peer.close()
        self._peers.clear()
