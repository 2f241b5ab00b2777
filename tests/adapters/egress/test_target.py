"""A URI, taken apart into whom to dial and what to send."""

import pytest

from dispatcher.adapters.egress.failures import Failure
from dispatcher.adapters.egress.target import Origin, Target, target_of
from dispatcher.domain.deliveries import Cause


def target(uri: str, *, allow_http: bool = True) -> Target:
    """Take *uri* apart."""
    return target_of(uri, allow_http=allow_http, user_agent="test/1")


@pytest.mark.parametrize(
    ("uri", "origin", "path", "host"),
    [
        ("https://rp.test", ("rp.test", 443), "/", "rp.test"),
        ("https://rp.test/", ("rp.test", 443), "/", "rp.test"),
        ("https://RP.test:443/a", ("rp.test", 443), "/a", "rp.test"),
        ("https://rp.test:8443/a/b", ("rp.test", 8443), "/a/b", "rp.test:8443"),
        ("https://rp.test?a=b", ("rp.test", 443), "/?a=b", "rp.test"),
        ("https://rp.test/x?", ("rp.test", 443), "/x?", "rp.test"),
        ("https://rp.test/%2e/..//x;y?a=%20&a+b=?/", ("rp.test", 443), None, "rp.test"),
        ("https://[2001:DB8::1]:8443/x", ("2001:db8::1", 8443), "/x", "[2001:db8::1]:8443"),
    ],
)
def test_request_line_and_host(uri: str, origin: tuple[str, int], path: str, host: str) -> None:
    """Path and query go out byte for byte, and Host has the port unless it is the default."""
    lines = target(uri).head.decode().split("\r\n")

    assert target(uri).origin == Origin(secure=True, host=origin[0], port=origin[1])
    assert lines[0] == f"POST {path or '/%2e/..//x;y?a=%20&a+b=?/'} HTTP/1.1"
    assert lines[1] == f"Host: {host}"


def test_scheme_is_part_of_the_origin() -> None:
    """What was connected without TLS never serves a https URI."""
    plain, secure = target("http://rp.test:8443/").origin, target("https://rp.test:8443/").origin

    assert plain != secure
    assert target("http://rp.test/").origin.port == 80


@pytest.mark.parametrize(
    "uri",
    [
        "http://rp.test/",
        "ftp://rp.test/",
        "https://user:pass@rp.test/",
        "https://rp.test/#fragment",
        "https:///path",
        "https://rp.test/a b",
        "https://rp.test/\r\nX: y",
        "https://rp.test:0/",
        "https://rp.test:x/",
        "//rp.test/",
    ],
)
def test_what_nothing_is_sent_to(uri: str) -> None:
    """The rules of a registration are asked again when a token is sent."""
    with pytest.raises(Failure) as caught:
        target(uri, allow_http=False)

    assert caught.value.cause is Cause.BLOCKED
