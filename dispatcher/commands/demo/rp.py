"""A sample application (relying party) that takes OpenID Connect Back-Channel Logout at its word.

It keeps its sessions in memory and shows them; a logout token is verified as section 2.6 asks, with
an implementation of JOSE other than the one that signs, and by nothing but the keys that the
service publishes. Only then are sessions really ended.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import httpx2
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
LONGEST_AGE_SECONDS = 120
LEEWAY_SECONDS = 5

FetchKeys = Callable[[], Awaitable[Mapping[str, Any]]]
"""Returns the published JWK Set."""


class Refused(Exception):
    """This is not a logout token that this application may act on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What an application and its OpenID Provider agreed on."""

    client_id: str
    issuer: str
    algorithm: str
    token_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutToken:
    """What a verified logout token says."""

    jti: str
    sub: str | None
    sid: str | None


@dataclass(frozen=True, slots=True)
class Heard:
    """A logout token that was verified, and when, on this process's steady clock."""

    token: LogoutToken
    at: timedelta


def steady() -> timedelta:
    """Return a time that only goes forward, the same for all of this process."""
    return timedelta(seconds=time.perf_counter())


def read_logout_token(token: str, *, keys: KeySet, registration: Registration) -> LogoutToken:
    """Verify *token* (Back-Channel Logout 1.0 section 2.6); raise Refused where it is not good.

    Raises InvalidKeyIdError where it is signed with a key that is not among *keys*.
    """
    try:
        read = jwt.decode(token, keys, algorithms=[registration.algorithm])
        _claims_of(registration).validate(read.claims)
    except InvalidKeyIdError:
        raise
    except (JoseError, ValueError) as error:
        raise Refused(str(error)) from None
    fault = _fault_of(read.header, read.claims, registration)
    if fault is not None:
        raise Refused(fault)
    claims = read.claims
    return LogoutToken(jti=claims["jti"], sub=claims.get("sub"), sid=claims.get("sid"))


def _claims_of(registration: Registration) -> jwt.JWTClaimsRegistry:
    return jwt.JWTClaimsRegistry(
        leeway=LEEWAY_SECONDS,
        iss={"essential": True, "value": registration.issuer},
        aud={"essential": True, "value": registration.client_id},
        iat={"essential": True},
        exp={"essential": True},
        jti={"essential": True},
        events={"essential": True},
    )


def _fault_of(
    header: Mapping[str, Any], claims: Mapping[str, Any], registration: Registration
) -> str | None:
    """Return what makes a signed and addressed token no logout token, or None."""
    faults = {
        f"typ is not {registration.token_type}": header.get("typ") != registration.token_type,
        "iat is too long ago": claims["iat"] < time.time() - LONGEST_AGE_SECONDS - LEEWAY_SECONDS,
        "events has not the one logout event": claims["events"] != {LOGOUT_EVENT: {}},
        "there is a nonce": "nonce" in claims,
        "there is neither sub nor sid": "sub" not in claims and "sid" not in claims,
        "sid is not a string": not isinstance(claims.get("sid", ""), str),
    }
    return next((fault for fault, found in faults.items() if found), None)


async def published_keys(client: httpx2.AsyncClient, issuer: str) -> Mapping[str, Any]:
    """Fetch the JWK Set of *issuer*, which its discovery document names."""
    discovery = await client.get(f"{issuer}/.well-known/openid-configuration")
    document = discovery.raise_for_status().json()
    if document["issuer"] != issuer:
        raise Refused(f"the discovery document is of {document['issuer']}")
    keys = await client.get(document["jwks_uri"])
    published: Mapping[str, Any] = keys.raise_for_status().json()
    return published


class SampleRp:
    """One sample application: its sessions (sid → user), and the door where logouts come in.

    The first *stumbles* logouts are answered with 503, as by an application that is starting up.
    """

    def __init__(
        self,
        registration: Registration,
        *,
        sessions: Mapping[str, str],
        fetch_keys: FetchKeys,
        stumbles: int = 0,
    ) -> None:
        self.sessions = dict(sessions)
        self.heard: list[Heard] = []
        self.refused: list[str] = []
        self.stumbled = 0
        self._registration = registration
        self._stumbles = stumbles
        self._fetch_keys = fetch_keys
        self._keys: KeySet | None = None
        self.app = Starlette(
            routes=[
                Route("/sessions", self._show, methods=["GET"]),
                Route("/backchannel-logout", self._log_out, methods=["POST"]),
            ]
        )

    async def _show(self, _: Request) -> Response:
        return JSONResponse({"client_id": self._registration.client_id, "sessions": self.sessions})

    async def _log_out(self, request: Request) -> Response:
        """End what the logout token names: 200, or 400 where it is not good (section 2.8)."""
        if self.stumbled < self._stumbles:
            self.stumbled += 1
            return _answer(503, "temporarily_unavailable", "starting up")
        form = await request.form()
        try:
            token = await self._verified(str(form.get("logout_token", "")))
        except Refused as refused:
            self.refused.append(str(refused))
            return _answer(400, "invalid_request", str(refused))
        except httpx2.HTTPError as error:
            return _answer(503, "temporarily_unavailable", f"no keys: {type(error).__name__}")
        self.heard.append(Heard(token, steady()))
        self._end(token)
        return Response(headers={"Cache-Control": "no-store"})

    async def _verified(self, text: str) -> LogoutToken:
        """Verify a token; a key that is not known yet is looked up once more."""
        try:
            token = await self._read(text)
        except InvalidKeyIdError:
            self._keys = None
            try:
                token = await self._read(text)
            except InvalidKeyIdError as error:
                raise Refused(str(error)) from None
        if any(token.jti == heard.token.jti for heard in self.heard):
            raise Refused("this jti was used before")
        return token

    async def _read(self, text: str) -> LogoutToken:
        if self._keys is None:
            published: Any = await self._fetch_keys()
            self._keys = KeySet.import_key_set(published)
        return read_logout_token(text, keys=self._keys, registration=self._registration)

    def _end(self, token: LogoutToken) -> None:
        """End the session that *token* names, or without ``sid`` all of the user's."""
        for sid, user in list(self.sessions.items()):
            if token.sid in {None, sid} and token.sub in {None, user}:
                del self.sessions[sid]


def _answer(status: int, error: str, description: str) -> Response:
    return JSONResponse(
        {"error": error, "error_description": description},
        status_code=status,
        headers={"Cache-Control": "no-store"},
    )
