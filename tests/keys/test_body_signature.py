"""The Keycloak listener's signature of a body: HMAC-SHA256 in lower-case hex."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.body_signature import verify_body

BODY = b'{"type":"access.LOGOUT"}'


def signature(secret: str, body: bytes = BODY, digest: str = "sha256") -> str:
    """Sign *body* as the listener does (RFC 2104)."""
    return hmac.new(secret.encode(), body, digest).hexdigest()


def test_a_known_signature_is_good() -> None:
    """The test vector of RFC 4231 section 4.3 is verified."""
    given_signature = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"

    assert verify_body(["Jefe"], signature=given_signature, body=b"what do ya want for nothing?")


def test_any_secret_counts() -> None:
    """While a secret is being replaced, the old and the new one prove the same."""
    assert verify_body(["new", "old"], signature=signature("old"), body=BODY)
    assert verify_body(["new", "old"], signature=signature("new"), body=BODY)


FORGERIES = {
    "another secret": signature("other"),
    "another body": signature("secret", BODY + b" "),
    "an older digest": signature("secret", digest="sha1"),
    "upper case": signature("secret").upper(),
    "its beginning": signature("secret")[:-1],
    "a longer one": signature("secret") + "0",
    "nothing": "",
    "no ASCII": "\xe4",
}


@pytest.mark.parametrize("forged", FORGERIES.values(), ids=FORGERIES)
def test_a_forgery_is_refused(forged: str) -> None:
    """What the secret's holder has not written, to the letter, proves nothing."""
    assert verify_body(["secret"], signature=signature("secret"), body=BODY)
    assert not verify_body(["secret"], signature=forged, body=BODY)


def test_without_a_secret_nothing_is_good() -> None:
    """A source that has no secret is proved by no signature."""
    assert not verify_body([], signature=signature(""), body=BODY)


@given(st.text(), st.binary())
def test_any_signature_is_judged(forged: str, body: bytes) -> None:
    """Whatever is sent as a signature, judging it raises nothing."""
    assert not verify_body(["secret"], signature=forged, body=body)
