"""Back-Channel Logout 1.0 section 2.2: the Back-Channel Logout URI."""

from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dispatcher.domain.logout_uri import fault_of_logout_uri
from tests.domain.builders import json_values

_ANY = st.characters()
_URI_LIKE = st.from_regex(r"(?i)https?://[a-z0-9.:@%\[\]_-]{0,12}[/?#]?[a-z0-9/?#&=%@\[\]-]{0,12}")


@pytest.mark.parametrize(
    "uri",
    [
        "https://shop.example/logout",
        "https://shop.example",
        "https://shop.example?tenant=a%20b&x=1",
        "https://shop.example/logout?",
        "https://shop.example/logout?filter[]=1;a=(b)*,!'$",
        "HTTPS://Shop.Example/Logout",
        "https://shop.example.:8443/logout",
        "https://shop.example:/logout",
        "https://shop.example:65535/",
        "https://xn--bcher-kva.example/",
        "https://shop_1.internal/",
        "https://localhost/",
        "https://203.0.113.7:8443/",
        "https://[2001:db8::1]/logout",
        "https://[2001:db8::1]:8443/logout",
        "https://[::ffff:203.0.113.7]/",
        f"https://{'a' * 63}.example/",
    ],
)
def test_an_absolute_https_uri_is_accepted(uri: str) -> None:
    """An absolute https URI is accepted with its port, its path and its query, in any case."""
    assert fault_of_logout_uri(uri, allow_http=False) is None


@pytest.mark.parametrize(
    "uri", ["https://a.example/#", "https://a.example/#x", "https://a.example/?a=1#", "#"]
)
def test_a_fragment_is_refused(uri: str) -> None:
    """2.2: the URI must not include a fragment, not even an empty one."""
    fault = fault_of_logout_uri(uri, allow_http=True)

    assert fault is not None
    assert "fragment" in fault


@pytest.mark.parametrize("uri", ["http://a.example/", "HTTP://a.example/"])
def test_http_is_refused_unless_it_is_allowed(uri: str) -> None:
    """2.2: http is refused unless the deployment allows it."""
    fault = fault_of_logout_uri(uri, allow_http=False)

    assert fault is not None
    assert "must be https (" in fault
    assert fault_of_logout_uri(uri, allow_http=True) is None


@pytest.mark.parametrize(
    "uri", ["https://ann@a.example/", "https://ann:pw@a.example/", "https://@a.example/"]
)
def test_user_information_is_refused(uri: str) -> None:
    """A URI that carries user information is refused, even an empty one."""
    assert fault_of_logout_uri(uri, allow_http=True) == "must not carry user information"


@pytest.mark.parametrize(
    "uri",
    [
        "/logout",
        "//a.example/logout",
        "a.example/logout",
        "https:logout",
        "https:/a.example",
        "https://",
        "https:///logout",
        "https://?x",
        "https://:443/",
        "ftp://a.example/",
        "javascript:alert(1)",
    ],
)
def test_a_relative_uri_is_refused(uri: str) -> None:
    """2.2: the URI must be absolute: a scheme that is https, and a host."""
    fault = fault_of_logout_uri(uri, allow_http=True)

    assert fault == "must be an absolute https URI (Back-Channel Logout 1.0 section 2.2)"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        " https://a.example/",
        "https://a.example/ ",
        "https://a.example/\n",
        "https://a.ex\tample/",
        "https://a.example\\@b.example/",
        "https://bücher.example/",
        "https://a.example/%",
        "https://a.example/%2",
        "https://a.example/%zz",
        "https://{tenant}.example/",
        "https://a.example/<script>",
    ],
)
def test_only_the_characters_of_a_uri_are_accepted(uri: str) -> None:
    """RFC 3986 section 2: other characters than a URI's, and half an escape, are refused."""
    fault = fault_of_logout_uri(uri, allow_http=True)

    assert fault is not None
    assert "in ASCII" in fault


@pytest.mark.parametrize("uri", ["https://a.example:65536/", "https://a:b/", "https://[::1/"])
def test_what_can_not_be_taken_apart_is_refused(uri: str) -> None:
    """RFC 3986 section 3.2: a port that is none, or a bracket left open, is refused."""
    assert fault_of_logout_uri(uri, allow_http=True) == "must be an absolute URI (RFC 3986)"


@pytest.mark.parametrize(
    "host",
    [
        "a.example%2f",
        "[::1]x",
        "x[::1]",
        "[::1]x:80",
        "[v1.x]",
        "a..example",
        ".a.example",
        "a.example..",
        "-a.example",
        "a-.example",
        "a,b",
        f"{'a' * 64}.example",
        ".".join(["a" * 63] * 4),
    ],
)
def test_a_host_that_is_none_is_refused(host: str) -> None:
    """A host that DNS can not hold, or that two readers take apart differently, is refused."""
    fault = fault_of_logout_uri(f"https://{host}/", allow_http=True)

    assert fault is not None
    assert "host" in fault


def test_port_0_is_refused() -> None:
    """Port 0 is refused: nobody listens there."""
    assert fault_of_logout_uri("https://a.example:0/", allow_http=True) == "must not have port 0"


def test_a_uri_has_at_most_2000_characters() -> None:
    """A URI of 2,000 characters is accepted, and one of 2,001 is refused."""
    longest = "https://a.example/".ljust(2000, "a")

    assert fault_of_logout_uri(longest, allow_http=False) is None
    assert fault_of_logout_uri(longest + "a", allow_http=False) == (
        "must not be longer than 2000 characters"
    )


@given(json_values().filter(lambda value: not isinstance(value, str)))
def test_what_is_no_text_is_no_uri(value: object) -> None:
    """A value that is no string is refused as one."""
    assert fault_of_logout_uri(value, allow_http=True) == "must be a string"


@given(st.text(alphabet=_ANY) | _URI_LIKE, st.booleans())
@example(text="https://[", allow_http=True)
@example(text="https://\ud800/", allow_http=True)
def test_any_text_is_judged(text: str, allow_http: bool) -> None:  # noqa: FBT001 - Hypothesis gives it
    """Any text is judged and none raises; what passes is absolute, plain and whole."""
    fault = fault_of_logout_uri(text, allow_http=allow_http)

    if fault is None:
        parts = urlsplit(text)
        assert parts.scheme in ({"http", "https"} if allow_http else {"https"})
        assert parts.hostname
        assert parts.username is None
        assert parts.port != 0
        assert text.isascii()
        assert "#" not in text
        _, _, query = text.partition("?")
        assert parts.query == query


@given(st.from_regex(r"([a-z0-9&=+;/?:@.~-]|%[0-9A-F]{2}){0,40}", fullmatch=True))
def test_any_query_is_accepted(query: str) -> None:
    """2.2: a URI may have any query; nothing in it is judged."""
    assert fault_of_logout_uri(f"https://a.example/logout?{query}", allow_http=False) is None
