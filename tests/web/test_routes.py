"""The URLs: what every answer has, and what no answer shows."""

from collections.abc import MutableMapping
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import pytest

from dispatcher.domain.events import EventId, Sid, Sub
from dispatcher.domain.sessions import Session
from dispatcher.domain.sources import Scope
from dispatcher.ports import SessionPlace
from dispatcher.web import build, build_management
from tests.web.builders import an_event
from tests.web.face import Face


@dataclass
class BrokenSessions:
    """A registry with a fault that nobody foresaw."""

    async def session(self, sid: Sid) -> Session | None:
        """Fail."""
        raise ValueError(f"secret of {sid}")

    async def sessions_of(
        self, sub: Sub, *, after: SessionPlace | None = None, take: int = 100
    ) -> list[Session]:
        """Fail as well."""
        raise ValueError(f"secret of {sub}, {after}, {take}")


def broken(face: Face) -> Face:
    """Return a face on a registry that fails."""
    return replace(face, doors=replace(face.doors, sessions=BrokenSessions()))


async def test_an_unforeseen_error_shows_nothing(face: Face) -> None:
    """What nobody foresaw is 500, logged in full and shown as nothing."""
    unlucky = broken(face)
    await unlucky.grant(*Scope)

    answer = await unlucky.api("GET", "sessions/s-1")

    assert answer.status_code == 500
    assert answer.json() == {
        "statusCode": 500,
        "error": "Internal Server Error",
        "message": "Something went wrong here; it has been logged.",
        "errorCode": "internal",
    }
    ((worker, error),) = face.telemetry.failures
    assert (worker, str(error)) == ("web", "secret of s-1")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/livez", 200),
        ("GET", "/nowhere", 404),
        ("POST", "/livez", 405),
        ("POST", "/webhooks/idp", 401),
        ("GET", "/api/v2/clients", 401),
        ("GET", "/.well-known/jwks.json", 200),
        ("POST", "/oauth/token", 400),
    ],
)
async def test_no_browser_guesses_what_an_answer_is(
    face: Face, method: str, path: str, status: int
) -> None:
    """Every answer, good or bad, carries nosniff."""
    answer = await face.http.request(method, path)

    assert answer.status_code == status
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/livez/",
        "/oauth/token/",
        "/api/v2/clients/",
        "/api/v2/clients/shop/",
        "/api/v2/events/",
        "/.well-known/jwks.json/",
        "/",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_a_trailing_slash_is_not_found(face: Face, method: str, path: str) -> None:
    """A path with a trailing slash is 404 for every method, never a redirect."""
    await face.grant(*Scope)

    answer = await face.http.request(
        method, path, headers={"authorization": f"Bearer {face.token}"}
    )

    assert answer.status_code == 404


async def test_a_method_that_is_not_allowed_is_told_which_are(face: Face) -> None:
    """405 names every method of the path, each with its own handler."""
    await face.grant(*Scope)

    answer = await face.api("PUT", "clients/shop")

    assert answer.status_code == 405
    assert answer.json()["errorCode"] == "method_not_allowed"
    allowed = set(answer.headers["allow"].split(", "))
    assert allowed == {"GET", "HEAD", "PATCH", "DELETE"}


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/metrics"])
async def test_management_can_have_a_listener_of_its_own(face: Face, path: str) -> None:
    """Health and metrics are served in one place or the other, and nothing else beside them."""
    public = httpx2.ASGITransport(app=build(face.doors, management=False))
    private = httpx2.ASGITransport(app=build_management(face.doors))

    async with (
        httpx2.AsyncClient(transport=public, base_url="http://a") as outside,
        httpx2.AsyncClient(transport=private, base_url="http://b") as inside,
    ):
        statuses = [
            (await outside.get(path)).status_code,
            (await inside.get(path)).status_code,
            (await outside.post("/webhooks/idp")).status_code,
            (await inside.post("/webhooks/idp")).status_code,
        ]

    assert statuses == [404, 200, 401, 404]


async def test_answers_of_the_api_are_not_kept_by_caches(face: Face) -> None:
    """What names users and sessions is not stored on the way."""
    await face.grant(*Scope)

    answer = await face.api("GET", "events")

    assert answer.headers["cache-control"] == "no-store"


async def test_a_source_that_hangs_up_leaves_nothing_behind(face: Face) -> None:
    """A request that breaks off in its body is stored nowhere, and is no failure of ours."""
    request = (await face.webhook(an_event(id="whole"))).request
    messages: list[MutableMapping[str, Any]] = [
        {"type": "http.request", "body": request.content[:10], "more_body": True},
        {"type": "http.disconnect"},
    ]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/webhooks/idp",
        "raw_path": b"/webhooks/idp",
        "query_string": b"",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
    }

    async def receive() -> MutableMapping[str, Any]:
        return messages.pop(0)

    async def send(_: MutableMapping[str, Any]) -> None:
        """Nobody listens."""

    await build(face.doors)(scope, receive, send)

    assert [event["id"] for event in await face.stored()] == ["whole"]
    assert face.telemetry.failures == []


async def test_an_event_leads_to_its_own_page(face: Face) -> None:
    """The href of an answer is a path of ours."""
    told = (await face.webhook(an_event())).json()
    await face.grant(*Scope)

    answer = await face.api("GET", told["href"].removeprefix("/api/v2/"))

    assert EventId(answer.json()["event_id"]) == told["event_id"]
