"""A private key, loaded once, that signs."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, lru_cache

import jwt
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import Algorithm

from keys.algorithms import PrivateKey, algorithm, algorithms_of, usable
from keys.errors import UnusableKey
from keys.jwk import JWK, public_jwk, public_members, thumbprint

_encode_json = json.JSONEncoder(separators=(",", ":")).encode


@lru_cache(maxsize=256)
def _header(alg: str, kid: str, typ: str | None) -> bytes:
    """Return the encoded header with its dot: a key signs millions of tokens under a few."""
    header = {"alg": alg, "kid": kid} | ({} if typ is None else {"typ": typ})
    return base64.urlsafe_b64encode(_encode_json(header).encode()).rstrip(b"=") + b"."


@cache
def _signer(alg: str) -> Algorithm:
    return jwt.get_algorithm_by_name(alg)


def compact(signing_input: bytes, signature: bytes) -> str:
    """Return the compact serialization of a JWS (RFC 7515 section 7.1)."""
    encoded = base64.urlsafe_b64encode(signature).rstrip(b"=")
    return (signing_input + b"." + encoded).decode("ascii")


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A key under its public name. It shows its material to nobody who prints it."""

    kid: str
    """The RFC 7638 thumbprint, or the name that an imported key brought along."""
    alg: str
    """The one algorithm that it signs with (RFC 8725 section 3.1: a key serves one algorithm)."""
    private_key: PrivateKey = field(repr=False, compare=False)
    """A loaded object: reading PEM text at each signature costs fifty times the signature."""
    created_at: datetime
    """When it was made or, for an imported key, when its file was written; UTC."""

    @classmethod
    def generate(cls, alg: str, *, now: datetime) -> "SigningKey":
        """Make a new key for `alg`, named by its thumbprint. Raises KeyUnavailable. RSA is slow."""
        private_key = algorithm(alg).generate()
        kid = thumbprint(public_members(private_key.public_key()))
        return cls(kid=kid, alg=alg, private_key=private_key, created_at=now)

    @classmethod
    def from_pem(cls, pem: bytes, *, kid: str, alg: str, created_at: datetime) -> "SigningKey":
        """Load what `to_pem` wrote. Raises UnusableKey.

        The primes are not tested anew, which takes 50 ms a key: the seal vouches for the text.
        """
        try:
            loaded = load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=True)
        except (ValueError, TypeError):
            raise UnusableKey(f"The key {kid!r} is not PKCS #8 PEM.") from None
        key = usable(loaded)
        if alg not in algorithms_of(key):
            raise UnusableKey(f"The key {kid!r} can not sign with {alg!r}.")
        return cls(kid=kid, alg=alg, private_key=key, created_at=created_at)

    def to_pem(self) -> bytes:
        """Return the private key as plain PKCS #8 PEM: to be sealed at once, never to be stored."""
        return self.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def public_jwk(self) -> JWK:
        """Return what the world may know of it."""
        return public_jwk(self.private_key.public_key(), kid=self.kid, alg=self.alg)

    def sign(self, claims: Mapping[str, object], *, typ: str | None) -> str:
        """Return a compact JWS whose header is alg, kid and, unless None, `typ`. Blocks on RSA."""
        signed = self.signing_input(claims, typ=typ)
        return compact(signed, self.signature(signed))

    def signing_input(self, claims: Mapping[str, object], *, typ: str | None) -> bytes:
        """Return what is to be signed: header and claims, encoded (RFC 7515 section 5.1)."""
        payload = base64.urlsafe_b64encode(_encode_json(claims).encode()).rstrip(b"=")
        return _header(self.alg, self.kid, typ) + payload

    def signature(self, signing_input: bytes) -> bytes:
        """Return the signature of `signing_input`. Blocks, without the interpreter's lock."""
        return _signer(self.alg).sign(signing_input, self.private_key)

    def verifies(self, token: str) -> bool:
        """Tell whether `token` bears this key's signature; its claims are not looked at."""
        try:
            jwt.PyJWS().decode(token, self.private_key.public_key(), algorithms=[self.alg])
        except jwt.InvalidTokenError:
            return False
        return True
