"""Keys as JSON Web Keys and as files: RFC 7517, RFC 7518 section 6, RFC 8037, RFC 7638."""

import json
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from typing import Any, NamedTuple, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError

from keys import base64url
from keys.algorithms import (
    MIN_RSA_BITS,
    PrivateKey,
    PublicKey,
    algorithms_of,
    usable,
)
from keys.errors import KeySetUnavailable, UnusableKey

JWK: TypeAlias = dict[str, str]

MOST_KEYS = 100
"""How many keys of a set are looked at: an issuer has a handful."""
_REQUIRED = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}
_READERS: Mapping[str, Callable[[dict[str, Any]], object]] = {
    "RSA": RSAAlgorithm.from_jwk,
    "EC": ECAlgorithm.from_jwk,
    "OKP": OKPAlgorithm.from_jwk,
}
_P256_BYTES = 32


class FoundKey(NamedTuple):
    """A private key as read from a file, with the names that it goes by."""

    kid: str
    alg: str
    private_key: PrivateKey

    def __repr__(self) -> str:
        """Show the names, never the material."""
        return f"FoundKey(kid={self.kid!r}, alg={self.alg!r})"


class PublicKeyOfSet(NamedTuple):
    """A public key that somebody else has published, and the algorithms that it may verify."""

    kid: str | None
    algorithms: frozenset[str]
    key: PublicKey


def parse_key_set(data: bytes) -> list[PublicKeyOfSet]:
    """Return the keys of a published JWK Set that can verify a signature here.

    Others are passed over (RFC 7517 section 5): another type or use, too short, or private, which
    the whole world has read by now. Raises KeySetUnavailable where none is left.
    """
    try:
        members = json.loads(data)["keys"][:MOST_KEYS]
        found = [key for jwk in members for key in _published(jwk)]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise KeySetUnavailable("The issuer's keys are no JWK Set.") from None
    if not found:
        raise KeySetUnavailable("The issuer's JWK Set has no key that can be used here.")
    return found


def _published(jwk: object) -> Iterator[PublicKeyOfSet]:
    if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig":
        return
    key, kid, alg = _public_key(jwk), jwk.get("kid"), jwk.get("alg")
    fitting = frozenset(name for name in algorithms_of(key) if alg in (None, name)) if key else ()
    if key and fitting:
        yield PublicKeyOfSet(kid if isinstance(kid, str) else None, fitting, key)


def _public_key(jwk: dict[str, Any]) -> PublicKey | None:
    reader = _READERS.get(str(jwk.get("kty")))
    try:
        key = reader(jwk) if reader is not None else None
    except (InvalidKeyError, ValueError, TypeError, KeyError, AttributeError, UnsupportedAlgorithm):
        return None
    match key:
        case RSAPublicKey() if key.key_size >= MIN_RSA_BITS:
            return key
        case EllipticCurvePublicKey() if isinstance(key.curve, SECP256R1):
            return key
        case Ed25519PublicKey():
            return key
        case _:
            return None


def public_members(key: PublicKey) -> JWK:
    """Return `kty` and the public parameters of `key`: what RFC 7638 calls the required members."""
    match key:
        case RSAPublicKey():
            rsa = key.public_numbers()
            return {"kty": "RSA", "n": _uint(rsa.n), "e": _uint(rsa.e)}
        case EllipticCurvePublicKey():
            point = key.public_numbers()
            x, y = _uint(point.x, _P256_BYTES), _uint(point.y, _P256_BYTES)
            return {"kty": "EC", "crv": "P-256", "x": x, "y": y}
        case _:
            return {"kty": "OKP", "crv": "Ed25519", "x": base64url.encode(key.public_bytes_raw())}


def public_jwk(key: PublicKey, *, kid: str, alg: str) -> JWK:
    """Return the published form of `key`.

    It has no `key_ops`: RFC 7517 section 4.3 asks not to give them beside `use`.
    """
    return {"kid": kid, "use": "sig", "alg": alg, **public_members(key)}


def thumbprint(jwk: Mapping[str, str]) -> str:
    """Return the SHA-256 thumbprint of a public or private JWK (RFC 7638 section 3)."""
    required = {name: jwk[name] for name in _REQUIRED[jwk["kty"]]}
    text = json.dumps(required, sort_keys=True, separators=(",", ":"))
    return base64url.encode(sha256(text.encode()).digest())


def parse_keys(data: bytes) -> list[FoundKey]:
    """Return the signing keys in a PEM file, a private JWK or a JWK Set.

    A `kid` and `alg` that stand in the file are kept; else the kid is the thumbprint and the
    algorithm the default of the key type. Keys that a set marks `"use":"enc"` are passed over.
    Raises UnusableKey, naming the fault and never what the file holds.
    """
    if data.lstrip().startswith(b"{"):
        return [_from_jwk(jwk) for jwk in _jwks(data) if jwk.get("use", "sig") == "sig"]
    return [_named(_from_pem(data), kid=None, alg=None)]


def _uint(number: int, length: int | None = None) -> str:
    size = length or (number.bit_length() + 7) // 8
    return base64url.encode(number.to_bytes(size, "big"))


def _from_pem(data: bytes) -> PrivateKey:
    try:
        return usable(load_pem_private_key(data, password=None))
    except TypeError:
        raise UnusableKey("the private key is encrypted with a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        # The vendor's text is dropped: it may quote what it read.
        raise UnusableKey("neither a PEM private key, a private JWK nor a JWK Set") from None


def _jwks(data: bytes) -> list[dict[str, Any]]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise UnusableKey("not well-formed JSON") from None
    members = document.get("keys", [document])
    if not isinstance(members, list) or not all(isinstance(jwk, dict) for jwk in members):
        raise UnusableKey("`keys` of a JWK Set must be a list of objects")
    return members


def _from_jwk(jwk: dict[str, Any]) -> FoundKey:
    reader = _READERS.get(str(jwk.get("kty")))
    if reader is None:
        raise UnusableKey("a JWK whose `kty` is not RSA, EC or OKP")
    if "d" not in jwk:
        raise UnusableKey("a JWK without its private part `d`")
    try:
        key = reader(jwk)
    except (InvalidKeyError, ValueError, TypeError, KeyError, AttributeError):
        raise UnusableKey("a JWK whose parameters are not a valid private key") from None
    return _named(usable(key), kid=jwk.get("kid"), alg=jwk.get("alg"))


def _named(key: PrivateKey, *, kid: object, alg: object) -> FoundKey:
    if kid is not None and not (isinstance(kid, str) and kid):
        raise UnusableKey("a JWK whose `kid` is not a string with something in it")
    fitting = algorithms_of(key)
    if alg is not None and alg not in fitting:
        raise UnusableKey(f"a JWK whose `alg` is not {' or '.join(fitting)}, which its type needs")
    name = kid or thumbprint(public_members(key.public_key()))
    return FoundKey(name, str(alg or fitting[0]), key)
