"""Which addresses may be dialled: the table, the modes and the allow-lists."""

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.adapters.egress import EgressPolicy
from dispatcher.adapters.egress.addresses import CLOSED, NEVER, PRIVATE, Address, Network, canonical
from dispatcher.domain.errors import InvalidSettings

PUBLIC = EgressPolicy()
PRIVATE_TOO = EgressPolicy(mode="private")
EVERYTHING = EgressPolicy(mode="private", allow=(ip_network("0.0.0.0/0"), ip_network("::/0")))


def words(text: str) -> list[str]:
    """Return the words of *text*."""
    return text.split()


NEVER_VECTORS = words("""
    0.0.0.0 0.1.2.3 169.254.169.254 169.254.170.2 168.63.129.16 100.100.100.200 224.0.0.1
    239.255.255.255 :: fe80::1 febf::1 fd00:ec2::254 ff02::1 ff0e::1 ::ffff:169.254.169.254
    fd00:ec2::23 fd20:ce::254 fd00:42::42 192.0.0.192
    ::ffff:a9fe:a9fe fe80::1%eth0 64:ff9b::a9fe:a9fe 64:ff9b:1::a9fe:a9fe ::169.254.169.254
    ::ffff:0:169.254.169.254 2002:a9fe:a9fe::1 2001:0:4136:e378:8000:63bf:5601:5601
""")
CLOSED_VECTORS = words("""
    10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 127.0.0.1 127.255.255.254 100.64.0.1
    100.127.255.255 192.0.0.8 192.0.2.1 192.31.196.1 192.52.193.1 192.88.99.1 192.175.48.1
    198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 240.0.0.1 255.255.255.255 ::1 ::127.0.0.1
    ::ffff:10.0.0.1 ::ffff:127.0.0.1 ::ffff:0:10.0.0.1 64:ff9b::8.8.8.8 64:ff9b:1::1 100::1
    100:0:0:1::1 2001::1 2001:db8::1 2002::1 2620:4f:8000::1 3fff::1 5f00::1 fc00::1 fd12::1
    fec0::1
""")
PUBLIC_VECTORS = words("""
    8.8.8.8 1.1.1.1 9.255.255.255 11.0.0.0 172.15.255.255 172.32.0.0 192.167.255.255
    223.255.255.255 2606:4700:4700::1111 2a00:1450:4001::1 ::ffff:8.8.8.8 100.63.255.255 100.128.0.0
""")


def inside(networks: tuple[Network, ...]) -> st.SearchStrategy[Address]:
    """Draw an address out of one of *networks*."""
    return st.sampled_from(networks).flatmap(lambda network: st.ip_addresses(network=network))


@pytest.mark.parametrize("text", NEVER_VECTORS)
def test_never_opened(text: str) -> None:
    """Metadata, link-local, multicast and unspecified addresses stay closed whatever is allowed."""
    address = canonical(text)

    objection = EVERYTHING.objection(address, allow=EVERYTHING.allow)

    assert objection is not None
    assert objection.endswith("which nothing opens")


@pytest.mark.parametrize("text", NEVER_VECTORS + CLOSED_VECTORS)
def test_closed_by_default(text: str) -> None:
    """What is not plainly a host on the internet is closed in the mode public."""
    address = canonical(text)

    assert PUBLIC.objection(address) is not None


@pytest.mark.parametrize("text", PUBLIC_VECTORS)
def test_public_is_open(text: str) -> None:
    """Hosts on the internet are open in every mode, up to the edges of the closed ranges."""
    address = canonical(text)

    assert PUBLIC.objection(address) is None
    assert PRIVATE_TOO.objection(address) is None


@given(inside(CLOSED))
def test_whole_table_is_closed(address: Address) -> None:
    """No address of the table is open in the mode public."""
    unwrapped = canonical(str(address))

    assert PUBLIC.objection(unwrapped) is not None


@given(st.ip_addresses())
def test_only_global_addresses_are_open(address: Address) -> None:
    """Whatever the table leaves out, nothing is open that the library does not call global."""
    unwrapped = canonical(str(address))

    assert unwrapped.is_global or PUBLIC.objection(unwrapped) is not None


def test_what_the_library_does_not_call_global_is_closed() -> None:
    """A range that only a newer library knows to be special is closed without the table."""

    class Special(IPv4Address):
        is_global = False

    assert PUBLIC.objection(IPv4Address("8.8.8.8")) is None
    assert PUBLIC.objection(Special("8.8.8.8")) is not None


@given(inside(NEVER), st.sampled_from(["plain", "mapped", "zone", "nat64", "6to4"]))
def test_never_opened_in_any_form(address: Address, form: str) -> None:
    """An address that is never opened is not in its mapped, scoped or translated form either."""
    forms = {"plain": str(address), "zone": f"{address}%1" if ":" in str(address) else str(address)}
    if isinstance(address, IPv4Address):
        forms["mapped"] = f"::ffff:{address}"
        forms["nat64"] = str(IPv6Address(int(IPv6Address("64:ff9b::")) | int(address)))
        forms["6to4"] = str(IPv6Address((0x2002 << 112) | (int(address) << 80)))

    objection = EVERYTHING.objection(canonical(forms.get(form, str(address))))

    assert objection is not None


@given(st.ip_addresses())
def test_private_opens_private_ranges_alone(address: Address) -> None:
    """The mode private opens RFC 1918 and unique-local addresses, and nothing besides."""
    opened = PUBLIC.objection(address) is not None and PRIVATE_TOO.objection(address) is None

    assert not opened or any(address in network for network in PRIVATE)


@given(inside(PRIVATE))
def test_private_opens_them_all(address: Address) -> None:
    """The mode private opens all of those ranges but a metadata service that lies in one."""
    metadata = any(address in network for network in NEVER)

    assert (PRIVATE_TOO.objection(address) is None) is not metadata


def test_allow_lists_open_what_they_name() -> None:
    """The deployment's list and an application's own each open their ranges, and those alone."""
    policy = EgressPolicy(allow=(ip_network("10.1.0.0/16"),))
    own = (ip_network("127.0.0.0/8"), ip_network("fd00::/8"))

    assert policy.objection(canonical("10.1.2.3")) is None
    assert policy.objection(canonical("::ffff:10.1.2.3")) is None
    assert policy.objection(canonical("10.2.0.1")) is not None
    assert policy.objection(canonical("127.0.0.1")) is not None
    assert policy.objection(canonical("127.0.0.1"), allow=own) is None
    assert policy.objection(canonical("fd00:ec2::254"), allow=own) is not None
    assert policy.objection(canonical("fd00:ec3::253"), allow=own) is None


def test_settings_are_read() -> None:
    """A policy is read from the deployment's settings; an allowed range may hold closed ones."""
    policy = EgressPolicy.from_text(
        "private", ["10.0.0.0/8", " 169.0.0.0/8 ", "::1"], allow_http=True
    )

    assert policy == EgressPolicy(
        mode="private",
        allow=(ip_network("10.0.0.0/8"), ip_network("169.0.0.0/8"), ip_network("::1/128")),
        allow_http=True,
    )
    assert policy.objection(canonical("169.254.169.254")) is not None


def test_faulty_settings_are_all_named() -> None:
    """Every setting that is wrong is named: no CIDR, host bits, a range that nothing opens."""
    texts = ["nonsense", "10.0.0.1/8", "10.0.0.0/8", "169.254.0.0/16", "fe80::/64"]

    with pytest.raises(InvalidSettings) as caught:
        EgressPolicy.from_text("everywhere", texts, allow_http=False)

    assert [fault.field for fault in caught.value.faults] == [
        "DISPATCHER_EGRESS_ALLOW[0]",
        "DISPATCHER_EGRESS_ALLOW[1]",
        "DISPATCHER_EGRESS_ALLOW[3]",
        "DISPATCHER_EGRESS_ALLOW[4]",
        "DISPATCHER_EGRESS",
    ]
    assert "has host bits set" in caught.value.faults[1].message
    assert "nothing opens" in caught.value.faults[2].message
