"""Who is asking: sources prove themselves per webhook, management clients by an access token."""

import base64
import secrets
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response

from dispatcher.domain.errors import (
    ClockInDoubt,
    Fault,
    Forbidden,
    InvalidEvent,
    Unauthenticated,
    WrongAudience,
    WrongIssuer,
)
from dispatcher.domain.events import SourceName
from dispatcher.domain.sources import Proof, Scope, Source, SourceFormat
from dispatcher.ports import Clock, Registry, Verifier

Handler = Callable[[Request], Awaitable[Response]]

_UNPROVEN = "The source is unknown, or did not prove that it sent this."
"""One text for both, so that nobody learns which sources there are."""
_STALE = "The webhook-timestamp is too far from the time here."


class SourceGate:
    """Lets a webhook in when its source has proved itself."""

    def __init__(self, *, registry: Registry, verifier: Verifier, clock: Clock) -> None:
        self._registry = registry
        self._verifier = verifier
        self._clock = clock
        self._stranger = _stranger()

    async def admit(
        self, name: str, headers: Mapping[bytes, bytes], body: bytes, *, pushed: bool = False
    ) -> Source:
        """Return the source; raise Unauthenticated, or Unavailable where that may be our fault.

        *pushed* says that the body claims to be a security event token: InvalidEvent where it has
        not even its form, whoever sends it; WrongIssuer or WrongAudience for whoever has signed it.
        """
        if pushed and await self._is_malformed(body):
            raise InvalidEvent([Fault("", "is no JWT of the type secevent+jwt")])
        source = self._registry.sources.get(SourceName(name))
        match await self._proof(source or self._stranger, headers, body):
            case Proof.OK if source is not None:
                return source
            case Proof.STALE:
                raise ClockInDoubt if self._clock.in_doubt() else Unauthenticated(_STALE)
            case Proof.ISSUER:
                raise WrongIssuer
            case Proof.AUDIENCE:
                raise WrongAudience
            case _:
                raise Unauthenticated(_UNPROVEN)

    async def _is_malformed(self, token: bytes) -> bool:
        proof = await self._verifier.security_event(self._stranger, token)
        return proof is Proof.MALFORMED

    async def _proof(self, source: Source, headers: Mapping[bytes, bytes], body: bytes) -> Proof:
        if source.format is not SourceFormat.SET:
            return self._proof_of_headers(source, headers, body)
        secret = bool(source.bearer_tokens or source.headers)
        if secret and not self._has_secret(source, headers):
            return Proof.MISMATCH
        return await self._verifier.security_event(source, body)

    def _proof_of_headers(
        self, source: Source, headers: Mapping[bytes, bytes], body: bytes
    ) -> Proof:
        """Judge what the source has offered: where a signature is sent, it must be good."""
        if b"webhook-signature" in headers:
            return self._verifier.webhook(
                source,
                webhook_id=header(headers, b"webhook-id"),
                timestamp=header(headers, b"webhook-timestamp"),
                signature=header(headers, b"webhook-signature"),
                body=body,
            )
        if _KEYCLOAK_SIGNATURE in headers:
            signature = header(headers, _KEYCLOAK_SIGNATURE)
            proven = self._verifier.body_signature(source, signature=signature, body=body)
        else:
            proven = self._has_secret(source, headers)
        return Proof.OK if proven else Proof.MISMATCH

    def _has_secret(self, source: Source, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a bearer token or a header of the source's was sent, which is a secret."""
        token = bearer_token(headers)
        bearer = token is not None and self._verifier.bearer(source, token)
        return self._verifier.header(source, headers) or bearer


_KEYCLOAK_SIGNATURE = b"x-keycloak-signature"


def _stranger() -> Source:
    """Return a source that nobody is: an unknown one is judged by it, and takes as long."""
    secret = base64.b64encode(secrets.token_bytes(32)).decode("ascii")
    return Source(
        name=SourceName("stranger"),
        secrets=(f"whsec_{secret}",),
        bearer_tokens=(secrets.token_urlsafe(32),),
        headers=(f"x-stranger: {secrets.token_urlsafe(32)}",),
        hmac_secrets=(secrets.token_urlsafe(32),),
    )


class ApiGate:
    """Lets a request to the management API in when its access token grants the scope."""

    def __init__(self, *, registry: Registry, verifier: Verifier) -> None:
        self._registry = registry
        self._verifier = verifier

    def __call__(self, scope: Scope, handler: Handler) -> Handler:
        """Return *handler* behind the gate."""

        async def guarded(request: Request) -> Response:
            await self._admit(request, scope)
            return await handler(request)

        return guarded

    async def _admit(self, request: Request, scope: Scope) -> None:
        token = bearer_token(dict(request.scope["headers"]))
        if token is None:
            raise Unauthenticated("Missing authentication")
        access = await self._registry.access(self._verifier.token_hash(token))
        if access is None:
            raise Unauthenticated("Invalid token")
        if scope not in access.scopes:
            raise Forbidden(f"Insufficient scope, expected any of: {scope.value}")


def header(headers: Mapping[bytes, bytes], name: bytes) -> str:
    """Return the value of a header; empty where it is absent."""
    return headers.get(name, b"").decode("latin-1")


def bearer_token(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the token of ``Authorization: Bearer`` (RFC 6750 section 2.1)."""
    scheme, _, token = header(headers, b"authorization").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
