"""The signature algorithms that the vault knows: one table.

`none` and the HS* family are not in it: Back-Channel Logout 1.0 section 2.6 forbids the one, and
the other would sign with a secret that the application shares.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa

from keys.errors import KeyUnavailable, UnusableKey

PrivateKey: TypeAlias = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey
PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

MIN_RSA_BITS = 2048
"""RFC 7518 section 3.3: RS256 and PS256 need a key of 2048 bits or more."""


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One row of the table: a JWA name and the keys that it takes."""

    name: str
    """The `alg` of RFC 7518 section 3.1, or RFC 8037."""
    kty: str
    """The key type: RSA, EC or OKP."""
    crv: str | None
    """The curve, where the key type has one."""
    slow: bool
    """Whether a signature costs more (RSA: 250 µs) than a hop to a thread and back (60 µs)."""
    generate: Callable[[], PrivateKey]
    """Makes a new private key. RSA takes 100 ms and more: never on an event loop."""


def _generate_rsa() -> PrivateKey:
    return generate_rsa(public_exponent=65537, key_size=MIN_RSA_BITS)


def _generate_p256() -> PrivateKey:
    return generate_ec(SECP256R1())


ALGORITHMS: Mapping[str, Algorithm] = MappingProxyType(
    {
        "RS256": Algorithm("RS256", "RSA", None, slow=True, generate=_generate_rsa),
        "PS256": Algorithm("PS256", "RSA", None, slow=True, generate=_generate_rsa),
        "ES256": Algorithm("ES256", "EC", "P-256", slow=False, generate=_generate_p256),
        "EdDSA": Algorithm(
            "EdDSA", "OKP", "Ed25519", slow=False, generate=Ed25519PrivateKey.generate
        ),
    }
)
"""Every algorithm by name. The first row of a key type is the default of such keys."""


def algorithm(name: str) -> Algorithm:
    """Return the row called `name`. Raises KeyUnavailable if the table has none."""
    found = ALGORITHMS.get(name)
    if found is None:
        known = ", ".join(ALGORITHMS)
        raise KeyUnavailable(f"The algorithm {name!r} is not one of {known}.")
    return found


def usable(key: object) -> PrivateKey:
    """Return `key` if some algorithm takes it. Raises UnusableKey, naming the fault."""
    match key:
        case RSAPrivateKey() if key.key_size < MIN_RSA_BITS:
            raise UnusableKey(f"an RSA key of {key.key_size} bits; {MIN_RSA_BITS} are the least")
        case EllipticCurvePrivateKey() if not isinstance(key.curve, SECP256R1):
            raise UnusableKey(f"an EC key on the curve {key.curve.name}; only P-256 is supported")
        case RSAPrivateKey() | EllipticCurvePrivateKey() | Ed25519PrivateKey():
            return key
        case _:
            raise UnusableKey("not an RSA, P-256 or Ed25519 private key")


def algorithms_of(key: PrivateKey | PublicKey) -> list[str]:
    """Return the names of the algorithms that take `key`, its default first."""
    match key:
        case RSAPrivateKey() | RSAPublicKey():
            kty = "RSA"
        case EllipticCurvePrivateKey() | EllipticCurvePublicKey():
            kty = "EC"
        case _:
            kty = "OKP"
    return [row.name for row in ALGORITHMS.values() if row.kty == kty]
