"""The public keys of somebody else: a JWK Set that is fetched, kept, and looked at anew.

What is signed with a key that the set did not have is no forgery yet: the issuer may have changed
its keys since (OpenID Connect Core section 10.1.1). So the set is fetched again; but whoever makes
up key ids must not have us ask the issuer for each, and so there is a pause after each look.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

import anyio

from keys.errors import KeySetUnavailable
from keys.jwk import PublicKeyOfSet, parse_key_set

FRESH = timedelta(minutes=5)
"""How long a set is used without another look: so long a key lives on that its issuer withdrew."""
STALE = timedelta(hours=1)
"""How long it is used while the issuer can not be reached."""
PAUSE = timedelta(seconds=10)
"""How long after a look, in vain or not, until the next one."""


class IssuerKeys:
    """One issuer's keys. *fetch* returns the JWK Set as it is, or raises KeySetUnavailable.

    *now* only ever goes forward. Of those who need a look at the same time one looks.
    """

    def __init__(self, fetch: Callable[[], Awaitable[bytes]], now: Callable[[], datetime]) -> None:
        self._fetch = fetch
        self._now = now
        self._looking = anyio.Lock()
        self._keys: Sequence[PublicKeyOfSet] = ()
        self._fetched_at: datetime | None = None
        self._next_look: datetime | None = None

    async def find(self, kid: str | None, alg: str) -> Sequence[PublicKeyOfSet]:
        """Return the keys called *kid* (all, where it is None) that verify *alg*: often one.

        Raises KeySetUnavailable where the set can not be had, or where a kid that it does not have
        is asked for in the pause after a look: nobody can say yet whether there is such a key.
        """
        if found := self._known(kid, alg, younger_than=FRESH):
            return found
        try:
            async with self._looking:
                await self._look()
        except KeySetUnavailable:
            # Somebody may have looked while we waited; else what is there must do.
            if found := self._known(kid, alg, younger_than=STALE):
                return found
            raise
        return self._known(kid, alg, younger_than=FRESH)

    async def _look(self) -> None:
        if self._pausing():
            raise KeySetUnavailable("The issuer's keys were looked up just now.")
        self._next_look = self._now() + PAUSE
        self._keys = parse_key_set(await self._fetch())
        self._fetched_at = self._now()

    def _known(
        self, kid: str | None, alg: str, *, younger_than: timedelta
    ) -> Sequence[PublicKeyOfSet]:
        """Return what fits in the set at hand; nothing, where that was fetched too long ago."""
        if self._fetched_at is None or self._now() - self._fetched_at >= younger_than:
            return ()
        named = [key for key in self._keys if kid is None or key.kid == kid]
        return [key for key in named if alg in key.algorithms]

    def _pausing(self) -> bool:
        return self._next_look is not None and self._now() < self._next_look
