"""``/oauth/token`` (RFC 6749 section 4.4) and ``/oauth/revoke`` (RFC 7009).

Access tokens are opaque and stored as hashes. An unknown client takes as long as a wrong secret,
and whoever guesses waits.
"""

import base64
import binascii
import ipaddress
import math
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import parse_qsl, unquote_plus, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from dispatcher.domain.errors import DispatcherError, Invalid
from dispatcher.domain.events import ClientId, is_identifier
from dispatcher.domain.sources import Access, ManagementClient, Scope
from dispatcher.domain.throttle import Guesses
from dispatcher.web.answers import NO_STORE, json_answer
from dispatcher.web.bodies import decode, media_type, read_body
from dispatcher.web.doors import Doors
from dispatcher.web.gates import header
from dispatcher.web.problems import API, InvalidBody

LIFETIME = timedelta(seconds=86400)
_MOST_BYTES = 1 << 16


class OAuthError(Exception):
    """A refusal in the words of RFC 6749 section 5.2."""

    def __init__(
        self, error: str, description: str, *, status: int = 400, wait: timedelta | None = None
    ) -> None:
        self.error = error
        self.description = description
        self.status = status
        self.wait = wait
        super().__init__(description)


def render_oauth_error(error: OAuthError) -> Response:
    """Answer with *error* as RFC 6749 section 5.2 has it."""
    return json_answer(
        {"error": error.error, "error_description": error.description},
        status=error.status,
        headers={**NO_STORE, **_headers(error)},
    )


def _headers(error: OAuthError) -> dict[str, str]:
    if error.wait is not None:
        return {"retry-after": str(math.ceil(error.wait.total_seconds()))}
    return {"www-authenticate": 'Basic realm="oauth"'} if error.status == 401 else {}  # noqa: PLR2004 - a status


@dataclass(frozen=True, slots=True)
class _Credentials:
    """What a client gave: its id, and each way to read its secret."""

    client_id: str
    readings: tuple[str, ...] = field(repr=False)


class OAuth:
    """Hands out access tokens to management clients, and takes them back."""

    def __init__(self, doors: Doors) -> None:
        self._registry = doors.registry
        self._verifier = doors.verifier
        self._clock = doors.clock
        self._audience = _place(f"{doors.public_url}{API}/")
        self._stranger: ManagementClient | None = None
        self._guesses = Guesses()

    async def token(self, request: Request) -> Response:
        """Answer a client_credentials grant."""
        parameters = await _parameters(request)
        _check_grant_type(parameters)
        client = await self._client(request, parameters)
        self._check_audience(parameters.get("audience"))
        scopes = _granted(client, parameters.get("scope"))

        token = self._verifier.new_access_token()
        access = Access(
            client_id=client.client_id, scopes=scopes, expires_at=self._clock.now() + LIFETIME
        )
        await self._registry.grant(self._verifier.token_hash(token), access)

        return json_answer(
            {
                "access_token": token,
                "token_type": "Bearer",
                "expires_in": int(LIFETIME.total_seconds()),
                "scope": " ".join(sorted(scopes)),
            },
            headers=NOT_KEPT,
        )

    async def revoke(self, request: Request) -> Response:
        """Forget a token of the client's own; one that is unknown is no error."""
        parameters = await _parameters(request)
        client = await self._client(request, parameters)
        token = parameters.get("token")
        if not token:
            raise OAuthError("invalid_request", "token is required")

        token_hash = self._verifier.token_hash(token)
        access = await self._registry.access(token_hash)
        if access is not None and access.client_id != client.client_id:
            raise OAuthError("unauthorized_client", "The token was issued to another client")
        await self._registry.revoke(token_hash)

        return Response(status_code=200, headers=NO_STORE)

    async def _client(self, request: Request, parameters: Mapping[str, str]) -> ManagementClient:
        """Return who asks; a fault of ours meanwhile is not counted as a wrong secret."""
        given = _credentials(request, parameters)
        # What can be nobody's name is asked of no store, and needs no count of its own.
        asked_for = ClientId(given.client_id if is_identifier(given.client_id) else "")
        guess = self._guesses.begin(asked_for, _address(request), self._clock.steady())
        if guess.wait:
            raise OAuthError(
                "too_many_attempts",
                "Too many wrong secrets came from here",
                status=429,
                wait=guess.wait,
            )
        try:
            client = await self._proven(asked_for, given.readings)
        except DispatcherError:
            self._guesses.take_back(guess)
            raise
        if client is None:
            self._guesses.wrong(guess, self._clock.steady())
            raise OAuthError(
                "invalid_client", "The client is unknown, or its secret is wrong", status=401
            )
        self._guesses.proved(guess)
        return client

    async def _proven(
        self, client_id: ClientId, readings: Sequence[str]
    ) -> ManagementClient | None:
        stranger = await self._nobody()
        client = await self._who(client_id)
        for secret in readings:
            proven = await self._verifier.client_secret(client or stranger, secret)
            if client is not None and proven:
                return client
        return None

    async def _who(self, client_id: ClientId) -> ManagementClient | None:
        """Return the management client of that name; an application is one that may do nothing."""
        client = await self._registry.management_client(client_id)
        application = self._registry.applications.get(client_id)
        if client is not None or application is None or application.secret_hash is None:
            return client
        return ManagementClient(
            client_id=client_id, secret_hash=application.secret_hash, scopes=frozenset()
        )

    async def _nobody(self) -> ManagementClient:
        """Return a client that nobody is: an unknown one is judged by it, and takes as long."""
        if self._stranger is None:
            secret_hash = await self._verifier.secret_hash(secrets.token_urlsafe(32))
            self._stranger = ManagementClient(
                client_id=ClientId(""), secret_hash=secret_hash, scopes=frozenset()
            )
        return self._stranger

    def _check_audience(self, audience: str | None) -> None:
        if audience and _place(audience) != self._audience:
            raise OAuthError("invalid_request", "The audience is not this API")


def _check_grant_type(parameters: Mapping[str, str]) -> None:
    grant_type = parameters.get("grant_type")
    if not grant_type:
        raise OAuthError("invalid_request", "grant_type is required")
    if grant_type != "client_credentials":
        raise OAuthError("unsupported_grant_type", "Only client_credentials is supported")


def _granted(client: ManagementClient, requested: str | None) -> frozenset[Scope]:
    """Return those of the scopes asked for that the client has, or all that it has.

    What is granted may be less than what was asked for, and the answer says so (RFC 6749 section
    3.3); where nothing is left it is refused.
    """
    if not client.scopes:
        raise OAuthError("unauthorized_client", "The client may not call the management API")
    if not requested or not requested.split():
        return client.scopes
    granted = client.scopes & set(requested.split())
    if not granted:
        raise OAuthError("invalid_scope", "The client has none of the scopes that it asks for")
    return frozenset(map(Scope, granted))


_PREFIX_OF_ONE_PARTY = 64
"""Who has one IPv6 address has the other ones of its network too (RFC 6177)."""
_LONGEST_ADDRESS = 64


def _address(request: Request) -> str:
    """Return where a request comes from, as one party: an IPv4 address, or an IPv6 network."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host[:_LONGEST_ADDRESS]
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    mapped = address.ipv4_mapped
    return str(mapped or ipaddress.ip_network((address.packed, _PREFIX_OF_ONE_PARTY), strict=False))


def _place(url: str) -> tuple[str, str]:
    """Return host and path of *url*: its scheme may differ where TLS is terminated in front."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    return parts.netloc.lower(), parts.path.rstrip("/")


NOT_KEPT = {**NO_STORE, "pragma": "no-cache"}
"""What RFC 6749 section 5.1 asks of an answer with a token."""


async def _parameters(request: Request) -> dict[str, str]:
    """Read the request's parameters, from a form or from JSON."""
    body = await read_body(request, most=_MOST_BYTES)
    match media_type(dict(request.scope["headers"])):
        case "application/x-www-form-urlencoded":
            return _form(body)
        case "application/json":
            return _json(body)
        case _:
            raise OAuthError(
                "invalid_request", "The body must be application/x-www-form-urlencoded or JSON"
            )


def _form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise OAuthError("invalid_request", "The form can not be read") from None
    if any(count > 1 for count in Counter(name for name, _ in pairs).values()):
        raise OAuthError("invalid_request", "A parameter is given more than once")
    return dict(pairs)


def _json(body: bytes) -> dict[str, str]:
    try:
        document = decode(body, error=InvalidBody)
    except Invalid as error:
        raise OAuthError("invalid_request", f"The body {error.faults[0].message}") from None
    if not isinstance(document, dict):
        raise OAuthError("invalid_request", "The body is not a JSON object")
    return {name: value for name, value in document.items() if isinstance(value, str)}


def _credentials(request: Request, parameters: Mapping[str, str]) -> _Credentials:
    """Read the client's credentials, from HTTP Basic or from the body, not from both."""
    scheme, _, encoded = header(dict(request.scope["headers"]), b"authorization").partition(" ")
    if scheme.lower() != "basic":
        secret = parameters.get("client_secret", "")
        return _Credentials(parameters.get("client_id", ""), (secret,))
    if "client_secret" in parameters:
        raise OAuthError("invalid_request", "The client authenticates in more than one way")
    return _basic(encoded)


def _basic(encoded: str) -> _Credentials:
    """Read Basic credentials, which RFC 6749 section 2.3.1 has form-encoded and many leave plain.

    Where the two readings differ both are tried.
    """
    try:
        pair = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (ValueError, binascii.Error):
        pair = ""
    client_id, _, secret = pair.partition(":")
    readings = dict.fromkeys([unquote_plus(secret), secret])
    return _Credentials(unquote_plus(client_id), tuple(readings))
