"""The vault behind the doors ``Signer``, ``KeyKeeper`` and ``Verifier``.

Everything cryptographic is done in ``keys``; here its answers and errors are put into the words of
the house.
"""

import contextlib
import hmac
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar, TypeVarTuple

import anyio
import anyio.to_thread

from dispatcher.domain.errors import Fault, IssuerUnavailable, Unavailable
from dispatcher.domain.sources import ManagementClient, Proof, Source
from dispatcher.ports import Clock, KeySets, Signed
from keys import (
    IssuerKeys,
    KeysError,
    KeySetUnavailable,
    Vault,
    hash_secret,
    hash_token,
    verify_secret,
)
from keys.body_signature import verify_body
from keys.security_event import is_event, verify_event
from keys.webhook_signature import parse_secret, verify

SLOW_AT_ONCE = 2
"""How many client secrets are judged at once: each takes 16 MiB and some 50 ms of a core."""
MOST_WAITING = 32
"""How many more may wait for that; whoever comes then is told to come again."""
TOLERANCE = timedelta(seconds=300)
"""How far a webhook's timestamp may be off (Standard Webhooks' own libraries allow as much)."""

T = TypeVar("T")
Given = TypeVarTuple("Given")


class VaultSigner:
    """Signs with the vault's keys, and shows their public halves."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    @property
    def algorithms(self) -> Sequence[str]:
        """The algorithms that there is a current key for."""
        return self._vault.algorithms

    async def sign(self, claims: Mapping[str, object], *, alg: str, typ: str | None) -> Signed:
        """Sign *claims*; raise Unavailable where there is no key for *alg*."""
        try:  # as _told_as_unavailable, which would cost each token a microsecond
            return await self._vault.sign(claims, alg=alg, typ=typ)
        except KeysError as error:
            raise Unavailable(str(error)) from error

    def jwks(self) -> Mapping[str, object]:
        """Return the public JWK Set."""
        return self._vault.jwks()

    async def tend(self, now: datetime) -> None:
        """Take up a newer ring, and forget old keys; raise Unavailable where that fails."""
        with _told_as_unavailable():
            await self._vault.tend(now)

    async def self_check(self) -> None:
        """Sign and verify a probe with each current key; raise Unavailable where that fails."""
        with _told_as_unavailable():
            await self._vault.self_check()


@contextlib.contextmanager
def _told_as_unavailable() -> Iterator[None]:
    try:
        yield
    except KeysError as error:
        raise Unavailable(str(error)) from error


class VaultVerifier:
    """Tells whether somebody is who they say they are."""

    def __init__(self, clock: Clock, key_sets: KeySets) -> None:
        self._clock = clock
        self._key_sets = key_sets
        self._issuers: dict[str, IssuerKeys] = {}
        # Whoever guesses secrets waits for the others who do, not for the whole machine's memory.
        self._slow = anyio.CapacityLimiter(SLOW_AT_ONCE)
        self._asked = 0

    def webhook(
        self, source: Source, *, webhook_id: str, timestamp: str, signature: str, body: bytes
    ) -> Proof:
        """Judge a Standard Webhooks signature by the secrets of *source*; never raises."""
        verdict = verify(
            [*_usable(source)],
            webhook_id=webhook_id,
            timestamp=timestamp,
            signature=signature,
            body=body,
            now=self._clock.now(),
            tolerance=TOLERANCE,
        )
        return Proof(verdict.value)

    def bearer(self, source: Source, token: str) -> bool:
        """Whether *token* is one of the bearer tokens of *source*."""
        given = token.encode("utf-8", "surrogatepass")
        return any(hmac.compare_digest(given, kept.encode()) for kept in source.bearer_tokens)

    def header(self, source: Source, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a secret header of *source* is among *headers*, whose names are in lower case."""
        kept = [header.encode().split(b":", 1) for header in source.headers]
        return any(
            hmac.compare_digest(headers.get(name.lower(), b""), value.strip())
            for name, value in kept
        )

    def body_signature(self, source: Source, *, signature: str, body: bytes) -> bool:
        """Whether *signature* is the hex HMAC-SHA256 of *body* by a secret of *source*."""
        return verify_body(source.hmac_secrets, signature=signature, body=body)

    async def security_event(self, source: Source, token: bytes) -> Proof:
        """Judge a security event token by the keys of the source's issuer, fetched as needed.

        Without an issuer no signature fits. Raises IssuerUnavailable.
        """
        if source.issuer is None:
            return Proof.MISMATCH if is_event(token) else Proof.MALFORMED
        told = source.issuer
        try:
            verdict = await verify_event(
                token,
                issuer=told.issuer,
                audience=told.expected_aud,
                keys=self._keys_at(told.jwks_uri),
            )
        except KeySetUnavailable as error:
            raise IssuerUnavailable(str(error)) from error
        return Proof(verdict.value)

    def _keys_at(self, uri: str) -> IssuerKeys:
        """Return what is known of the keys at *uri*; nothing, the first time."""

        async def fetch() -> bytes:
            try:
                return await self._key_sets.fetch(uri)
            except IssuerUnavailable as error:
                raise KeySetUnavailable(error.message) from error

        return self._issuers.setdefault(uri, IssuerKeys(fetch, self._clock.steady))

    async def client_secret(self, client: ManagementClient, secret: str) -> bool:
        """Whether *secret* is that of *client*; on a thread, for it is slow by design.

        Raises Unavailable where too many wait for that already.
        """
        return await self._slowly(verify_secret, secret, client.secret_hash)

    async def secret_hash(self, secret: str) -> str:
        """Return the hash by which a client secret is stored; as slow, and Unavailable likewise."""
        return await self._slowly(hash_secret, secret)

    def new_access_token(self) -> str:
        """Return a new opaque access token, of 256 random bits."""
        return secrets.token_urlsafe(32)

    def token_hash(self, token: str) -> str:
        """Return the hash by which an access token is stored."""
        return hash_token(token)

    async def _slowly(self, work: Callable[[*Given], T], *given: *Given) -> T:
        # Counted here: the limiter knows of who waits only when they have come to run once.
        if self._asked >= SLOW_AT_ONCE + MOST_WAITING:
            raise Unavailable("Too many client secrets are being judged at once.")
        self._asked += 1
        try:
            return await anyio.to_thread.run_sync(work, *given, limiter=self._slow)
        finally:
            self._asked -= 1


def _usable(source: Source) -> Iterator[bytes]:
    """Read the webhook secrets of *source*; one that is none verifies nothing."""
    for secret in source.secrets:
        with contextlib.suppress(KeysError):
            yield parse_secret(secret)


def faults_of_source(source: Source) -> list[Fault]:
    """Return what is wrong with the webhook secrets of *source*, never quoting them."""
    faults: list[Fault] = []
    for secret in source.secrets:
        try:
            parse_secret(secret)
        except KeysError as error:
            faults.append(Fault("secret", str(error)))
    return faults
