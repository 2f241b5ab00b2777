"""Any request that the document allows, and any that it does not: the answer is one that it knows.

The service runs on a socket of its own, without its workers: what is accepted waits, so that no
made-up address is ever dialled.
"""

import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
import uvicorn
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from dispatcher.domain.matching import match
from dispatcher.domain.sources import Scope
from dispatcher.pipeline.waiting import Waiting
from dispatcher.web import Doors, build
from dispatcher.web.connections import BoundedProtocol
from dispatcher.web.openapi import described
from keys import Seal, SigningKey
from tests.kit.builders import acknowledged, an_application, gave_up
from tests.web.builders import a_client, a_join, an_event
from tests.web.face import BEARER, Face, opened

KNOWS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SCHEMA = schemathesis.openapi.from_dict(dict(described("https://dispatcher.example")))
BOUNDED = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
THERE = {
    "name": "hr",
    "client_id": "wiki",
    "sid": "s-1",
    "sub": "user-1",
    "event_id": "ev_1",
    "delivery_id": "dl_2",
    "source": "crm",
}
"""What there is in the service, by the name of the parameter in a path."""
LEASE = timedelta(seconds=30)


@schemathesis.serializer("application/secevent+jwt")
def a_token(_: schemathesis.SerializationContext, value: Any) -> bytes:
    """Send a made-up token as it is."""
    return str(value).encode("utf-8", "surrogatepass")


@dataclass
class Served:
    """A running service, and who speaks to it."""

    url: str
    token: str
    session: requests.Session

    def judge(self, case: Case[Any]) -> int:
        """Send *case*, check its answer against the document, and return its status."""
        bearer = BEARER if case.path.startswith("/webhooks/") else self.token
        headers = {"authorization": f"Bearer {bearer}"}
        answer = case.call_and_validate(
            base_url=self.url, session=self.session, headers=headers, checks=KNOWS, timeout=30
        )
        assert answer.status_code != 401 or not case.path.startswith("/api/"), "it was let in"
        return answer.status_code


async def furnish(face: Face) -> None:
    """Let there be applications, a session, and deliveries that were made and that failed."""
    await face.grant(*Scope)
    await face.store.create_application(an_application("shop"))
    await face.api("POST", "clients", a_client(client_id="wiki"))
    await face.api("POST", "sources", {"name": "hr"})
    clients = [{"client_id": "shop"}, {"client_id": "wiki"}]
    await face.webhook(a_join(clients=clients, expires_at="2026-12-01T00:00:00Z"))
    await face.webhook(an_event(id="evt-1", initiator="rp-logout"), webhook_id="msg-2")
    await face.store.match(10, match)
    one, other = await face.store.claim(10, lease=LEASE)
    await face.store.settle([acknowledged(one), gave_up(other)])
    later = an_event(id="evt-2", sid=None, sub="user-1", except_sids=["s-9"])
    await face.webhook(later, webhook_id="msg-3")


def _server(doors: Doors) -> uvicorn.Server:
    # Nobody waits here: there are no workers who would bring about an outcome.
    app = build(replace(doors, waiting=Waiting(ledger=doors.ledger, most=0)))
    return uvicorn.Server(
        uvicorn.Config(app, http=BoundedProtocol, ws="none", lifespan="off", log_config=None)
    )


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, furnished: Path, seal: Seal, signing_key: SigningKey
) -> Iterator[Served]:
    """Serve the face on a port of loopback, in a thread of its own."""
    path = tmp_path_factory.mktemp("served") / "store.db"
    shutil.copy(furnished, path)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(opened(path, seal, signing_key)) as face,
        # asyncio sends small answers at once only over what says that it is TCP.
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as bound,
        requests.Session() as session,
    ):
        bound.bind(("127.0.0.1", 0))
        portal.call(furnish, face)
        server = _server(face.doors)
        serving = portal.start_task_soon(server.serve, [bound])
        session.trust_env = False
        yield Served(f"http://127.0.0.1:{bound.getsockname()[1]}", face.token, session)
        server.should_exit = True
        serving.result()
        assert face.telemetry.failures == []


@SCHEMA.parametrize()
@BOUNDED
def test_whatever_is_sent_the_answer_is_described(case: Case[Any], served: Served) -> None:
    """No request makes a fault of ours, or is answered by what the document does not know."""
    assert served.judge(case) < 500


@SCHEMA.exclude(method="DELETE").parametrize()
@BOUNDED
def test_what_is_there_is_answered_as_described(case: Case[Any], served: Served) -> None:
    """Nor does any request that is about something that there is."""
    case.path_parameters = {name: THERE[name] for name in case.path_parameters or {}}

    assert served.judge(case) < 500


READ = [path for path, methods in SCHEMA.raw_schema["paths"].items() if "get" in methods]


@pytest.mark.parametrize("path", READ)
def test_what_is_there_is_found(path: str, served: Served) -> None:
    """Everything that can be read is read, and is as described: no refusal hides it."""
    operation = SCHEMA[path]["GET"]
    named = {one.name: THERE[one.name] for one in operation.path_parameters}

    assert served.judge(operation.Case(path_parameters=named)) == 200
