"""A key signs, and shows nothing of itself."""

import pytest

from keys import SigningKey, UnusableKey
from keys.algorithms import ALGORITHMS
from tests.keys.conftest import NOW, read_token


@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("typ", ["logout+jwt", "JWT", None])
def test_header_is_alg_kid_typ(made: dict[str, SigningKey], alg: str, typ: str | None) -> None:
    """The header is exactly alg and kid, and typ unless it is None; another library verifies it."""
    key = made[alg]

    token = key.sign({"sub": "é", "n": {}}, typ=typ)

    read = read_token(token, {"keys": [key.public_jwk()]}, alg)
    assert read.headers() == {"alg": alg, "kid": key.kid} | ({"typ": typ} if typ else {})
    assert b'"n":{}' in read.payload


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_pem_round_trip(made: dict[str, SigningKey], alg: str) -> None:
    """A key that was written and read again verifies what the first one signed."""
    key = made[alg]

    again = SigningKey.from_pem(key.to_pem(), kid=key.kid, alg=alg, created_at=NOW)

    assert again == key
    assert again.verifies(key.sign({}, typ=None))


def test_pem_of_another_kind_is_refused(made: dict[str, SigningKey]) -> None:
    """A key whose type its algorithm can not use is refused, and so is text that is no key."""
    pem = made["ES256"].to_pem()

    with pytest.raises(UnusableKey, match="RS256"):
        SigningKey.from_pem(pem, kid="k", alg="RS256", created_at=NOW)
    with pytest.raises(UnusableKey, match="PKCS #8"):
        SigningKey.from_pem(b"nothing", kid="k", alg="ES256", created_at=NOW)


def test_foreign_signature_does_not_verify(made: dict[str, SigningKey]) -> None:
    """A token of another key, or no token, does not verify."""
    other = SigningKey.generate("ES256", now=NOW)

    assert not made["ES256"].verifies(other.sign({}, typ=None))
    assert not made["ES256"].verifies("nothing")


def test_repr_shows_no_material(made: dict[str, SigningKey]) -> None:
    """Printing a key shows its names only."""
    key = made["EdDSA"]

    assert "private_key" not in repr(key)
    assert key.kid in repr(key)
