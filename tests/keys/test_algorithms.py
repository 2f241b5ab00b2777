"""One table of algorithms."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa

from keys import ALGORITHMS, KeyUnavailable, SigningKey, UnusableKey
from keys.algorithms import algorithm, algorithms_of, usable


def test_table_has_no_unsafe_algorithm() -> None:
    """2.6: neither `none` nor a shared-secret algorithm is known."""
    names = set(ALGORITHMS)

    assert names == {"RS256", "PS256", "ES256", "EdDSA"}


@pytest.mark.parametrize("name", ["none", "None", "HS256", "RS512", ""])
def test_unknown_algorithms_are_refused_by_name(name: str) -> None:
    """An algorithm that is not in the table is refused, and the error names it."""
    with pytest.raises(KeyUnavailable, match=repr(name)):
        algorithm(name)


def test_generated_keys_suit_their_algorithm(made: dict[str, SigningKey]) -> None:
    """Each algorithm generates keys that it can use itself."""
    keys = {alg: key.private_key for alg, key in made.items()}

    assert all(alg in algorithms_of(usable(key)) for alg, key in keys.items())
    assert [algorithms_of(key)[0] for key in keys.values()] == ["RS256", "RS256", "ES256", "EdDSA"]


def test_weak_and_foreign_keys_are_refused() -> None:
    """RFC 7518 3.3: RSA under 2048 bits is refused, and so are other curves and other things."""
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - weak is what the test needs
    curve = ec.generate_private_key(ec.SECP384R1())

    with pytest.raises(UnusableKey, match="1024 bits"):
        usable(weak)
    with pytest.raises(UnusableKey, match="secp384r1"):
        usable(curve)
    with pytest.raises(UnusableKey, match="not an RSA"):
        usable(ed448.Ed448PrivateKey.generate())
