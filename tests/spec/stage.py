"""The real service in the role of an OP, and everything that a specification lets one ask of it."""

import json
import time
import uuid
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx2
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import KeySet
from standardwebhooks.webhooks import Webhook

from tests.kit.service import Service
from tests.spec.wire import PATIENCE_SECONDS, Capture, RecordingRp

T = TypeVar("T")

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
UNSETTLED = ("pending", "in_flight")
_POLL_SECONDS = 0.02


def unique(name: str) -> str:
    """Return a name that nothing else in the run has."""
    return f"{name}-{uuid.uuid4().hex[:12]}"


def an_application(client_id: str, *urls: str, **members: Any) -> dict[str, Any]:
    """Return a client object that subscribes to everything."""
    return {
        "client_id": client_id,
        "name": client_id,
        "oidc_logout": {
            "backchannel_logout_urls": list(urls),
            "backchannel_logout_initiators": {"mode": "all"},
        },
        **members,
    }


@dataclass
class Stage:
    """A running service, the applications' server ``rp``, and an operator."""

    service: Service
    rp: RecordingRp
    http: httpx2.Client = field(default_factory=httpx2.Client)
    operator: httpx2.Client = field(init=False)

    def __post_init__(self) -> None:
        """Log the operator in."""
        self.operator = self.service.api()

    def close(self) -> None:
        """Hang up; the service goes on."""
        self.http.close()
        self.operator.close()

    def get(self, path: str) -> httpx2.Response:
        """Fetch something public."""
        return self.http.get(f"{self.service.url}{path}")

    def discovery(self) -> dict[str, Any]:
        """Return the discovery document."""
        document: dict[str, Any] = self.get("/.well-known/openid-configuration").json()
        return document

    def jwks(self) -> list[dict[str, Any]]:
        """Return the published keys."""
        keys: list[dict[str, Any]] = self.get("/.well-known/jwks.json").json()["keys"]
        return keys

    # What a source does.

    def posts(
        self,
        event: Mapping[str, Any] | Sequence[Any] | bytes,
        *,
        webhook_id: str | None = None,
        at: datetime | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> httpx2.Response:
        """Send one webhook signed by the reference library; *headers* replace, None removes."""
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        signed = self.signed(body, webhook_id=webhook_id or unique("msg"), at=at)
        kept = {
            name: value
            for name, value in {**signed, **(headers or {})}.items()
            if value is not None
        }
        return self.http.post(self.service.webhook_url, content=body, headers=kept)

    def signed(self, body: bytes, *, webhook_id: str, at: datetime | None = None) -> dict[str, str]:
        """Return the headers of a webhook, as the reference library signs it."""
        moment = at or datetime.now(UTC)
        signature = Webhook(self.service.secret).sign(webhook_id, moment, body.decode("latin-1"))
        return {
            "content-type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": signature,
        }

    def ends(self, *client_ids: str, initiator: str = "session-revoked", **members: Any) -> str:
        """Tell of the end of a session at these applications, and return the event's id."""
        clients = {"clients": [{"client_id": one} for one in client_ids]} if client_ids else {}
        answer = self.posts({"id": unique("evt"), "initiator": initiator, **clients, **members})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["event_id"])

    def joins(self, *client_ids: str, sid: str, sub: str, **members: Any) -> None:
        """Tell that a user logged in to these applications in a session."""
        clients = [{"client_id": one} for one in client_ids]
        answer = self.posts(
            {"id": unique("evt"), "type": "session.joined", "sid": sid, "sub": sub,
             "clients": clients, **members}
        )  # fmt: skip
        assert answer.status_code == 202, answer.text

    # What an operator does.

    def registers(self, *urls: str, **members: Any) -> str:
        """Register an application over the API, and return its client_id."""
        answer = self.tries_to_register(*urls, **members)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["client_id"])

    def tries_to_register(self, *urls: str, **members: Any) -> httpx2.Response:
        """Ask for a registration, and return the answer."""
        document = an_application(unique("app"), *(urls or (self.rp.uri(),)), **members)
        return self.operator.post("/api/v2/clients", json=document)

    def event(self, event_id: str) -> dict[str, Any]:
        """Return what has become of an event."""
        shown: dict[str, Any] = self.operator.get(f"/api/v2/events/{event_id}").json()
        return shown

    def deliveries(self, event_id: str) -> list[dict[str, Any]]:
        """Return an event's deliveries with their attempts."""
        answer = self.operator.get("/api/v2/deliveries", params={"event_id": event_id})
        shown: list[dict[str, Any]] = answer.json()["deliveries"]
        return shown

    def delivery(
        self, event_id: str, *, when: Callable[[dict[str, Any]], bool] | None = None
    ) -> dict[str, Any]:
        """Return an event's only delivery, as soon as it is settled, or else *when* it is so."""
        [shown] = self._until(lambda: self.deliveries(event_id), lambda found: len(found) == 1)
        return self.settled_delivery(shown["id"], when=when)

    def settled_delivery(
        self, delivery_id: str, *, when: Callable[[dict[str, Any]], bool] | None = None
    ) -> dict[str, Any]:
        """Return a delivery, as soon as it is settled, or else *when* it is so."""
        settled = when or (lambda delivery: delivery["state"] not in UNSETTLED)
        return self._until(
            lambda: self.operator.get(f"/api/v2/deliveries/{delivery_id}").json(), settled
        )

    def _until(self, look: Callable[[], T], holds: Callable[[T], bool]) -> T:
        """Look again and again until it *holds*, and return what is seen then."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        seen = look()
        while not holds(seen) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
            seen = look()
        assert holds(seen), seen
        return seen

    def waiting_delivery(self, event_id: str, *, attempts: int) -> dict[str, Any]:
        """Return an event's only delivery once it waits after so many attempts."""
        return self.delivery(
            event_id,
            when=lambda one: one["state"] == "pending" and one["attempt_count"] == attempts,
        )

    # What an application does.

    def told(self, about: str, client_id: str | None = None) -> Capture:
        """Wait for the first token about that ``sid`` or ``sub``, and return its request."""
        return self.rp.receives(about, client_id=client_id)[0]

    def verified(self, capture: Capture, alg: str = "RS256") -> jwt.Token:
        """Verify a token by nothing but the published keys, under that algorithm alone."""
        keys = KeySet.import_key_set({"keys": self.jwks()})
        with warnings.catch_warnings():
            # RFC 9864 renames EdDSA to Ed25519; OpenID providers and applications say EdDSA.
            warnings.simplefilter("ignore", SecurityWarning)
            return jwt.decode(capture.token, keys, algorithms=[alg])

    def claims_told(self, about: str, client_id: str | None = None) -> dict[str, Any]:
        """Wait for the first token about that ``sid`` or ``sub``; return its verified claims."""
        return self.verified(self.told(about, client_id)).claims


def fields_of(answer: httpx2.Response) -> list[str]:
    """Return the fields that a 400 finds fault with."""
    assert answer.status_code == 400, answer.text
    return [error["field"] for error in answer.json()["errors"]]
