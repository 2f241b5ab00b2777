"""Who is asking: sources prove themselves per webhook, management clients by an access token."""

import base64
import secrets
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response

from dispatcher.domain.errors import ClockInDoubt, Forbidden, Unauthenticated
from dispatcher.domain.events import SourceName
from dispatcher.domain.sources import Proof, Scope, Source
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

    def admit(self, name: str, headers: Mapping[bytes, bytes], body: bytes) -> Source:
        """Return the source; raise Unauthenticated, or ClockInDoubt where that may be our fault."""
        source = self._registry.sources.get(SourceName(name))
        proof = self._proof(source or self._stranger, headers, body)
        if proof is Proof.STALE:
            raise ClockInDoubt if self._clock.in_doubt() else Unauthenticated(_STALE)
        if source is None or proof is not Proof.OK:
            raise Unauthenticated(_UNPROVEN)
        return source

    def _proof(self, source: Source, headers: Mapping[bytes, bytes], body: bytes) -> Proof:
        if b"webhook-signature" in headers:
            return self._verifier.webhook(
                source,
                webhook_id=header(headers, b"webhook-id"),
                timestamp=header(headers, b"webhook-timestamp"),
                signature=header(headers, b"webhook-signature"),
                body=body,
            )
        token = bearer_token(headers)
        proven = token is not None and self._verifier.bearer(source, token)
        return Proof.OK if proven else Proof.MISMATCH


def _stranger() -> Source:
    """Return a source that nobody is: an unknown one is judged by it, and takes as long."""
    secret = base64.b64encode(secrets.token_bytes(32)).decode("ascii")
    return Source(
        name=SourceName("stranger"),
        secrets=(f"whsec_{secret}",),
        bearer_tokens=(secrets.token_urlsafe(32),),
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
