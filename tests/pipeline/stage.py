"""The work set up for a test, and stand-ins for faults that the real thing can not be made to have.

A stand-in stands at the edge of a port and hands everything else on to the real thing.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from typing import Any
from urllib.parse import parse_qs

import anyio
from joserfc import jwt
from joserfc.jwk import KeySet

from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.adapters.vault import VaultSigner
from dispatcher.domain.applications import Application
from dispatcher.domain.deliveries import (
    Delivery,
    DeliveryId,
    DeliveryState,
    Outcome,
    Retrial,
    Settled,
)
from dispatcher.domain.events import ClientId
from dispatcher.domain.ledger import DeliveryFilter, DeliveryRecord
from dispatcher.domain.matching import Matched, Matcher, match
from dispatcher.pipeline.deliver import Deliver, Terms
from dispatcher.pipeline.upkeep import Upkeep
from dispatcher.pipeline.waiting import Waiting
from dispatcher.pipeline.workers import LEASE, Workers
from dispatcher.ports import Clock, Queue, Retention, Sender, Signed, Signer
from tests.kit.builders import an_application, an_event
from tests.kit.rp_server import Peer, Received, RpServer
from tests.kit.telemetry import RecordingTelemetry

ISSUER = "https://op.example/"
PATIENCE = 10.0
"""No wait goes on for longer, in seconds; none comes near it unless something is wrong."""
RETENTION = Retention(
    settled=timedelta(days=30), failed=timedelta(days=90), sessions=timedelta(days=30)
)
_jtis = count(1)
TERMS = Terms(
    issuer=ISSUER,
    lifetime=timedelta(seconds=120),
    timeout=timedelta(seconds=5),
    horizon=timedelta(hours=168),
    new_jti=lambda: f"jti-{next(_jtis)}",
    jitter=lambda: 0.0,
)


def shop_at(*uris: str, algorithm: str = "ES256", **more: Any) -> Application:
    """Return the application ``shop`` that is told of everything at *uris*."""
    return an_application("shop", urls=uris, algorithm=algorithm, **more)


def with_delivery(application: Application, **wishes: Any) -> Application:
    """Return *application* with wishes of its own in ``logout_delivery``."""
    return replace(application, delivery=replace(application.delivery, **wishes))


@dataclass
class Stage:
    """A store, a vault and a way out, all real, and the work that is done with them."""

    store: SqliteStore
    signer: VaultSigner
    sender: Sender
    clock: Clock
    telemetry: RecordingTelemetry

    def deliver(
        self,
        *,
        terms: Terms = TERMS,
        signer: Signer | None = None,
        sender: Sender | None = None,
    ) -> Deliver:
        """Return what makes one attempt."""
        return Deliver(
            registry=self.store,
            signer=signer or self.signer,
            sender=sender or self.sender,
            clock=self.clock,
            terms=terms,
        )

    def workers(
        self,
        *,
        queue: Queue | None = None,
        deliver: Deliver | None = None,
        max_in_flight: int = 256,
        telemetry: RecordingTelemetry | None = None,
        waiting: Waiting | None = None,
    ) -> Workers:
        """Return everything that happens without being asked for."""
        queue, telemetry = queue or self.store, telemetry or self.telemetry
        upkeep = Upkeep(queue=queue, ledger=self.store, telemetry=telemetry, retention=RETENTION)
        return Workers(
            queue=queue,
            deliver=deliver or self.deliver(),
            upkeep=upkeep,
            waiting=waiting or Waiting(ledger=self.store),
            telemetry=telemetry,
            clock=self.clock,
            max_in_flight=max_in_flight,
        )

    async def owe(self, application: Application, *, events: int = 1, **told: Any) -> None:
        """Owe *application*, new or known, one delivery for each of so many events."""
        if application.client_id not in self.store.applications:
            await self.store.create_application(application)
        told = {"sid": "s1", "clients": [application.client_id], **told}
        await self.store.accept([an_event(**told) for _ in range(events)])
        await self.store.match(1000, match)

    async def owe_unmatched(self, application: Application) -> None:
        """Accept one event that concerns *application*, and leave the rest to the workers."""
        if application.client_id not in self.store.applications:
            await self.store.create_application(application)
        await self.store.accept([an_event(sid="s1", clients=[application.client_id])])

    async def lent(self, application: Application, **told: Any) -> Delivery:
        """Return a delivery to *application* that was just lent to us."""
        await self.owe(application, **told)
        return (await self.store.claim(1, lease=LEASE))[0]

    async def records(self) -> Sequence[DeliveryRecord]:
        """Return all deliveries, oldest first."""
        return list(reversed(await self.store.deliveries(DeliveryFilter(take=100))))

    async def states(self) -> list[DeliveryState]:
        """Return the state of all deliveries, oldest first."""
        return [record.state for record in await self.records()]

    def opened(self, request: Received) -> jwt.Token:
        """Verify the token in *request* with a second implementation, by the published keys."""
        return opened(request, self.signer.jwks())


def opened(request: Received, jwks: Mapping[str, Any]) -> jwt.Token:
    """Verify the token in *request* with a second implementation, by *jwks*."""
    token = parse_qs(request.body.decode())["logout_token"][0]
    keys = KeySet.import_key_set({"keys": list(jwks["keys"])})
    return jwt.decode(token, keys, algorithms=["ES256", "EdDSA", "Ed25519"])


async def until(condition: Callable[[], bool]) -> None:
    """Return when *condition* holds; what brings it about runs elsewhere and tells nobody."""
    with anyio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await anyio.sleep(0.002)


async def until_true(condition: Callable[[], Awaitable[bool]]) -> None:
    """Return when the store says that *condition* holds."""
    with anyio.fail_after(PATIENCE):
        while not await condition():  # noqa: ASYNC110 - there is no event to wait for
            await anyio.sleep(0.002)


@dataclass
class Gate:
    """A server's script that holds every request until it is opened, and then answers 200."""

    opened: anyio.Event = field(default_factory=anyio.Event)

    async def __call__(self, peer: Peer) -> None:
        """Hold the request."""
        await self.opened.wait()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


async def until_asked(rp: RpServer, requests: int = 1) -> None:
    """Return when so many tokens have reached *rp*."""
    await until(lambda: len(rp.requests) >= requests)


class AQueue:
    """A queue that hands everything on to the real one: what a stand-in is made from."""

    def __init__(self, real: SqliteStore) -> None:
        self.real = real

    async def retry(self, ids: Sequence[DeliveryId]) -> Sequence[Retrial]:
        """Hand on."""
        return await self.real.retry(ids)

    async def pause(self, client_id: ClientId) -> None:
        """Hand on."""
        await self.real.pause(client_id)

    async def resume(self, client_id: ClientId) -> None:
        """Hand on."""
        await self.real.resume(client_id)

    async def accept(self, batch: Sequence[Any]) -> Sequence[Any]:
        """Hand on."""
        return await self.real.accept(batch)

    async def match(self, limit: int, matcher: Matcher) -> Sequence[Matched]:
        """Hand on."""
        return await self.real.match(limit, matcher)

    async def claim(self, limit: int, **terms: Any) -> Sequence[Delivery]:
        """Hand on."""
        return await self.real.claim(limit, **terms)

    async def settle(self, batch: Sequence[Settled]) -> Sequence[bool]:
        """Hand on."""
        return await self.real.settle(batch)

    async def wait(self, seen: int, *, at_most: timedelta) -> int:
        """Hand on."""
        return await self.real.wait(seen, at_most=at_most)

    async def prune(self, retention: Retention) -> int:
        """Hand on."""
        return await self.real.prune(retention)


class FaultyQueue(AQueue):
    """A queue whose named method raises a few times before it works."""

    def __init__(self, real: SqliteStore, method: str, error: Exception, *, times: int) -> None:
        super().__init__(real)
        self.left = times
        self._error = error
        setattr(self, method, self._faulty(getattr(real, method)))

    def _faulty(self, work: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return *work*, preceded by its faults."""

        async def faulty(*arguments: Any, **more: Any) -> Any:
            """Raise while a fault is left."""
            if self.left:
                self.left -= 1
                raise self._error
            return await work(*arguments, **more)

        return faulty


class FaultySigner:
    """A signer that raises."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def sign(self, *_: object, **__: object) -> Signed:
        """Raise."""
        raise self._error


class ScriptedSender:
    """A sender that gives one outcome after another, and the last one from then on."""

    def __init__(self, *outcomes: Outcome, then: Callable[[], None] = lambda: None) -> None:
        self.tokens: list[str] = []
        self._outcomes = list(outcomes)
        self._then = then

    async def send(self, *sent: Any, **_: object) -> Outcome:
        """Give the next outcome."""
        self.tokens.append(sent[2])
        self._then()
        return self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]
