"""An issuer's keys are fetched once, whole, from where they are said to be, or not at all."""

import socket
import ssl

import pytest
import trustme

from dispatcher.adapters import key_sets
from dispatcher.adapters.key_sets import MOST_BYTES, HttpKeySets
from dispatcher.domain.errors import IssuerUnavailable
from tests.kit.rp_server import (
    RpServer,
    Script,
    answers,
    hangs,
    resets,
    response,
    says,
    then_closes,
    then_drips,
)

KEYS = b'{"keys": []}'


@pytest.fixture
def fetcher() -> HttpKeySets:
    """Return what fetches."""
    return HttpKeySets(user_agent="dispatcher/1.2.3")


async def test_keys_come_as_they_are(fetcher: HttpKeySets) -> None:
    """The document is asked for under its URI, query included, and returned byte for byte."""
    async with RpServer(answers(200, KEYS)) as issuer:
        assert await fetcher.fetch(issuer.uri("/jwks?tenant=a%20b&")) == KEYS

    [request] = issuer.requests
    assert request.line == "GET /jwks?tenant=a%20b& HTTP/1.1"
    assert request.values("user-agent") == ["dispatcher/1.2.3"]
    assert request.values("accept-encoding") == ["identity"]
    assert request.values("authorization") == request.values("cookie") == []


FAILURES: dict[str, Script] = {
    "an error": answers(500, KEYS),
    "nothing there": answers(404, KEYS),
    "another status": answers(204),
    "what is no HTTP": then_closes(b"SSH-2.0-OpenSSH\r\n"),
    "half an answer": then_closes(response(200, KEYS)[:-1]),
    "a reset": resets,
    "too much": answers(200, b" " * (MOST_BYTES + 1)),
    "too much, without a length": then_closes(
        b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + b" " * (MOST_BYTES + 1)
    ),
}


@pytest.mark.parametrize("script", FAILURES.values(), ids=FAILURES)
async def test_an_issuer_that_fails_is_a_fault_of_ours(
    fetcher: HttpKeySets, script: Script
) -> None:
    """Whatever the issuer does but answer with its keys, nobody else is blamed for it."""
    async with RpServer(script) as issuer:
        with pytest.raises(IssuerUnavailable):
            await fetcher.fetch(issuer.uri())


async def test_the_largest_document_is_read(fetcher: HttpKeySets) -> None:
    """A document of just as many bytes as are allowed is read."""
    async with RpServer(answers(200, b" " * MOST_BYTES)) as issuer:
        assert len(await fetcher.fetch(issuer.uri())) == MOST_BYTES


@pytest.mark.parametrize(
    "script", [hangs, says(response(200, KEYS)[:-1])], ids=["nothing", "all but a byte"]
)
@pytest.mark.usefixtures("hurried")
async def test_an_issuer_that_is_slow_is_given_up(fetcher: HttpKeySets, script: Script) -> None:
    """A fetch ends in time, whatever part of the answer does not come."""
    async with RpServer(script) as issuer:
        with pytest.raises(IssuerUnavailable, match="did not come in time"):
            await fetcher.fetch(issuer.uri())


@pytest.mark.usefixtures("hurried")
async def test_an_issuer_that_drips_is_given_up(fetcher: HttpKeySets) -> None:
    """The time is the whole fetch's: a byte now and then buys no more of it."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n"
    async with RpServer(then_drips(head, b" ")) as issuer:
        with pytest.raises(IssuerUnavailable, match="did not come in time"):
            await fetcher.fetch(issuer.uri())


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a fetch take a fifth of a second, so that the test need not wait for five."""
    monkeypatch.setattr(key_sets, "SECONDS", 0.2)


async def test_a_redirect_is_not_followed(fetcher: HttpKeySets) -> None:
    """Nobody who answers for the issuer can send us elsewhere."""
    async with RpServer(answers(200, KEYS)) as other, RpServer(hangs) as issuer:
        issuer.script = answers(302, location=other.uri())
        with pytest.raises(IssuerUnavailable, match="answered 302"):
            await fetcher.fetch(issuer.uri())

    assert other.requests == []


async def test_a_proxy_of_the_environment_is_not_asked(
    fetcher: HttpKeySets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the environment says about proxies is meant for others."""
    async with RpServer(answers(200, KEYS)) as issuer, RpServer(answers(200, KEYS)) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.uri(""))
        await fetcher.fetch(issuer.uri())

    assert proxy.requests == []


async def test_nobody_listens(fetcher: HttpKeySets) -> None:
    """A connection that is refused is a fault of ours."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(IssuerUnavailable, match="ConnectError"):
            await fetcher.fetch(f"http://127.0.0.1:{unused.getsockname()[1]}/jwks")


@pytest.mark.parametrize(
    "uri", ["", "jwks", "ftp://127.0.0.1/", "http://", "http://[/", "http://\u0000/"]
)
async def test_what_is_no_url_is_a_fault_of_ours(fetcher: HttpKeySets, uri: str) -> None:
    """A URI that nothing can be fetched from raises no other error."""
    with pytest.raises(IssuerUnavailable):
        await fetcher.fetch(uri)


async def test_a_certificate_is_verified() -> None:
    """Keys come over TLS from whom a trusted authority vouches for, and from nobody else."""
    ca, name = trustme.CA(), "127.0.0.1"
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(name).configure_cert(serving)
    trusting = ssl.create_default_context()
    ca.configure_trust(trusting)

    async with RpServer(answers(200, KEYS), tls=serving) as issuer:
        trusted = HttpKeySets(user_agent="tests", context=trusting)
        assert await trusted.fetch(issuer.uri()) == KEYS
        with pytest.raises(IssuerUnavailable):
            await HttpKeySets(user_agent="tests").fetch(issuer.uri())
