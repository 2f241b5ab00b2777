"""TLS: whom the sender trusts, whom it greets, and who it says that it is."""

import asyncio
import contextlib
import errno
import os
import resource
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any, NoReturn

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from dispatcher.adapters.egress import EgressPolicy, HttpSender, check_application
from dispatcher.adapters.egress.tls import _system_context, context_of
from dispatcher.domain.applications import Application
from dispatcher.domain.deliveries import Acknowledged, Cause, Outcome, Unreachable, Withheld
from dispatcher.domain.errors import Unavailable
from tests.adapters.egress.conftest import (
    LOOPBACK,
    Factory,
    application,
    dial_loopback,
    post,
    until,
)
from tests.kit.rp_server import Peer, RpServer, answers

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def server_context(ca: trustme.CA, *names: str, **certificate: Any) -> ssl.SSLContext:
    """Return a server's context with a certificate for *names*."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names, **certificate).configure_cert(context)
    return context


def trusting(ca: trustme.CA, client_id: str = "shop", **delivery: Any) -> Application:
    """Return an application whose own certificate authority is *ca*."""
    return application(client_id, ca_pem=pem(ca.cert_pem), **delivery)


def pem(blob: trustme.Blob) -> str:
    """Return PEM as text."""
    return blob.bytes().decode()


@contextlib.contextmanager
def no_more_files(*, but: int = 0) -> Iterator[None]:
    """Let this process open no more files meanwhile, *but* so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + but, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def cause(outcome: Outcome) -> Cause:
    """Return what stood in the way."""
    assert isinstance(outcome, Unreachable)
    return outcome.cause


async def test_own_certificate_authority(
    sender: HttpSender, ca: trustme.CA, tmp_path: Path
) -> None:
    """An application's own CA is trusted for that application, as text or as a file."""
    file = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(file))
    async with RpServer(answers(200), tls=server_context(ca, "rp.test")) as rp:
        by_text = await post(sender, rp.uri(host="rp.test"), trusting(ca))
        by_file = await post(sender, rp.uri(host="rp.test"), application("wiki", ca_file=str(file)))
        by_none = await post(sender, rp.uri(host="rp.test"), application("mail"))

        assert by_text == by_file == Acknowledged(status=200)
        assert cause(by_none) is Cause.CERTIFICATE
        assert len(rp.requests) == 2


def test_own_certificate_authority_replaces_the_systems(ca: trustme.CA) -> None:
    """An application with a CA of its own trusts none of the system's."""
    own, system = context_of(trusting(ca)), context_of(application())

    assert len(own.get_ca_certs()) == 1
    assert own is not system
    assert context_of(application("wiki")) is system


@pytest.mark.parametrize(
    ("names", "certificate", "words"),
    [
        (["rp.test"], {"not_before": LONG_AGO, "not_after": LONG_AGO + timedelta(1)}, "expired"),
        (
            ["rp.test"],
            {
                "not_before": datetime(2090, 1, 1, tzinfo=UTC),
                "not_after": datetime(2099, 1, 1, tzinfo=UTC),
            },
            "not yet valid",
        ),
        (["other.test"], {}, "Hostname mismatch"),
        (["127.0.0.1"], {}, "Hostname mismatch"),
    ],
)
async def test_bad_certificates(
    sender: HttpSender, ca: trustme.CA, names: list[str], certificate: dict[str, Any], words: str
) -> None:
    """To a server with a certificate that is not valid for the URI's name, nothing is sent."""
    async with RpServer(answers(200), tls=server_context(ca, *names, **certificate)) as rp:
        outcome = await post(sender, rp.uri(host="rp.test"), trusting(ca))

        assert cause(outcome) is Cause.CERTIFICATE
        assert isinstance(outcome, Unreachable)
        assert words in outcome.detail
        assert rp.requests == []


async def test_a_stranger_signed_it(sender: HttpSender, ca: trustme.CA) -> None:
    """A certificate of another authority, or of none, is not accepted."""
    async with RpServer(answers(200), tls=server_context(trustme.CA(), "rp.test")) as rp:
        outcome = await post(sender, rp.uri(host="rp.test"), trusting(ca))

        assert cause(outcome) is Cause.CERTIFICATE
        assert rp.requests == []


@pytest.mark.parametrize("identified", [False, True])
async def test_no_server_is_a_stranger_for_want_of_files(
    make_sender: Factory, ca: trustme.CA, *, identified: bool
) -> None:
    """Where we can open no more files nobody is greeted, since no issuer could be looked up."""
    us = ca.issue_cert("dispatcher.test")
    certificate = {
        "client_certificate_pem": pem(us.cert_chain_pems[0]),
        "client_key_pem": pem(us.private_key_pem),
    }
    known = application(**certificate) if identified else application()
    with contextlib.ExitStack() as until_answered:

        async def dial(address: str, port: int) -> socket.socket:
            """Dial, and have all files open once the server has accepted."""
            raw = await dial_loopback(address, port)
            await until(lambda: rp.connections > 0)
            until_answered.enter_context(no_more_files())
            return raw

        greeted = asyncio.Event()

        async def wait(peer: Peer) -> None:
            """Say nothing before a greeting comes."""
            if await peer.reader.read(1):
                greeted.set()

        async with RpServer(answers(200), greeting=wait) as rp:
            uri = rp.uri(host="rp.test").replace("http:", "https:")
            outcome = await post(make_sender(dial=dial), uri, known)

    assert outcome == Withheld(cause=Cause.INTERNAL, detail="Too many open files")
    assert not greeted.is_set()


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a file, not there yet, the system's trust store for as long as a test lasts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "bundle.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    _system_context.cache_clear()
    yield tmp_path / "bundle.pem"
    _system_context.cache_clear()


def test_no_trust_store_is_taken_for_empty_for_want_of_files(ca: trustme.CA, bundle: Path) -> None:
    """What can not be opened now is not kept as a trust store without anybody in it."""
    ca.cert_pem.write_to_path(str(bundle))

    with no_more_files(), pytest.raises(Unavailable):
        context_of(application())

    assert len(context_of(application()).get_ca_certs()) == 1


async def test_a_literal_address_is_checked_as_one(sender: HttpSender, ca: trustme.CA) -> None:
    """Where the URI names an address the certificate must name it too."""
    async with RpServer(answers(200), tls=server_context(ca, "127.0.0.1")) as rp:
        outcome = await post(sender, rp.uri(), trusting(ca))

        assert outcome == Acknowledged(status=200)


async def test_a_final_dot_is_no_part_of_the_name(sender: HttpSender, ca: trustme.CA) -> None:
    """A fully qualified name is checked without its final dot (RFC 6066 section 3)."""
    async with RpServer(answers(200), tls=server_context(ca, "rp.test")) as rp:
        outcome = await post(sender, rp.uri(host="rp.test."), trusting(ca))

        assert outcome == Acknowledged(status=200)


async def test_two_names_on_one_address(sender: HttpSender, ca: trustme.CA) -> None:
    """Each name has its own handshake, with its own SNI, though both are at one address."""
    greeted: list[str | None] = []
    context = server_context(ca, "a.test", "b.test")
    context.sni_callback = lambda _, name, __: greeted.append(name)
    async with RpServer(answers(200), tls=context) as rp:
        for host in ("a.test", "b.test", "a.test", "b.test"):
            await post(sender, rp.uri(host=host), trusting(ca))

        assert greeted == ["a.test", "b.test"]
        hosts = [(request.values("host")[0][:6], request.connection) for request in rp.requests]
        assert hosts == [("a.test", 0), ("b.test", 1), ("a.test", 0), ("b.test", 1)]


async def test_http_1_1_is_what_is_agreed_upon(sender: HttpSender, ca: trustme.CA) -> None:
    """A server that would rather speak HTTP/2 is told in the handshake what is spoken here."""
    agreed: list[str | None] = []

    async def note(peer: Peer) -> None:
        agreed.append(peer.writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await answers(200)(peer)

    context = server_context(ca, "rp.test")
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with RpServer(note, tls=context) as rp:
        outcome = await post(sender, rp.uri(host="rp.test"), trusting(ca))

    assert (outcome, agreed) == (Acknowledged(status=200), ["http/1.1"])


async def test_not_tls_at_all(sender: HttpSender) -> None:
    """A server that speaks no TLS at its https URI is a TLS failure, and sees no token."""
    seen = b""

    async def deaf(peer: Any) -> None:
        """Answer in plain HTTP, whatever is said."""
        nonlocal seen
        seen = await peer.reader.read(1000)
        await peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        peer.close()

    async with RpServer(answers(200), greeting=deaf) as rp:
        outcome = await post(sender, rp.uri(host="rp.test").replace("http:", "https:"))

        assert cause(outcome) is Cause.TLS
        assert b"logout_token" not in seen


async def test_hanging_up_in_the_handshake(sender: HttpSender) -> None:
    """A server that hangs up on our greeting is a TLS failure."""

    async def rude(peer: Any) -> None:
        """Hang up."""
        await peer.reader.read(1000)
        peer.close()

    async with RpServer(answers(200), greeting=rude) as rp:
        outcome = await post(sender, rp.uri(host="rp.test").replace("http:", "https:"))

        assert cause(outcome) is Cause.TLS


async def test_old_versions_are_refused(sender: HttpSender, ca: trustme.CA) -> None:
    """TLS 1.1 is not spoken."""
    context = server_context(ca, "rp.test")
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1 is deprecated"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with RpServer(answers(200), tls=context) as rp:
        outcome = await post(sender, rp.uri(host="rp.test"), trusting(ca))

        assert cause(outcome) is Cause.TLS
        assert rp.requests == []


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_client_certificates(
    sender: HttpSender, ca: trustme.CA, version: ssl.TLSVersion
) -> None:
    """RFC 8705: an application that asks who we are is shown its client certificate."""
    context = server_context(ca, "rp.test")
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = version
    ca.configure_trust(context)
    us = ca.issue_cert("dispatcher.test")
    known = trusting(
        ca,
        client_certificate_pem=pem(us.cert_chain_pems[0]),
        client_key_pem=pem(us.private_key_pem),
    )
    async with RpServer(answers(200), tls=context) as rp:
        accepted = await post(sender, rp.uri(host="rp.test"), known)

        assert accepted == Acknowledged(status=200)
    port, ended = turning_away(context)
    refused = await post(sender, f"https://rp.test:{port}/", trusting(ca, "wiki"))
    ended.join(5)
    assert cause(refused) is Cause.TLS


def turning_away(context: ssl.SSLContext) -> tuple[int, Thread]:
    """Serve one handshake that fails, on a thread: unlike asyncio, it sends its alert."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        """Serve the one handshake."""
        with listener, listener.accept()[0] as raw:
            raw.settimeout(5)
            tls = context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
            with tls, contextlib.suppress(OSError):
                try:
                    tls.do_handshake()
                finally:
                    # Close in good order, or a reset would overtake the alert.
                    socket.socket.shutdown(tls, socket.SHUT_WR)
                    while socket.socket.recv(tls, 4096):
                        pass

    thread = Thread(target=serve, daemon=True)
    thread.start()
    return listener.getsockname()[1], thread


def files(tmp_path: Path, ca: trustme.CA) -> dict[str, str]:
    """Write a certificate, its key and another key; return their paths."""
    us = ca.issue_cert("dispatcher.test")
    us.cert_chain_pems[0].write_to_path(str(tmp_path / "us.pem"))
    us.private_key_pem.write_to_path(str(tmp_path / "us-key.pem"))
    ca.issue_cert("other.test").private_key_pem.write_to_path(str(tmp_path / "other-key.pem"))
    (tmp_path / "garbage.pem").write_text("garbage")
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return {path.stem: str(path) for path in tmp_path.iterdir()}


def texts_in(folder: Path) -> dict[str, str]:
    """Return what the files in *folder* hold, by their stems."""
    return {path.stem: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("delivery", "field"),
    [
        ({"ca_file": "missing"}, "ca_file"),
        ({"ca_file": "garbage"}, "ca_file"),
        ({"ca_pem": "garbage"}, "ca_pem"),
        ({"ca_pem": "gärbage"}, "ca_pem"),
        (
            {"client_certificate_file": "missing", "client_key_file": "us-key"},
            "client_certificate_file",
        ),
        ({"client_certificate_file": "us", "client_key_file": "missing"}, "client_key_file"),
        ({"client_certificate_file": "us", "client_key_file": "other-key"}, "client_key_file"),
        ({"client_certificate_file": "us", "client_key_pem": "garbage"}, "client_key_pem"),
        (
            {"client_certificate_pem": "garbage", "client_key_file": "us-key"},
            "client_certificate_pem",
        ),
    ],
)
async def test_bad_pem_is_named(
    sender: HttpSender, ca: trustme.CA, tmp_path: Path, delivery: dict[str, str], field: str
) -> None:
    """What can not be read or is no PEM is named at registration, and later is our fault."""
    paths = files(tmp_path, ca)
    given = {
        name: paths.get(value, str(tmp_path / value)) if name.endswith("_file") else value
        for name, value in delivery.items()
    }

    faults = check_application(application(**given), LOOPBACK)
    outcome = await post(sender, "https://127.0.0.1:8080/", application(**given))

    assert [fault.field for fault in faults] == [f"logout_delivery.{field}"]
    assert outcome == Withheld(cause=Cause.INTERNAL, detail=str(faults[0])[:200])


@pytest.mark.parametrize(
    ("delivery", "but"),
    [
        ({"ca_file": "ca"}, 0),
        ({"client_certificate_file": "us", "client_key_file": "us-key"}, 0),
        ({"client_certificate_pem": "us", "client_key_pem": "us-key"}, 0),
        ({"client_certificate_pem": "us", "client_key_pem": "us-key"}, 1),
        ({"client_certificate_pem": "us", "client_key_file": "us-key"}, 1),
    ],
)
async def test_good_pem_that_we_can_not_read_is_our_fault(
    sender: HttpSender, ca: trustme.CA, tmp_path: Path, delivery: dict[str, str], but: int
) -> None:
    """Where we can not open as many files as it takes, no certificate or key is blamed for it."""
    paths = files(tmp_path, ca)
    texts = texts_in(tmp_path)
    known = application(
        **{
            name: (paths if name.endswith("_file") else texts)[value]
            for name, value in delivery.items()
        }
    )

    with no_more_files(but=but):
        with pytest.raises(Unavailable) as told:
            check_application(known, LOOPBACK)
        outcome = await post(sender, "https://127.0.0.1:8080/", known)

    assert str(told.value) == "TLS can not be prepared: Too many open files."
    assert outcome == Withheld(cause=Cause.INTERNAL, detail=str(told.value))
    assert check_application(known, LOOPBACK) == []


def test_what_the_system_refuses_us_is_no_want_of_files(
    ca: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What will not be better later is told as what it is, and nobody is told to come again."""

    def refused(_: str) -> NoReturn:
        """Refuse it, as a sandbox does."""
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    us = ca.issue_cert("dispatcher.test")
    monkeypatch.setattr(os, "memfd_create", refused)

    with pytest.raises(PermissionError):
        context_of(
            application(
                client_certificate_pem=pem(us.cert_chain_pems[0]),
                client_key_pem=pem(us.private_key_pem),
            )
        )


def test_good_pem_has_no_fault(ca: trustme.CA, tmp_path: Path) -> None:
    """Certificates and keys that are in order are no fault, as files and as text."""
    paths = files(tmp_path, ca)
    us = ca.issue_cert("dispatcher.test")
    by_file = trusting(ca, client_certificate_file=paths["us"], client_key_file=paths["us-key"])
    by_text = trusting(
        ca,
        client_certificate_pem=pem(us.cert_chain_pems[0]),
        client_key_pem=pem(us.private_key_pem),
    )

    assert check_application(by_file, LOOPBACK) == []
    assert check_application(by_text, LOOPBACK) == []


def test_bad_networks_and_closed_literals_are_named() -> None:
    """CIDRs that are none, and URIs with a literal address that is closed, are named too."""
    faulty = replace(
        application(allow_addresses=("10.0.0.0/8", "nonsense")),
        urls=("https://rp.test/", "https://10.1.2.3/", "https://[fe80::1]/", "https://127.0.0.1/"),
    )

    faults = check_application(faulty, EgressPolicy())

    assert [fault.field for fault in faults] == [
        "logout_delivery.allow_addresses[1]",
        "oidc_logout.backchannel_logout_urls[2]",
        "oidc_logout.backchannel_logout_urls[3]",
    ]


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_a_key_under_a_password_is_refused_untried(ca: trustme.CA, form: PrivateFormat) -> None:
    """A key that needs a password is a fault, and no password is asked for, nor an empty one tried.

    To try one takes as many rounds as the key says: minutes, if whoever made it wishes so.
    """
    us = ca.issue_cert("dispatcher.test")
    key = load_pem_private_key(us.private_key_pem.bytes(), None)
    sealed = key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"secret")).decode()
    known = application(client_certificate_pem=pem(us.cert_chain_pems[0]), client_key_pem=sealed)

    (fault,) = check_application(known, LOOPBACK)

    assert str(fault) == "logout_delivery.client_key_pem: must not be encrypted"
