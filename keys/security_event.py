"""Security Event Tokens (RFC 8417): whether one was signed by whom it says, and for whom."""

import binascii
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import jwt

from keys import base64url
from keys.algorithms import ALGORITHMS
from keys.issuer_keys import IssuerKeys
from keys.jwk import PublicKeyOfSet

_COMPACT = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*")
_TYPES = frozenset({"secevent+jwt", "application/secevent+jwt"})
"""RFC 8417 section 2.3: so no ID or access token of the same issuer can be taken for an event."""


class SetVerdict(StrEnum):
    """What a security event token turned out to be."""

    OK = "ok"
    MALFORMED = "malformed"
    """Not a JWT of this type."""
    MISMATCH = "mismatch"
    """Signed with none of the issuer's keys, or changed since."""
    ISSUER = "issuer"
    """Signed with the issuer's key, and says that it is of another issuer."""
    AUDIENCE = "audience"
    """Signed by the issuer, for somebody else."""


@dataclass(frozen=True, slots=True)
class _Event:
    """A token that has been read and not been believed yet."""

    token: str
    alg: str
    kid: str | None
    claims: dict[str, Any]


async def verify_event(token: bytes, *, issuer: str, audience: str, keys: IssuerKeys) -> SetVerdict:
    """Judge a token by the keys of its issuer; only a signature of theirs is told more.

    Neither `exp` nor `iat` is looked at: what has happened does not expire (RFC 8417 section 2.2),
    and a repeat is known by its `jti`. Raises KeySetUnavailable, and nothing else.
    """
    event = _read(token)
    if event is None:
        return SetVerdict.MALFORMED
    # `none` and HS* are in no set of public keys, so that none is asked for them.
    found = await keys.find(event.kid, event.alg) if event.alg in ALGORITHMS else ()
    if not any(_verifies(event, key) for key in found):
        return SetVerdict.MISMATCH
    if event.claims.get("iss") != issuer:
        return SetVerdict.ISSUER
    return SetVerdict.OK if audience in _audiences(event) else SetVerdict.AUDIENCE


def is_event(token: bytes) -> bool:
    """Tell whether *token* has the form of a security event token, whoever signed it."""
    return _read(token) is not None


def _read(token: bytes) -> _Event | None:
    parts = _COMPACT.fullmatch(token)
    if parts is None:
        return None
    header, claims = _object(parts[1]), _object(parts[2])
    if header is None or claims is None:
        return None
    typ, alg, kid = header.get("typ"), header.get("alg"), header.get("kid")
    if not isinstance(alg, str) or not isinstance(kid, str | None):
        return None
    if not isinstance(typ, str) or typ.lower() not in _TYPES:
        return None
    return _Event(token.decode("ascii"), alg, kid, claims)


def _object(part: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(base64url.decode(part.decode("ascii")))
    except (ValueError, binascii.Error, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _verifies(event: _Event, key: PublicKeyOfSet) -> bool:
    try:
        jwt.PyJWS().decode(event.token, key.key, algorithms=[event.alg])
    except jwt.InvalidTokenError:
        return False
    return True


def _audiences(event: _Event) -> Sequence[object]:
    """RFC 7519 section 4.1.3: one, or an array of them."""
    audience = event.claims.get("aud")
    return audience if isinstance(audience, list) else [audience]
