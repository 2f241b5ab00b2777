"""The doors of the house: what the work needs of the world, in the words of the domain.

Adapters raise only errors of ``domain.errors`` through these doors; a vendor's exception never
crosses one.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from dispatcher.domain.applications import Application
from dispatcher.domain.deliveries import (
    Delivery,
    DeliveryId,
    Outcome,
    Retrial,
    Settled,
)
from dispatcher.domain.events import (
    ClientId,
    EventId,
    Intake,
    Receipt,
    Sid,
    SourceName,
    Sub,
)
from dispatcher.domain.ledger import (
    MOST_PER_PAGE,
    DeliveryFilter,
    DeliveryRecord,
    Depth,
    EventFilter,
    EventRecord,
    LaneRecord,
)
from dispatcher.domain.matching import Applications, Matched, Matcher
from dispatcher.domain.sessions import Session
from dispatcher.domain.sources import Access, ManagementClient, PassedOver, Proof, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long what is over is kept; an intake's id is remembered for ``ids`` at least."""

    settled: timedelta
    failed: timedelta
    sessions: timedelta
    ids: timedelta = timedelta(days=30)


PRUNED_AT_ONCE = 500
"""How many rows of one kind are forgotten in one transaction at most."""


def unchecked(_: object) -> None:
    """Let whatever it is go."""


class Queue(Protocol):
    """The durable queue. Every method is one transaction; when it returns, it is on disk."""

    async def accept(self, batch: Sequence[Intake]) -> Sequence[Receipt]:
        """Store the whole *batch* or nothing of it; a repeat gets the receipt of the first.

        A ``SessionJoined`` updates the session registry, and hands the event that ended its session
        out for matching once more where ``ends_late_join`` says so.

        Raises Conflict (naming the index) where an id comes back with other content, or a session
        with another ``sub``; DiskReserve; StoreUnavailable.
        """

    async def match(self, limit: int, matcher: Matcher) -> Sequence[Matched]:
        """Match up to *limit* accepted events, oldest first, and store what they owe.

        *matcher* is pure and runs inside the transaction that holds the session's and the subject's
        rows, so that no join is missed. An event that it can not tell of stays due, and holds up no
        other. A delivery that is there already is left as it is. A user-wide delivery supersedes
        older pending user-wide ones of the same ``sub`` and initiator at its URI.
        """

    async def claim(
        self,
        limit: int,
        *,
        lease: timedelta,
        retries: int | None = None,
        per_lane: int | None = None,
    ) -> Sequence[Delivery]:
        """Lend out up to *limit* due deliveries that nobody holds, or whose lease ran out.

        Applications take turns, and none gets more than its ``max_in_flight`` at once, more than
        *per_lane*, or more than its lane allows. At most *retries* of what is lent out were tried
        before: where more are due, first attempts of any application come in their place.
        """

    async def settle(self, batch: Sequence[Settled]) -> Sequence[bool]:
        """Record attempts and move deliveries on; False for each whose lease is no longer ours.

        The lanes are told of what became of their attempts; where one opens, what waits in it is
        due: all, but for what was put off beyond the oldest few thousand.
        """

    async def retry(self, ids: Sequence[DeliveryId]) -> Sequence[Retrial]:
        """Owe settled deliveries once more, as a person asks; say by ``retrial_of`` what of each.

        What is retried is due at once and starts its schedule and its horizon anew, while its
        attempts go on counting. Where its URI is none of its application's any more it goes to the
        first of those that are, unless the same event is delivered there already.
        """

    async def pause(self, client_id: ClientId) -> None:
        """Start nothing more for an application; what is in flight ends as it will."""

    async def resume(self, client_id: ClientId) -> None:
        """Let a paused lane go on, with what has gathered due at once."""

    async def wait(self, seen: int, *, at_most: timedelta) -> int:
        """Return when there may be something to match or to claim, or after *at_most*: a hint.

        *seen* is what the last call returned (0 at first): what came up since then, while the
        caller was busy, makes this call return at once.
        """

    async def prune(self, retention: Retention) -> int:
        """Forget what is over and older than its retention; return how many rows went.

        Works in bites, so that it never holds up an accept; call again while they are full.
        """


class Registry(Protocol):
    """Applications, sources and management clients. Reads are from memory and never wait."""

    @property
    def applications(self) -> Applications:
        """All applications, by client_id, oldest first; an immutable snapshot."""

    @property
    def sources(self) -> Mapping[SourceName, Source]:
        """All sources by name; an immutable snapshot."""

    async def create_application(self, application: Application) -> None:
        """Add *application*; raise Conflict where its client_id is taken."""

    async def replace_application(self, application: Application) -> None:
        """Replace the record of the same client_id; raise NotFound where there is none."""

    async def change_application(
        self, client_id: ClientId, change: Callable[[Application], Application]
    ) -> Application:
        """Replace a record by what *change* makes of it, and return that; or raise NotFound.

        *change* is given the record as it is now, which nobody else changes meanwhile. It is a pure
        function, may be called more than once and on any thread; what it raises is raised. Pending
        deliveries to a URI that is taken away go to the one that is added.
        """

    async def delete_application(
        self, client_id: ClientId, check: Callable[[Application], object] = unchecked
    ) -> None:
        """Remove an application; what it is owed is cancelled when it comes to be sent.

        *check* is given it as it is now, as a change is; what it raises is raised.
        """

    async def create_source(self, source: Source) -> None:
        """Add *source*, its secrets sealed; raise Conflict where its name is taken."""

    async def put_source(self, source: Source) -> None:
        """Create or replace *source*; its secrets are sealed."""

    async def change_source(self, name: SourceName, change: Callable[[Source], Source]) -> Source:
        """Replace a source by what *change* makes of it, as an application; raise NotFound."""

    async def delete_source(
        self, name: SourceName, check: Callable[[Source], object] = unchecked
    ) -> None:
        """Forget a source: nothing that it sends is accepted any more. Unknown is no error."""

    async def put_management_client(self, client: ManagementClient) -> None:
        """Create or replace *client*; where its scopes are others, its access tokens are forgotten.

        Another hash of its secret takes no token away: one and the same secret is hashed anew at
        each start. Where the secret itself was replaced, tokens live until they expire or are
        revoked.
        """

    async def keep_management_clients(self, names: Collection[ClientId]) -> Sequence[ClientId]:
        """Forget every management client not named; return them. Their tokens open nothing more."""

    async def management_client(self, client_id: ClientId) -> ManagementClient | None:
        """Return the management client of that name."""

    async def grant(self, token_hash: str, access: Access) -> None:
        """Remember what the access token of that hash allows."""

    async def access(self, token_hash: str) -> Access | None:
        """Return what the access token of that hash allows, unless it has expired.

        It allows nothing that its client may not do now, and where that is gone nothing at all.
        """

    async def revoke(self, token_hash: str) -> None:
        """Forget an access token; an unknown one is no error (RFC 7009 section 2.2)."""


class SessionPlace(NamedTuple):
    """A place in the list of a user's sessions, whether the session is still there or not."""

    created_at: datetime
    sid: Sid


class Sessions(Protocol):
    """The session registry, for reading."""

    async def session(self, sid: Sid) -> Session | None:
        """Return one session."""

    async def sessions_of(
        self, sub: Sub, *, after: SessionPlace | None = None, take: int = MOST_PER_PAGE
    ) -> Sequence[Session]:
        """Return the sessions of one user, newest first, those past *after*."""


class Ledger(Protocol):
    """What has been recorded, for people."""

    async def events(self, wanted: EventFilter) -> Sequence[EventRecord]:
        """Return events, newest first, each with its deliveries (without their attempts)."""

    async def event(self, event_id: EventId) -> EventRecord | None:
        """Return one event with its deliveries (without their attempts)."""

    async def deliveries(self, wanted: DeliveryFilter) -> Sequence[DeliveryRecord]:
        """Return deliveries, newest first, each with its attempts."""

    async def delivery(self, delivery_id: DeliveryId) -> DeliveryRecord | None:
        """Return one delivery with its attempts."""

    async def heard_of(self, events: Collection[EventId]) -> Collection[EventId]:
        """Return those of *events* of which there is nothing to be heard soon.

        They are matched, and each of their deliveries has had an attempt, is over, or is pending on
        a lane that is not open.
        """

    async def lanes(self, after: ClientId | None, take: int) -> Sequence[LaneRecord]:
        """Return the lanes that have or had deliveries, by client_id, those past *after*."""

    async def depth(self) -> Depth:
        """Return how much is waiting."""


class StoreHealth(Protocol):
    """Whether the store can be relied upon now."""

    async def writable(self) -> str | None:
        """Return what is wrong, having truly written and rolled back; None where nothing is."""

    def disk_low(self) -> bool:
        """Whether free disk is below the reserve, so that intake is refused."""


class Sender(Protocol):
    """Carries a logout token to an application."""

    async def send(
        self, application: Application, uri: str, token: str, *, timeout: timedelta
    ) -> Outcome:
        """POST *token* to *uri* and say what came of it, within *timeout* from start to end."""


class Signed(Protocol):
    """A signed token and the key that signed it."""

    @property
    def token(self) -> str:
        """The JWS in its compact form."""

    @property
    def kid(self) -> str:
        """The signing key's id."""


class Signer(Protocol):
    """Signs claims with the OP's key."""

    async def sign(self, claims: Mapping[str, object], *, alg: str, typ: str | None) -> Signed:
        """Sign *claims* with the current key for *alg*; raise Unavailable where there is none."""


class KeyKeeper(Protocol):
    """What the world may know of the OP's keys."""

    @property
    def algorithms(self) -> Sequence[str]:
        """The algorithms that there is a current key for."""

    def jwks(self) -> Mapping[str, object]:
        """Return the public JWK Set (RFC 7517): keys published ahead, current and previous."""

    async def tend(self, now: datetime) -> None:
        """Take up what another replica has changed, and forget keys that nobody meets any more.

        Raises Unavailable; the keys in force stay.
        """

    async def self_check(self) -> None:
        """Sign and verify a probe with each current key; raise Unavailable where that fails."""


class KeySets(Protocol):
    """Fetches the public keys of those who sign what they send."""

    async def fetch(self, uri: str) -> bytes:
        """Return the JWK Set at *uri* as it is; raise IssuerUnavailable where it can not be had."""


class Verifier(Protocol):
    """Tells whether somebody is who they say they are. Every comparison takes constant time."""

    def webhook(
        self, source: Source, *, webhook_id: str, timestamp: str, signature: str, body: bytes
    ) -> Proof:
        """Judge a Standard Webhooks signature by the secrets of *source*; never raises."""

    def bearer(self, source: Source, token: str) -> bool:
        """Whether *token* is one of the bearer tokens of *source*."""

    def header(self, source: Source, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a secret header of *source* is among *headers*, whose names are in lower case."""

    def body_signature(self, source: Source, *, signature: str, body: bytes) -> bool:
        """Whether *signature* is the hex HMAC-SHA256 of *body* by a secret of *source*."""

    async def security_event(self, source: Source, token: bytes) -> Proof:
        """Judge a security event token by the keys of the source's issuer, fetched as needed.

        Without an issuer no signature fits. Raises IssuerUnavailable, a fault of ours.
        """

    async def client_secret(self, client: ManagementClient, secret: str) -> bool:
        """Whether *secret* is that of *client*; works on a thread, for it is slow by design."""

    async def secret_hash(self, secret: str) -> str:
        """Return the hash by which a client secret is stored; slow by design."""

    def new_access_token(self) -> str:
        """Return a new opaque access token, of 256 random bits."""

    def token_hash(self, token: str) -> str:
        """Return the hash by which an access token is stored."""


class Telemetry(Protocol):
    """What the service tells on itself: metrics and logs, never a token, ``sub`` or ``sid``."""

    def accepted(self, intake: Intake, *, repeated: bool) -> None:
        """Count one intake that is on disk."""

    def turned_away(self, source: str, code: str) -> None:
        """Count one webhook that was not accepted, by the error's code."""

    def passed_over(self, source: SourceName, reason: PassedOver) -> None:
        """Count what a source told of and nothing became of; log it where a logout may be lost."""

    def matched(self, matched: Matched) -> None:
        """Count one matched event."""

    def attempted(self, settled: Settled) -> None:
        """Count one attempt, and log its outcome."""

    def settled(self, settled: Settled, *, held: bool) -> None:
        """Count one settlement; *held* is False where the lease was lost, so nothing written."""

    def waiting(self, depth: Depth) -> None:
        """Note how much is waiting, and for how long."""

    def note_clock(self) -> None:
        """Note how far the two clocks have drifted apart; log it when they come into doubt."""

    def worker_failed(self, worker: str, error: Exception) -> None:
        """Log in full that a worker stumbled and goes on."""


class Clock(Protocol):
    """Two times: the wall's for what others read, a steady one for what is due."""

    def now(self) -> datetime:
        """Return the wall clock's time, aware, in UTC."""

    def steady(self) -> datetime:
        """Return a time that only ever goes forward, anchored to the wall clock at the start."""

    def in_doubt(self) -> bool:
        """Whether the two have drifted apart by more than two seconds."""
