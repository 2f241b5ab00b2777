"""The address guard: what was judged is what is dialled, and nothing else ever is."""

import asyncio
import errno
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, ip_network

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispatcher.adapters.egress import EgressPolicy, HttpSender, Resolver
from dispatcher.adapters.egress.addresses import CLOSED, NEVER
from dispatcher.adapters.egress.guard import dial_literal
from dispatcher.domain.deliveries import (
    Acknowledged,
    Cause,
    Outcome,
    Refused,
    Unreachable,
    Withheld,
)
from tests.adapters.egress.conftest import (
    LOOPBACK,
    NOW,
    QUICK,
    DialRecorder,
    Factory,
    application,
    dial_loopback,
    numeric,
    post,
)
from tests.kit.rp_server import RpServer, answers

HTTP = EgressPolicy(allow_http=True)
WIDE_OPEN = EgressPolicy(
    mode="private", allow=(ip_network("0.0.0.0/0"), ip_network("::/0")), allow_http=True
)


def cause(outcome: Outcome) -> Cause | None:
    """Return what stood in the way, if anything did."""
    return outcome.cause if isinstance(outcome, Unreachable) else None


def answering(*answers_in_turn: Sequence[str]) -> Callable[[str], Sequence[str]]:
    """Return a name server that says one thing after the other, and counts in ``asked``."""
    left = list(answers_in_turn)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


@pytest.mark.parametrize(
    "addresses",
    [
        ["169.254.169.254"],
        ["10.0.0.1"],
        ["8.8.8.8", "10.0.0.1"],
        ["10.0.0.1", "8.8.8.8"],
        ["2606:4700::1", "::ffff:169.254.169.254"],
        ["64:ff9b::a9fe:a9fe"],
        ["fe80::1%eth0"],
        ["::1"],
    ],
)
async def test_one_forbidden_address_forbids_the_name(
    make_sender: Factory, addresses: Sequence[str]
) -> None:
    """Where any address of a name is forbidden, nothing is dialled at all."""
    recorder = DialRecorder()
    sender = make_sender(HTTP, dial=recorder, resolver=Resolver(lambda _: addresses))

    outcome = await post(sender, "http://rp.test/")

    assert cause(outcome) is Cause.BLOCKED
    assert recorder.dialled == []


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.8.9.1", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "unspecified"),  # noqa: S104 - nothing is bound here
        ("169.254.169.254", "link-local"),
        ("fe80::7", "link-local"),
        ("224.0.0.251", "multicast"),
        ("10.20.30.40", "private"),
        ("fd00:1234::9", "private"),
        ("100.64.3.2", "reserved"),
        ("64:ff9b::a14:1e28", "reserved"),
    ],
)
async def test_a_name_does_not_tell_what_it_stands_for(
    make_sender: Factory, address: str, kind: str
) -> None:
    """Whoever registers a name learns of the address behind it only of what kind it is."""
    resolver = Resolver(lambda _: [address])
    sender = make_sender(HTTP, dial=DialRecorder(), resolver=resolver)

    outcome = await post(sender, "http://rp.test/")

    told = Unreachable(cause=Cause.BLOCKED, detail=f"an address that is not allowed ({kind})")
    assert outcome == told


def failing(**numbers: int) -> Callable[[str, int], Awaitable[socket.socket]]:
    """Return a dial that fails at each address, by its last part, with one of errno's *numbers*."""

    async def dial(address: str, _: int) -> socket.socket:
        number = numbers["a" + address.rpartition(".")[2]]
        raise OSError(number, os.strerror(number))

    return dial


OURS = [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL]
EXHAUSTION = OURS[:-1]
TWO = Resolver(lambda _: ["127.0.0.1", "127.0.0.2"])


@pytest.mark.parametrize("number", OURS, ids=errno.errorcode.__getitem__)
async def test_what_we_have_run_out_of_is_no_fault_of_an_application(
    make_sender: Factory, number: int
) -> None:
    """A fault of ours when dialling keeps the token back, and is charged to nobody."""
    sender = make_sender(dial=failing(a1=number))

    outcome = await post(sender, "http://rp.test/")

    assert outcome == Withheld(cause=Cause.INTERNAL, detail=os.strerror(number))


@pytest.mark.parametrize("number", EXHAUSTION, ids=errno.errorcode.__getitem__)
async def test_where_we_have_run_out_nothing_else_is_blamed(
    make_sender: Factory, number: int
) -> None:
    """What another address would have said is not known, so that nothing is made of it."""
    dial = failing(a1=number, a2=errno.ECONNREFUSED)

    outcome = await post(make_sender(dial=dial, resolver=TWO), "http://rp.test/")

    assert isinstance(outcome, Withheld)


@pytest.mark.parametrize("ours_first", [True, False])
async def test_no_way_to_one_address_excuses_no_other(
    make_sender: Factory,
    ours_first: bool,  # noqa: FBT001 - a parameter of the test's table
) -> None:
    """Where a host without IPv6 can dial only one of two addresses, that one's refusal counts."""
    numbers = [errno.EADDRNOTAVAIL, errno.ECONNREFUSED]
    first, second = numbers if ours_first else reversed(numbers)
    sender = make_sender(dial=failing(a1=first, a2=second), resolver=TWO)

    outcome = await post(sender, "http://rp.test/")

    assert cause(outcome) is Cause.CONNECT


async def test_open_addresses_are_dialled_in_order(make_sender: Factory) -> None:
    """Literal addresses are dialled, unwrapped, each once, in the order of the answer."""
    recorder = DialRecorder()
    told = ["2606:4700::1", "8.8.8.8", "::ffff:8.8.8.8", "1.1.1.1"]
    sender = make_sender(HTTP, dial=recorder, resolver=Resolver(lambda _: told))

    outcome = await post(sender, "http://rp.test:8080/")

    assert cause(outcome) is Cause.CONNECT
    assert recorder.dialled == [("2606:4700::1", 8080), ("8.8.8.8", 8080), ("1.1.1.1", 8080)]


FORMS: dict[str, Callable[[IPv4Address], str]] = {
    "dotted": str,
    "decimal": lambda address: str(int(address)),
    "hex": lambda address: hex(int(address)),
    "octal": lambda address: ".".join(f"0{byte:o}" for byte in address.packed),
    "hex parts": lambda address: ".".join(hex(byte) for byte in address.packed),
    "two parts": lambda address: f"{address.packed[0]}.{int(address) & 0xFFFFFF}",
    "three parts": lambda address: ".".join(
        [*str(address).split(".")[:2], str(int(address) & 0xFFFF)]
    ),
    "mapped": lambda address: f"[::ffff:{address}]",
    "mapped hex": lambda address: f"[::ffff:{int(address) >> 16:x}:{int(address) & 0xFFFF:x}]",
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.sampled_from([network for network in CLOSED if network.version == 4]).flatmap(
        lambda network: st.ip_addresses(network=network)
    ),
    st.sampled_from(sorted(FORMS)),
)
async def test_no_literal_form_gets_past(address: IPv4Address, form: str) -> None:
    """A forbidden address is forbidden in every form in which a URI's host can be written."""
    recorder = DialRecorder()
    sender = HttpSender(
        HTTP, now=lambda: NOW, user_agent="t", resolver=Resolver(numeric), dial=recorder
    )

    outcome = await post(sender, f"http://{FORMS[form](address)}/")
    await sender.close()

    assert cause(outcome) is Cause.BLOCKED
    assert recorder.dialled == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.sampled_from(NEVER).flatmap(lambda network: st.ip_addresses(network=network)),
)
async def test_no_allow_list_opens_metadata(address: IPv4Address) -> None:
    """Metadata, link-local, multicast and unspecified addresses are dialled on no terms."""
    recorder = DialRecorder()
    sender = HttpSender(
        WIDE_OPEN,
        now=lambda: NOW,
        user_agent="t",
        resolver=Resolver(lambda _: [str(address)]),
        dial=recorder,
    )
    everything = application(allow_addresses=("0.0.0.0/0", "::/0"))

    outcome = await post(sender, "http://rp.test/", everything)
    await sender.close()

    assert cause(outcome) is Cause.BLOCKED
    assert recorder.dialled == []


async def test_an_applications_own_allow_list(make_sender: Factory) -> None:
    """An application's allow-list opens addresses for that application alone."""
    sender = make_sender(HTTP)
    local = application("local", allow_addresses=("127.0.0.1/32",))
    async with RpServer(answers(200)) as rp:
        allowed = await post(sender, rp.uri(), local)
        refused = await post(sender, rp.uri(), application("other"))

        assert allowed == Acknowledged(status=200)
        assert cause(refused) is Cause.BLOCKED
        assert rp.connections == 1


async def test_the_name_is_looked_up_once_for_a_connection(make_sender: Factory) -> None:
    """Between check and connect nothing is asked again, so that no second answer can differ."""
    asked: list[str] = []

    def rebinding(host: str) -> Sequence[str]:
        """Answer once with loopback, and then with a metadata service."""
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    sender = make_sender(resolver=Resolver(rebinding))
    async with RpServer(answers(200)) as rp:
        outcome = await post(sender, rp.uri(host="rp.test"))

        assert outcome == Acknowledged(status=200)
        assert asked == ["rp.test"]


async def test_a_remembered_answer_is_judged_again(make_sender: Factory) -> None:
    """An address that one application may dial, and that is remembered, is closed to another."""
    resolver = Resolver(lambda _: ["127.0.0.1"])
    sender = make_sender(HTTP, resolver=resolver)
    local = application("local", allow_addresses=("127.0.0.0/8",))
    async with RpServer(answers(200)) as rp:
        first = await post(sender, rp.uri(host="rp.test"), local)
        second = await post(sender, rp.uri(host="rp.test"), application("other"))

        assert first == Acknowledged(status=200)
        assert cause(second) is Cause.BLOCKED


async def test_where_the_socket_ended_up_has_the_last_word(make_sender: Factory) -> None:
    """A socket that is connected to another address than the one dialled carries nothing."""

    async def misled(_: str, port: int) -> socket.socket:
        """Dial another address than the one asked for."""
        return await dial_literal("127.0.0.1", port)

    resolver = Resolver(lambda _: ["127.0.0.2"])
    sender = make_sender(dial=misled, resolver=resolver)
    async with RpServer(answers(200)) as rp:
        outcome = await post(sender, rp.uri(host="rp.test"))

        assert isinstance(outcome, Unreachable)
        assert (outcome.cause, "127." in outcome.detail) == (Cause.BLOCKED, False)
        assert rp.requests == []


async def test_a_dead_first_address_leaves_room_for_the_second(make_sender: Factory) -> None:
    """Each address may take its share of the time, so that the next one can be tried."""

    async def first_one_dead(address: str, port: int) -> socket.socket:
        """Dial, but let the first address never answer."""
        if address == "127.0.0.2":
            await asyncio.sleep(20)
        return await dial_loopback(address, port)

    resolver = Resolver(lambda _: ["127.0.0.2", "127.0.0.1"])
    sender = make_sender(dial=first_one_dead, resolver=resolver)
    async with RpServer(answers(200)) as rp:
        outcome = await post(sender, rp.uri(host="rp.test"), timeout=QUICK)

        assert outcome == Acknowledged(status=200)


async def test_a_refused_first_address_is_passed_over(make_sender: Factory) -> None:
    """Where one address refuses the connection the next one is tried."""
    resolver = Resolver(lambda _: ["127.0.0.3", "127.0.0.1"])
    sender = make_sender(resolver=resolver)
    async with RpServer(answers(200)) as rp:
        outcome = await post(sender, rp.uri(host="rp.test"))

        assert outcome == Acknowledged(status=200)


async def test_http_is_refused_unless_allowed(make_sender: Factory) -> None:
    """A http URI is not even resolved where the deployment wants https."""
    recorder = DialRecorder()
    sender = make_sender(EgressPolicy(allow=LOOPBACK.allow), dial=recorder)

    outcome = await post(sender, "http://127.0.0.1:8080/")

    assert cause(outcome) is Cause.BLOCKED
    assert recorder.dialled == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(make_sender: Factory, status: int) -> None:
    """A redirect is a refusal; wherever it points to, nothing is dialled and nothing sent."""
    dialled: list[tuple[str, int]] = []

    async def noting(address: str, port: int) -> socket.socket:
        """Dial, and write down what was dialled."""
        dialled.append((address, port))
        return await dial_loopback(address, port)

    sender = make_sender(dial=noting)
    async with RpServer(answers(200)) as canary:
        for location in ("http://169.254.169.254/latest/", canary.uri(), "/again"):
            async with RpServer(answers(status, location=location)) as rp:
                outcome = await post(sender, rp.uri())

                assert outcome == Refused(status=status)
                assert len(rp.requests) == 1
                assert dialled.pop() == ("127.0.0.1", rp.port)
        assert canary.connections == len(dialled) == 0


async def test_proxies_of_the_environment_are_ignored(
    sender: HttpSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An inherited proxy setting can not send the token round the guard."""
    async with RpServer(answers(200)) as proxy, RpServer(answers(200)) as rp:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.uri(""))

        outcome = await post(sender, rp.uri())

        assert outcome == Acknowledged(status=200)
        assert (proxy.connections, rp.connections) == (0, 1)
