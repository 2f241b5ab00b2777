"""Which addresses a logout token may be carried to.

Three lists, asked in this order: what no setting can ever open, what the operator opened, and what
is closed by default. The default list is written out and ``is_global`` is asked as well, since the
answer of ``is_global`` differs between Python versions and is True for multicast, 6to4, NAT64 and
several clouds' metadata services.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Literal, Self, TypeAlias, get_args

from dispatcher.domain.errors import Fault, InvalidSettings

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(ip_network(line) for line in text.split())


NEVER = _networks("""
    0.0.0.0/8 169.254.0.0/16 168.63.129.16/32 100.100.100.200/32 192.0.0.192/32 224.0.0.0/4
    ::/128 fe80::/10 fd00:ec2::/32 fd20:ce::254/128 fd00:42::42/128 ff00::/8
""")
"""Unspecified, link-local, multicast and metadata addresses: no allow-list opens them."""

PRIVATE = _networks("10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7")
"""RFC 1918 and RFC 4193: what the mode ``private`` opens."""

CLOSED = _networks("""
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 168.63.129.16/32 169.254.0.0/16 172.16.0.0/12
    192.0.0.0/24 192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16
    192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
    ::/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/23
    2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10
    ff00::/8
""")
"""Everything that is not plainly a host on the internet; a table that five guards agree on."""

_EMBEDDING = _networks("::/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48")
"""IPv6 ranges whose last 32 bits are the IPv4 address that a translator dials in the end."""


EgressMode: TypeAlias = Literal["public", "private"]
"""How far logout tokens may travel without an allow-list."""


def canonical(text: str) -> Address:
    """Return the address that *text* names, without its zone and out of its IPv4-mapped form.

    Raises ValueError where *text* is no address.
    """
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def parse_networks(texts: Iterable[str], *, field: str) -> tuple[tuple[Network, ...], list[Fault]]:
    """Read CIDRs; each one that is none, or can open nothing, is a fault of ``field[index]``."""
    networks: list[Network] = []
    faults: list[Fault] = []
    for index, text in enumerate(texts):
        try:
            networks.append(_open_network(text))
        except ValueError as error:
            faults.append(Fault(f"{field}[{index}]", str(error)))
    return tuple(networks), faults


def _open_network(text: str) -> Network:
    """Read one CIDR; what lies in it and may never be opened stays closed."""
    try:
        network = ip_network(text.strip())
    except ValueError as error:
        raise ValueError(f"must be a CIDR such as 10.20.0.0/16 ({error})") from error
    if closed := next((never for never in NEVER if _within(network, never)), None):
        raise ValueError(f"lies in {closed}, which nothing opens")
    return network


def _within(network: Network, other: Network) -> bool:
    return (
        network.version == other.version
        and network.network_address in other
        and network.prefixlen >= other.prefixlen
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressPolicy:
    """Where this deployment lets logout tokens go."""

    mode: EgressMode = "public"
    allow: tuple[Network, ...] = ()
    allow_http: bool = False

    @classmethod
    def from_text(cls, mode: str, allow_texts: Iterable[str], allow_http: bool) -> Self:  # noqa: FBT001 - a setting's plain value
        """Read the deployment's settings; raise InvalidSettings naming each one that is wrong."""
        allow, faults = parse_networks(allow_texts, field="DISPATCHER_EGRESS_ALLOW")
        known = next((known for known in get_args(EgressMode) if known == mode), None)
        if known is None:
            faults.append(Fault("DISPATCHER_EGRESS", "must be public or private"))
        if known is None or faults:
            raise InvalidSettings(faults)
        return cls(mode=known, allow=allow, allow_http=allow_http)

    def objection(self, address: Address, *, allow: Sequence[Network] = ()) -> str | None:
        """Return why *address* (canonical) may not be dialled, or None; *allow* opens more."""
        for alias in (address, *_embedded(address)):
            if closed := _first(NEVER, alias):
                return f"{address} is in {closed}, which nothing opens"
        if _first(self.allow, address) or _first(allow, address):
            return None
        if self.mode == "private" and _first(PRIVATE, address):
            return None
        if closed := _first(CLOSED, address):
            return f"{address} is in {closed}"
        return None if address.is_global else f"{address} is not a public address"


def _first(networks: Iterable[Network], address: Address) -> Network | None:
    return next((network for network in networks if address in network), None)


def _embedded(address: Address) -> Iterator[IPv4Address]:
    """Yield the IPv4 addresses that a packet to *address* may end at (NAT64, 6to4, Teredo…)."""
    if isinstance(address, IPv4Address):
        return
    # ::1 and :: are hosts of their own, not IPv4 addresses in the old compatible form.
    if int(address) > 1 and _first(_EMBEDDING, address):
        yield IPv4Address(int(address) & 0xFFFFFFFF)
    if address.sixtofour:
        yield address.sixtofour
    if address.teredo:
        yield address.teredo[1]
