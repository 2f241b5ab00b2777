"""What must stay hidden does, whatever goes wrong: planted values are looked for wherever we write.

Secrets and tokens: in no log line, metric, answer of the management API, problem document or file.
``sub``, ``sid`` and session metadata: in no log line and no metric.
"""

import base64
import hmac
import json
import re
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from standardwebhooks.webhooks import Webhook

from tests.kit.processes import SinkProcess, a_sink
from tests.kit.service import Service, free_port
from tests.kit.steps import until
from tests.kit.transmitter import CAEP, a_key, a_set, signed

MEDIA_TYPE = "application/secevent+jwt"
CANARY = "canary"
SUB, SID = f"auth0|{CANARY}-sub-7d1f", f"s_{CANARY}_sid_93ab"
METADATA = f"{CANARY}-phone-55c0"
BEARER = f"{CANARY}-bearer-" + secrets.token_urlsafe(24)
HEADER, HMAC = (f"{CANARY}-{kind}-" + secrets.token_urlsafe(24) for kind in ("header", "hmac"))
PUSHED = signed(a_set(f"{CAEP}session-revoked", sub_id={"format": "opaque", "id": SID}), a_key())
PERSONAL = (SUB, SID, METADATA)
PATHS = (
    "/api/v2/clients?include_totals=true",
    "/api/v2/clients/well",
    "/api/v2/clients/nobody",
    "/api/v2/events",
    "/api/v2/events/nothing",
    "/api/v2/deliveries",
    "/api/v2/deliveries/nothing",
    f"/api/v2/sessions/{SID}",
    "/api/v2/users/auth0%7Ccanary-sub-7d1f/sessions",
    "/.well-known/jwks.json",
    "/.well-known/openid-configuration",
    "/openapi.json",
    "/docs",
    "/livez",
    "/readyz",
    "/healthz",
    "/nothing",
)


def an_application(client_id: str, uri: str, **members: Any) -> dict[str, Any]:
    """Return an application that is told of everything, session metadata too."""
    return {
        "client_id": client_id,
        "name": client_id,
        "jwt_configuration": {"alg": "ES256"},
        "oidc_logout": {
            "backchannel_logout_urls": [uri],
            "backchannel_logout_initiators": {"mode": "all"},
            "backchannel_logout_session_metadata": {"include": True},
        },
        **members,
    }


@dataclass
class Witness:
    """Somebody who speaks to the service, and keeps everything that it ever answered."""

    service: Service
    answers: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)

    def asks(self, method: str, path: str, **more: Any) -> httpx2.Response:
        """Send one request, and keep the answer's head and body."""
        answer = httpx2.request(method, self.service.url + path, **more)
        self.answers.append(f"{answer.headers} {answer.text}")
        return answer

    def webhook(
        self, event: Mapping[str, Any], *, secret: str | None = None, **more: str
    ) -> httpx2.Response:
        """Send one event, signed by *secret* or the source's own."""
        body, now = json.dumps(event), datetime.now(UTC)
        headers = {
            "webhook-id": "w1",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(secret or self.service.secret).sign("w1", now, body),
            "content-type": "application/json",
            **more,
        }
        return self.asks("POST", "/webhooks/idp", content=body, headers=headers)

    def token(self) -> str:
        """Return an access token, which is a secret from now on; its own answer is not kept."""
        granted = httpx2.post(
            f"{self.service.url}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=("ops", self.service.client_secret),
        )
        token = str(granted.raise_for_status().json()["access_token"])
        self.secrets.append(token)
        return token

    def client_secret(self, path: str, **more: Any) -> None:
        """Have a client_secret made, which is a secret from now on; its own answer is not kept."""
        made = httpx2.post(self.service.url + path, **more)
        self.secrets.append(str(made.raise_for_status().json()["client_secret"]))

    def logged(self) -> str:
        """Return all that the service has written."""
        return self.service.log.read_text(encoding="utf-8")


@contextmanager
def a_witness(folder: Path, log_format: str) -> Iterator[tuple[Witness, SinkProcess, SinkProcess]]:
    """Run a service whose applications are well, always failing, or not there at all."""
    wells, ills = folder / "well", folder / "ill"
    for place in (wells, ills):
        place.mkdir()
    with a_sink(wells, applications=1) as well, a_sink(ills, applications=1, unavailable=1) as ill:
        applications = [
            an_application("well", f"http://127.0.0.1:{well.ports[0]}/out"),
            an_application("ill", f"http://127.0.0.1:{ill.ports[0]}/out"),
            an_application("gone", f"http://127.0.0.1:{free_port()}/out"),
            an_application("lost", "http://lost.invalid/out"),
        ]
        environment = {"DISPATCHER_ALGORITHMS": "ES256", "DISPATCHER_LOG": log_format}
        with Service(folder, applications, environment, sources=foreign_sources()) as service:
            text = service.config.read_text(encoding="utf-8")
            service.config.write_text(
                re.sub(r"^sources = \[(.*)\]$", _with_bearer, text, flags=re.MULTILINE),
                encoding="utf-8",
            )
            service.start()
            yield Witness(service), well, ill


def foreign_sources() -> list[dict[str, str]]:
    """Return sources that speak their own words; the keys of one of them can not be had."""
    return [
        {"name": "kc", "format": "keycloak", "hmac_secret": HMAC},
        {"name": "logs", "format": "auth0-log-stream", "header": f"X-Key: {HEADER}"},
        {
            "name": "ssf",
            "format": "set",
            "issuer": "https://op.example",
            "jwks_uri": f"http://127.0.0.1:{free_port()}/jwks",
            "expected_aud": "us",
        },
    ]


def _with_bearer(found: "re.Match[str]") -> str:
    """Add a source that proves itself by a bearer token to the line that names the sources."""
    return f'sources = [{found[1]}, {{name = "crm", bearer_token = "{BEARER}"}}]'


def an_event(number: int, **members: Any) -> dict[str, Any]:
    """Return the end of the planted session."""
    return {
        "id": f"e{number}",
        "initiator": "session-revoked",
        "sub": SUB,
        "sid": SID,
        "session_metadata": {"device": METADATA},
        **members,
    }


def all_goes_on(witness: Witness) -> None:
    """Send good events: a join, an end of the session, an end of all, over both kinds of proof."""
    clients = [{"client_id": name} for name in ("well", "ill", "gone", "lost")]
    join = an_event(0, type="session.joined", clients=clients)
    del join["initiator"]
    user_wide = an_event(2)
    del user_wide["sid"]
    answers = [witness.webhook(event) for event in (join, an_event(1), an_event(1), user_wide)]
    bearing = {"authorization": f"Bearer {BEARER}"}
    answers.append(witness.asks("POST", "/webhooks/crm", json=an_event(3), headers=bearing))
    assert [answer.status_code for answer in answers] == [202] * 5


def others_tell_in_their_own_words(witness: Witness) -> None:
    """Send what other sources send: of use and of none, proved and not, and not to be judged."""
    log = {"log_id": "l1", "type": "sdu", "user_id": SUB, "details": {"session_id": SID}}
    unusable = {**log, "log_id": "l2", "user_id": f"{SUB}\x1b"}
    key, wrong = {"x-key": HEADER}, {"x-key": f"{HEADER}{SUB}"}
    event = json.dumps({"id": "k1", "type": "access.LOGOUT", "authDetails": {"sessionId": SID}})
    mac = hmac.new(HMAC.encode(), event.encode(), "sha256").hexdigest()
    json_type, pushed = ({"content-type": kind} for kind in ("application/json", MEDIA_TYPE))
    answers = [
        witness.asks("POST", "/webhooks/logs", json=log, headers=key),
        witness.asks("POST", "/webhooks/logs", json=unusable, headers=key),
        witness.asks("POST", "/webhooks/logs", json=log, headers=wrong),
        witness.asks(
            "POST", "/webhooks/kc", content=event, headers=json_type | {"x-keycloak-signature": mac}
        ),
        witness.asks(
            "POST",
            "/webhooks/kc",
            content=event,
            headers=json_type | {"x-keycloak-signature": HMAC},
        ),
        witness.asks("POST", "/webhooks/ssf", content=PUSHED, headers=pushed),
        witness.asks("POST", "/webhooks/kc", content=PUSHED, headers=pushed),
        witness.asks("POST", "/webhooks/ssf", content=f"{PUSHED} {SID}", headers=pushed),
    ]
    assert [answer.status_code for answer in answers] == [202, 204, 401, 202, 401, 503, 400, 400]


def all_goes_wrong(witness: Witness) -> None:
    """Send what is refused, in every way that carries something planted."""
    other = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    secret, client_secret = witness.service.secret, witness.service.client_secret
    bearer = {"authorization": f"Bearer {client_secret}"}
    answers = [
        witness.webhook(an_event(9), secret=other),
        witness.webhook(an_event(1, initiator="rp-logout")),
        witness.webhook(an_event(9, sid=[SID], secret=secret)),
        witness.webhook(an_event(9), **{"content-type": "text/plain"}),
        witness.webhook(an_event(9), **{"webhook-signature": f"v1,{secret}"}),
        witness.asks("POST", "/webhooks/nobody", json=an_event(9), headers=bearer),
        witness.asks("POST", "/webhooks/crm", content=f'{{"sub": "{SUB}', headers=bearer),
        witness.asks("POST", "/oauth/token", json={"client_secret": client_secret}),
        witness.asks("POST", "/oauth/token", auth=("nobody", client_secret)),
        witness.asks("POST", "/oauth/token", auth=("ops", BEARER)),
        witness.asks("GET", "/api/v2/events", headers=bearer),
        witness.asks("GET", "/api/v2/events"),
        witness.asks("GET", f"/api/v2/events?access_token={client_secret}"),
    ]
    assert {answer.status_code // 100 for answer in answers} == {4}
    _speak_nonsense(witness.service.port, f"GET /{SID} {secret}\r\nsub: {SUB}\r\nbroken\r\n\r\n")


def _speak_nonsense(port: int, what: str) -> None:
    """Send what is no HTTP, and wait for the end."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(what.encode())
        while connection.recv(4096):
            pass


def all_is_read(witness: Witness) -> None:
    """Read every page, with an access token, and write over the API what is accepted or refused."""
    token = witness.token()
    bearer = {"authorization": f"Bearer {token}"}
    key = f"-----BEGIN PRIVATE KEY-----\n{CANARY}"
    witness.secrets.append(key)
    refused = an_application(
        "mine", "https://mine.example/", logout_delivery={"client_key_pem": key}
    )
    for path in PATHS:
        witness.asks("GET", path, headers=bearer)
    witness.asks("POST", "/api/v2/clients", headers=bearer, json=refused)
    mine = an_application("mine", "https://m.example/")
    witness.client_secret("/api/v2/clients", headers=bearer, json=mine)
    witness.client_secret("/api/v2/clients/mine/rotate-secret", headers=bearer)
    for secret in witness.secrets[-2:]:
        witness.asks(
            "POST", "/oauth/token", json={"grant_type": "client_credentials"}, auth=("mine", secret)
        )
    witness.asks("GET", "/api/v2/clients/mine", headers=bearer)
    witness.asks("PATCH", "/api/v2/clients/well", headers=bearer, json={"name": "taken"})
    witness.asks("DELETE", "/api/v2/clients/mine", headers=bearer)
    witness.asks("POST", "/oauth/revoke", data={"token": token}, auth=("ops", "wrong"))


def the_plants(witness: Witness, *sinks: SinkProcess) -> list[str]:
    """Return everything secret, in each form in which it could be written."""
    service = witness.service
    plain = [service.secret, service.client_secret, service._master_key, BEARER, *witness.secrets]
    plain += [HEADER, HMAC, PUSHED, *PUSHED.split(".")[1:]]
    raw = service.secret.removeprefix("whsec_")
    tokens = [one.token for sink in sinks for one in sink.received()]
    signatures = [token.rsplit(".", 1)[1] for token in tokens]
    return [*plain, raw, base64.b64decode(raw).hex(), *tokens, *signatures]


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_what_is_planted_is_found_nowhere(tmp_path: Path, log_format: str) -> None:
    """Secrets and tokens are nowhere that anybody reads; sub and sid in no log and no metric.

    Though attempts of every kind were made: answered by 200 and 503, refused, without an address.
    """
    with a_witness(tmp_path, log_format) as (witness, well, ill):
        all_goes_on(witness)
        until(lambda: well.count() >= 3 and ill.count() >= 4)
        others_tell_in_their_own_words(witness)
        all_goes_wrong(witness)
        all_is_read(witness)
        until(lambda: witness.logged().count("delivery.attempted") >= 10)
        metrics = httpx2.get(f"{witness.service.url}/metrics").text
        exit_code = witness.service.stop()
        plants = the_plants(witness, well, ill)
    answers, log = "\n".join(witness.answers), witness.logged()
    files = b"".join(path.read_bytes() for path in tmp_path.glob("dispatcher.db*"))

    assert exit_code == 0
    assert len(plants) > 20
    assert METADATA in _claims(well)
    assert SID in answers  # what people may see they see: the search is not blind
    assert "delivery.attempted" in log
    assert [plant for plant in plants if plant in answers] == []
    assert [plant for plant in (*plants, *PERSONAL, CANARY) if plant in log] == []
    assert [plant for plant in (*plants, *PERSONAL, CANARY) if plant in metrics] == []
    assert [plant for plant in plants if plant.encode() in files] == []


def _claims(sink: SinkProcess) -> str:
    """Return the claims of all tokens that came."""
    payloads = [one.token.split(".")[1] for one in sink.received()]
    return " ".join(base64.urlsafe_b64decode(payload + "==").decode() for payload in payloads)
