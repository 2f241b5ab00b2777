"""Keys as JWKs and files."""

import json
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
)
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey, thumbprint

from keys import KeySetUnavailable, SigningKey, UnusableKey
from keys import jwk as jwk_module
from keys.algorithms import ALGORITHMS
from keys.jwk import MOST_KEYS, parse_key_set, parse_keys
from tests.kit.transmitter import a_key, jwks_of

READERS: dict[str, Callable[[bytes], Any]] = {
    "RSA": RSAKey.import_key,
    "EC": ECKey.import_key,
    "OKP": OKPKey.import_key,
}

RFC_7638_N = (
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECP"
    "ebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY"
    "368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0f"
    "M4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
)


def private_jwk(key: SigningKey, **more: str) -> dict[str, Any]:
    """Write a private JWK with the second implementation."""
    written = READERS[ALGORITHMS[key.alg].kty](key.to_pem())
    return {**written.as_dict(private=True), **more}


def test_thumbprint_of_the_rfc() -> None:
    """RFC 7638 3.1: the example key has the thumbprint that the RFC computes."""
    jwk = {"kty": "RSA", "n": RFC_7638_N, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}

    assert jwk_module.thumbprint(jwk) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_public_jwk_has_exactly_the_public_members(made: dict[str, SigningKey], alg: str) -> None:
    """RFC 7517 4: a published key has kid, use, alg and public parameters; no key_ops, no d."""
    jwk = made[alg].public_jwk()

    parameters = {"RSA": {"n", "e"}, "EC": {"crv", "x", "y"}, "OKP": {"crv", "x"}}[jwk["kty"]]
    assert set(jwk) == {"kty", "use", "alg", "kid"} | parameters
    assert (jwk["use"], jwk["alg"]) == ("sig", alg)
    other = {name: jwk[name] for name in parameters | {"kty"}}
    assert jwk["kid"] == thumbprint(other)


def test_coordinates_have_full_length() -> None:
    """RFC 7518 6.2.1.2: a coordinate with leading zeros still has all its octets."""
    assert len(jwk_module._uint(1, 32)) == len(jwk_module._uint(1 << 255, 32)) == 43
    assert jwk_module._uint(65537) == "AQAB"


@pytest.mark.parametrize(
    ("alg", "default"),
    [("RS256", "RS256"), ("PS256", "RS256"), ("ES256", "ES256"), ("EdDSA", "EdDSA")],
)
def test_pem_gets_thumbprint_and_default(
    made: dict[str, SigningKey], alg: str, default: str
) -> None:
    """A PEM key is named by its thumbprint and signs with the default of its type."""
    [found] = parse_keys(made[alg].to_pem())

    assert (found.kid, found.alg) == (made[alg].kid, default)
    assert "private_key" not in repr(found)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_jwk_keeps_its_names(made: dict[str, SigningKey], alg: str) -> None:
    """A private JWK keeps its kid and alg; without them it is treated like PEM."""
    named = json.dumps(private_jwk(made[alg], kid="mine", alg=alg)).encode()
    bare = json.dumps(private_jwk(made[alg]) | {"kid": None, "alg": None}).encode()

    [kept], [made_up] = parse_keys(named), parse_keys(bare)

    assert (kept.kid, kept.alg) == ("mine", alg)
    assert made_up.kid == made[alg].kid


def test_set_is_read_in_order_without_encryption_keys(made: dict[str, SigningKey]) -> None:
    """All signing keys of a JWK Set are read, in its order; those for encryption are not."""
    jwks = [
        private_jwk(made["ES256"], kid="b"),
        private_jwk(made["RS256"], kid="x", use="enc"),
        private_jwk(made["EdDSA"], kid="a", use="sig"),
    ]

    found = parse_keys(json.dumps({"keys": jwks}).encode())

    assert [key.kid for key in found] == ["b", "a"]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"d": None}, "not a valid private key"),
        ({"d": "AAAA"}, "not a valid private key"),
        ({"kid": ""}, "`kid`"),
        ({"kid": 7}, "`kid`"),
        ({"alg": "RS256"}, "ES256"),
        ({"alg": "none"}, "ES256"),
        ({"kty": "oct"}, "`kty`"),
        ({"kty": None}, "`kty`"),
        ({"crv": "P-384"}, "not a valid private key"),
    ],
)
def test_faulty_jwk_is_refused(
    made: dict[str, SigningKey], change: dict[str, object], fault: str
) -> None:
    """A JWK that can not sign is refused by its fault, without a word of what it holds."""
    jwk = private_jwk(made["ES256"]) | change

    with pytest.raises(UnusableKey, match=fault) as caught:
        parse_keys(json.dumps(jwk).encode())

    assert jwk["x"] not in str(caught.value)
    assert caught.value.__cause__ is None


def test_what_is_no_private_key_is_refused(made: dict[str, SigningKey]) -> None:
    """A public key, an encrypted key, broken JSON and other text are refused, each by its fault."""
    key = made["ES256"].private_key
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    faults = {
        public: "neither a PEM",
        locked: "passphrase",
        b"{": "JSON",
        b"{\xff": "JSON",
        b'{"keys": 1}': "list of objects",
        b'{"keys": [1]}': "list of objects",
        json.dumps(made["ES256"].public_jwk()).encode(): "private part",
        b"": "neither a PEM",
    }

    for data, fault in faults.items():
        with pytest.raises(UnusableKey, match=fault):
            parse_keys(data)


def short_rsa_key() -> RSAKey:
    """Make a key that the second implementation warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        return RSAKey.generate_key(1024, auto_kid=True)


SHARED = a_key("ES256", kid="shared")
PASSED_OVER: dict[str, dict[str, Any]] = {
    "a key for encryption": {**SHARED.as_dict(private=False), "use": "enc"},
    "a private key": SHARED.as_dict(private=True),
    "a secret": a_key("HS256").as_dict(private=True),
    "a short RSA key": short_rsa_key().as_dict(private=False),
    "another curve": ECKey.generate_key("P-384", auto_kid=True).as_dict(private=False),
    "another Edwards curve": OKPKey.generate_key("X25519", auto_kid=True).as_dict(private=False),
    "an unknown type": {"kty": "ML", "x": "AA"},
    "a type that is no text": {"kty": ["EC"]},
    "no parameters": {"kty": "EC", "crv": "P-256"},
    "parameters that are none": {"kty": "RSA", "n": 5, "e": None},
    "a point off the curve": {"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"},
    "an algorithm of another type": {**SHARED.as_dict(private=False), "alg": "RS256"},
    "an algorithm that is no text": {**SHARED.as_dict(private=False), "alg": ["ES256"]},
}


@pytest.mark.parametrize("jwk", PASSED_OVER.values(), ids=PASSED_OVER)
def test_a_key_that_verifies_nothing_is_passed_over(jwk: dict[str, Any]) -> None:
    """Of a published set what can verify nothing here is passed over, and the others are read."""
    document = json.dumps({"keys": [jwk, SHARED.as_dict(private=False), "no key"]})

    [key] = parse_key_set(document.encode())

    assert (key.kid, key.algorithms) == ("shared", frozenset({"ES256"}))


@pytest.mark.parametrize(
    ("alg", "algorithms"),
    [("RS256", {"RS256", "PS256"}), ("ES256", {"ES256"}), ("EdDSA", {"EdDSA"})],
)
def test_a_published_key_verifies_what_it_says(alg: str, algorithms: set[str]) -> None:
    """A key that names an algorithm verifies that alone; another all that its type fits."""
    key = a_key(alg)

    (plain,) = parse_key_set(jwks_of(key))
    (named,) = parse_key_set(jwks_of(key, alg=alg, use="sig"))

    assert plain.algorithms == algorithms
    assert named.algorithms == {alg}


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"5", b"{}", b'{"keys": {}}', b'{"keys": "a"}', b'{"keys": [5, [], null]}',
     b"[" * 9999, b"\xff"],
)  # fmt: skip
def test_a_set_without_a_key_is_none(document: bytes) -> None:
    """A document in which no key is found is never a set of keys."""
    with pytest.raises(KeySetUnavailable):
        parse_key_set(document)


def test_an_endless_set_is_read_in_part() -> None:
    """Of a set with far too many keys only so many are read as any issuer has."""
    jwk = SHARED.as_dict(private=False)

    assert len(parse_key_set(json.dumps({"keys": [jwk] * 2 * MOST_KEYS}).encode())) == MOST_KEYS
