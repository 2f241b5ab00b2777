"""The face as it is served, on a real store and with real keys, and somebody to speak to it."""

import base64
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2

from dispatcher.adapters.key_sets import HttpKeySets
from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.adapters.vault import VaultSigner, VaultVerifier, faults_of_source
from dispatcher.domain.events import ClientId, SourceName
from dispatcher.domain.matching import match
from dispatcher.domain.sources import Access, ManagementClient, Scope, Source, SourceFormat
from dispatcher.pipeline.waiting import Waiting
from dispatcher.web import Doors, build
from keys import Seal, SigningKey, Vault, hash_token
from keys.webhook_signature import parse_secret, sign
from tests.kit.builders import an_application
from tests.kit.telemetry import RecordingTelemetry
from tests.web.builders import NOW

SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
BEARER = secrets.token_urlsafe(32)


@dataclass
class StandingClock:
    """A clock that stands until it is moved; ``doubt`` is set where it is not to be trusted."""

    time: datetime = NOW
    doubt: bool = False

    def now(self) -> datetime:
        """Return the wall clock's time."""
        return self.time

    def steady(self) -> datetime:
        """Return the steady time, which is the same."""
        return self.time

    def in_doubt(self) -> bool:
        """Whether the two are said to have drifted apart."""
        return self.doubt

    def advance(self, step: timedelta) -> None:
        """Move on."""
        self.time += step


def as_bytes(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    """Return headers as they are on the wire, which need not be ASCII."""
    return {name.encode(): value.encode("latin-1") for name, value in headers.items()}


@dataclass
class Face:
    """The service without its workers: what is accepted waits."""

    doors: Doors
    store: SqliteStore
    clock: StandingClock
    telemetry: RecordingTelemetry
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    is_open: bool = True

    def __post_init__(self) -> None:
        """Open a connection that never leaves the process."""
        transport = httpx2.ASGITransport(app=build(self.doors))
        self.http = httpx2.AsyncClient(transport=transport, base_url="http://dispatcher.test")

    async def close_store(self) -> None:
        """Take the store away, once."""
        if self.is_open:
            self.is_open = False
            await self.store.close()

    async def grant(self, *scopes: Scope, token: str | None = None) -> None:
        """Let the token that ``api`` sends do what *scopes* allow, of a client that may do all."""
        client_id = ClientId("ops")
        client = ManagementClient(client_id=client_id, secret_hash="none", scopes=frozenset(Scope))
        await self.store.put_management_client(client)
        access = Access(
            client_id=client_id,
            scopes=frozenset(scopes),
            expires_at=self.clock.now() + timedelta(hours=1),
        )
        await self.store.grant(hash_token(token or self.token), access)

    async def webhook(
        self,
        told: object,
        *,
        source: str = "idp",
        webhook_id: str = "msg-1",
        headers: Mapping[str, str] | None = None,
        signed_at: datetime | None = None,
    ) -> httpx2.Response:
        """Send *told* (bytes as they are, anything else as JSON), signed as the source does."""
        body = told if isinstance(told, bytes) else json.dumps(told).encode()
        at = signed_at or self.clock.now()
        proof = sign(parse_secret(SECRET), webhook_id=webhook_id, timestamp=at, body=body)
        sent = {"content-type": "application/json", **proof, **(headers or {})}
        return await self.http.post(
            f"/webhooks/{source}",
            content=body,
            headers=as_bytes(sent),
        )

    async def knows(self, name: str, kind: SourceFormat, **members: Any) -> Source:
        """Make a source of that format known, which proves itself as *members* say."""
        source = Source(name=SourceName(name), format=kind, **members)
        await self.store.put_source(source)
        return source

    async def posts(
        self, source: str, told: object, headers: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        """Send *told* (bytes as they are, anything else as JSON) with nothing but *headers*."""
        body = told if isinstance(told, bytes) else json.dumps(told).encode()
        sent = as_bytes(headers or {})
        return await self.http.post(f"/webhooks/{source}", content=body, headers=sent)

    async def registers(self, *client_ids: str) -> None:
        """Have applications that are told of everything."""
        for client_id in client_ids:
            await self.store.create_application(an_application(client_id))

    async def tells(self) -> list[tuple[str, str]]:
        """Match what was accepted, and return who is to be told why: client_id and initiator."""
        matched = await self.store.match(1000, match)
        return [
            (delivery.client_id, one.event.initiator)
            for one in matched
            for delivery in one.matching.deliveries
        ]

    async def api(
        self,
        method: str,
        path: str,
        document: object = None,
        *,
        params: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        """Call the management API with the token."""
        content = None if document is None else json.dumps(document).encode()
        return await self.http.request(
            method,
            f"/api/v2/{path}",
            content=content,
            params=params,
            headers={
                "authorization": f"Bearer {self.token}",
                "content-type": "application/json",
            },
        )

    async def stored(self) -> list[dict[str, Any]]:
        """Return every event that is on disk."""
        await self.grant(*Scope)
        events: list[dict[str, Any]] = (await self.api("GET", "events")).json()["events"]
        return events


@asynccontextmanager
async def opened(path: Path, seal: Seal, key: SigningKey) -> AsyncIterator[Face]:
    """Open the face on the store at *path*, and close both."""
    clock, telemetry = StandingClock(), RecordingTelemetry()
    store = await SqliteStore.open(path, seal=seal, clock=clock)
    vault = await Vault.open(
        store=store, seal=seal, now=NOW, algorithms=[key.alg], imported=[key], threads=0
    )
    doors = Doors(
        queue=store,
        registry=store,
        sessions=store,
        ledger=store,
        health=store,
        keys=VaultSigner(vault),
        verifier=VaultVerifier(clock, HttpKeySets(user_agent="tests")),
        check_source=faults_of_source,
        telemetry=telemetry,
        clock=clock,
        waiting=Waiting(ledger=store),
        issuer="https://op.example/",
        public_url="https://dispatcher.example",
    )
    face = Face(doors=doors, store=store, clock=clock, telemetry=telemetry)
    yield face
    await face.http.aclose()
    vault.close()
    await face.close_store()
