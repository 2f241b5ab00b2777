"""A transmitter of security events: it signs with joserfc, and its keys can be fetched."""

import base64
import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Self

from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, KeyParameters, OctKey, OKPKey, RSAKey

from tests.kit.rp_server import Peer, RpServer, Script, response

AnyKey = ECKey | RSAKey | OKPKey | OctKey
ISSUER, AUDIENCE = "https://ssf.op.example", "https://dispatcher.example/ssf"
CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
RISC = "https://schemas.openid.net/secevent/risc/event-type/"
SSF = "https://schemas.openid.net/secevent/ssf/event-type/"


def a_key(alg: str = "ES256", kid: str | None = "key-1") -> AnyKey:
    """Make a key for *alg*."""
    named: KeyParameters = {"kid": kid} if kid else {}
    match alg:
        case "ES256":
            return ECKey.generate_key("P-256", named)
        case "EdDSA":
            return OKPKey.generate_key("Ed25519", named)
        case "HS256":
            return OctKey.generate_key(256, named)
        case _:
            return RSAKey.generate_key(2048, named)


def jwks_of(*keys: AnyKey, **members: Any) -> bytes:
    """Return the JWK Set that publishes *keys*, each with *members* besides."""
    published = [{**key.as_dict(private=False), **members} for key in keys]
    return json.dumps({"keys": published}).encode()


def signed(
    claims: Mapping[str, Any] | bytes, key: AnyKey, *, alg: str = "ES256", **header: Any
) -> str:
    """Return *claims* as a token of *key*; *header* replaces members, and None removes one."""
    members = {"alg": alg, "typ": "secevent+jwt", "kid": key.kid, **header}
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    kept = {name: value for name, value in members.items() if value is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)  # EdDSA, as transmitters still say
        return jws.serialize_compact(kept, payload, key, algorithms=[alg])


def unsigned(header: Mapping[str, Any] | bytes, claims: Mapping[str, Any] | bytes) -> str:
    """Return a token of that header and those claims, whose signature is none."""
    parts = [
        part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)
    ]
    encoded = [base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (*parts, b"no")]
    return ".".join(encoded)


def a_set(event: str, payload: Mapping[str, Any] | None = None, **claims: Any) -> dict[str, Any]:
    """Return the claims of a security event about one user; a claim given as None is left out."""
    told: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "jti": "set-1",
        "iat": 1795341600,
        "sub_id": {"format": "iss_sub", "iss": ISSUER, "sub": "user-1"},
        "events": {event: payload or {}},
        **claims,
    }
    return {name: value for name, value in told.items() if value is not None}


class Transmitter:
    """Keys that change, behind a real HTTP server while its ``async with`` lasts."""

    def __init__(self, *keys: AnyKey) -> None:
        self.keys: Sequence[AnyKey] = keys or (a_key(),)
        self.script: Script = self.publishes
        self.server = RpServer(self._plays)

    @property
    def uri(self) -> str:
        """Where the keys are."""
        return self.server.uri("/jwks")

    @property
    def fetches(self) -> int:
        """How often the keys were asked for."""
        return len(self.server.requests)

    async def publishes(self, peer: Peer) -> None:
        """Answer with the keys."""
        await peer.say(response(200, jwks_of(*self.keys)))

    async def _plays(self, peer: Peer) -> None:
        await self.script(peer)

    async def __aenter__(self) -> Self:
        await self.server.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.server.__aexit__(*exc)
