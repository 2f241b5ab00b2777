"""The steps that journeys and the laboratory share: a service with applications, load, patience."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
from standardwebhooks.webhooks import Webhook

from tests.kit.processes import a_producer, history_of
from tests.kit.registration import a_client
from tests.kit.service import Service

APPLICATIONS = ("crm", "shop", "wiki")
QUICK_KEYS = {"DISPATCHER_ALGORITHMS": "ES256"}
PATIENCE_SECONDS = 90.0
_WAITING = (("deliveries", "pending"), ("deliveries", "in_flight"), ("events", "accepted"))


def uris_of(ports: Iterable[int]) -> list[str]:
    """Return the Back-Channel Logout URI at each of *ports* of loopback."""
    return [f"http://127.0.0.1:{port}/logout" for port in ports]


def a_service(folder: Path, uris: Sequence[str], **environment: str) -> Service:
    """Return a service that is to tell an application at each of *uris*, with quickly made keys."""
    applications = [
        a_client(client_id, uri, algorithm="ES256")
        for client_id, uri in zip(APPLICATIONS, uris, strict=False)
    ]
    variables = {f"DISPATCHER_{name}": value for name, value in environment.items()}
    return Service(folder, applications, {**QUICK_KEYS, **variables})


def an_event(number: int | str, *client_ids: str) -> dict[str, Any]:
    """Return the end of a session of its own."""
    sid = f"s{number}"
    return {
        "id": sid,
        "initiator": "session-revoked",
        "sub": f"user-{number}",
        "sid": sid,
        "clients": [{"client_id": client_id} for client_id in client_ids or APPLICATIONS],
    }


def an_order(
    service: Service,
    events: Iterable[Mapping[str, Any]],
    *,
    beside: Sequence[Service] = (),
    connections: int = 16,
    rate: float | None = None,
) -> dict[str, object]:
    """Return a producer's order to send each of *events* to *service*, *rate* a second.

    What one process does not take within a second, another of those *beside* it is sent.
    """
    return {
        "urls": [one.webhook_url for one in (service, *beside)],
        "patience": 1.0 if beside else None,
        "secret": service.secret,
        "connections": connections,
        "rate": rate,
        "bodies": [json.dumps(event) for event in events],
    }


def sent(
    service: Service, events: Iterable[Mapping[str, Any]], *, rate: float | None = None
) -> Sequence[str]:
    """Send *events* to *service*, and return the ids that were accepted."""
    with a_producer(an_order(service, events, rate=rate)) as producer:
        accepted: list[str] = history_of(producer)["accepted"]
    return accepted


def signed(service: Service, event: Mapping[str, Any], *, at: datetime | None = None) -> Any:
    """Return *event* as a webhook that was signed *at* some time, now unless it is said."""
    body, now = json.dumps(event), at or datetime.now(UTC)
    headers = {
        "webhook-id": event["id"],
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(service.secret).sign(event["id"], now, body),
        "content-type": "application/json",
    }
    return {"content": body, "headers": headers}


def told(service: Service, event: Mapping[str, Any], *, at: datetime | None = None) -> int:
    """Send one event, signed, over a connection of its own, and return the status."""
    return httpx2.post(service.webhook_url, **signed(service, event, at=at)).status_code


def status_of(service: Service, path: str) -> int:
    """Return the status at *path*; 0 where nobody listens."""
    try:
        return httpx2.get(service.url + path).status_code
    except httpx2.TransportError:
        return 0


def until(condition: Callable[[], bool], *, seconds: float = PATIENCE_SECONDS) -> None:
    """Return when *condition* holds: it is another process that brings it about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "this takes too long"
        time.sleep(0.01)


def until_nothing_waits(service: Service, *, seconds: float = PATIENCE_SECONDS) -> None:
    """Return when no delivery is pending or in flight and no event waits to be matched."""
    with service.api() as api:
        until(
            lambda: not any(_listed(api, *wanted) for wanted in _WAITING),
            seconds=seconds,
        )


def _listed(api: httpx2.Client, what: str, state: str) -> object:
    answer = api.get(f"/api/v2/{what}", params={"state": state, "take": 1})
    return answer.raise_for_status().json()[what]


def listed(api: httpx2.Client, what: str, **params: object) -> list[dict[str, Any]]:
    """Return every *what* that the service lists, newest first."""
    found: list[dict[str, Any]] = []
    asked: dict[str, str] = {name: str(value) for name, value in params.items()}
    while True:
        page = api.get(f"/api/v2/{what}", params=asked | {"take": "100"}).raise_for_status().json()
        found += page[what]
        if page["next"] is None:
            return found
        asked["from"] = page["next"]


def logged(service: Service, fact: str) -> list[dict[str, Any]]:
    """Return every line of the service's log that tells of *fact*, read; oldest first.

    A line that a kill tore has no end, and the first line of the next start stands behind it.
    """
    lines = service.log.read_text(encoding="utf-8").replace('{"', '\n{"').splitlines()
    return [json.loads(line) for line in lines if f'"{fact}"' in line and line.endswith("}")]
