"""What applications fetch: the public keys, and the discovery document."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from dispatcher.web.answers import json_answer
from dispatcher.web.doors import Doors

JWKS = "/.well-known/jwks.json"
CONFIGURATION = "/.well-known/openid-configuration"

_CACHEABLE: Mapping[str, str] = {"cache-control": "public, max-age=300"}


class Discovery:
    """Publishes what is needed to verify a logout token."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors

    async def jwks(self, _: Request) -> Response:
        """Answer the JWK Set (RFC 7517)."""
        return json_answer(self._doors.keys.jwks(), headers=_CACHEABLE)

    async def configuration(self, _: Request) -> Response:
        """Answer the discovery document (OpenID Connect Back-Channel Logout 1.0 section 2.1).

        Members from the settings let it stand in for an OP's own; what we vouch for stays ours.
        """
        algorithms = {"id_token_signing_alg_values_supported": list(self._doors.keys.algorithms)}
        ours = {
            "issuer": self._doors.issuer,
            "jwks_uri": f"{self._doors.public_url}{JWKS}",
            "backchannel_logout_supported": True,
            "backchannel_logout_session_supported": True,
        }
        return json_answer(
            {**algorithms, **self._doors.discovery_extra, **ours}, headers=_CACHEABLE
        )
