"""Secrets that are only ever compared, and so are stored as hashes."""

import hashlib
import hmac
import os

from keys import base64url

_N, _R, _P = 1 << 14, 8, 1
"""scrypt's cost: 16 MiB and about 50 ms (RFC 7914 section 2)."""
_SALT_BYTES = 16


def hash_token(token: str) -> str:
    """Return the SHA-256 of a random token, in hex. No salt: 256 random bits can not be guessed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def hash_secret(secret: str) -> str:
    """Return `scrypt$<salt>$<hash>` of a client secret, which a person may have chosen. Slow."""
    salt = os.urandom(_SALT_BYTES)
    return f"scrypt${base64url.encode(salt)}${base64url.encode(_scrypt(secret, salt))}"


def verify_secret(secret: str, hashed: str) -> bool:
    """Tell in constant time whether `secret` is the one that `hash_secret` hashed. Slow."""
    try:
        scheme, salt, expected = hashed.split("$")
        digest = base64url.decode(expected)
        found = _scrypt(secret, base64url.decode(salt))
    except ValueError:
        return False
    return scheme == "scrypt" and hmac.compare_digest(found, digest)


def _scrypt(secret: str, salt: bytes) -> bytes:
    text = secret.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(text, salt=salt, n=_N, r=_R, p=_P)
