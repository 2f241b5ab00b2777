"""The door ``KeySets``: public keys of issuers, fetched over HTTPS.

The URI is the operator's own word, from the declarative file: its address is not judged, as those
of applications are. No redirect is followed and no proxy of the environment is asked.
"""

import ssl
from functools import cached_property

import anyio
import httpx2

from dispatcher.domain.errors import IssuerUnavailable

SECONDS = 5.0
"""How long a whole fetch may take: the webhook that needs the keys waits for it."""
MOST_BYTES = 1 << 18


class HttpKeySets:
    """Fetches JWK Sets; *context* is TLS's, where it is not the system's own."""

    def __init__(self, *, user_agent: str, context: ssl.SSLContext | None = None) -> None:
        # What is compressed could be far larger than it seems.
        self._headers = {
            "accept": "application/jwk-set+json, application/json",
            "accept-encoding": "identity",
            "user-agent": user_agent,
        }
        self._given = context

    async def fetch(self, uri: str) -> bytes:
        """Return the JWK Set at *uri* as it is; raise IssuerUnavailable where it can not be had."""
        try:
            with anyio.fail_after(SECONDS):
                return await self._fetch(uri)
        except TimeoutError:
            raise IssuerUnavailable("The issuer's keys did not come in time.") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            kind = type(error).__name__
            raise IssuerUnavailable(f"The issuer's keys can not be fetched: {kind}.") from error

    async def _fetch(self, uri: str) -> bytes:
        # A client for each fetch: they are minutes apart, and nothing is left to be closed.
        async with (
            httpx2.AsyncClient(verify=self._context, trust_env=False, timeout=SECONDS) as client,
            client.stream("GET", uri, headers=self._headers) as answer,
        ):
            if answer.status_code != httpx2.codes.OK:
                raise IssuerUnavailable(f"The issuer answered {answer.status_code} for its keys.")
            read = bytearray()
            async for piece in answer.aiter_raw():
                read += piece
                if len(read) > MOST_BYTES:
                    raise IssuerUnavailable("The issuer's keys are too large.")
            return bytes(read)

    @cached_property
    def _context(self) -> ssl.SSLContext:
        """What TLS trusts: reading all authorities takes 50 ms, and is done where it is needed."""
        return self._given or ssl.create_default_context()
