"""Auth0 Event Streams: what changed about a user ends sessions, and nothing disables the stream."""

from datetime import UTC, datetime
from typing import Any

import pytest

from dispatcher.domain.events import LogoutEvent
from dispatcher.domain.sources import SourceFormat
from tests.web.face import Face
from tests.web.recorded import BEARER, JSON, TOKEN, USER, auth0_event

NAME = "users"


@pytest.fixture
async def auth0(face: Face) -> Face:
    """Return a face that knows an event stream."""
    await face.knows(NAME, SourceFormat.AUTH0_EVENT_STREAM, bearer_tokens=(TOKEN,))
    return face


BLOCKED, UNBLOCKED = {"blocked": True}, {"blocked": False}
NEW_EMAIL = {"email": "ann@new.example"}
ENDS: dict[str, tuple[dict[str, Any], str]] = {
    "a deleted user": (auth0_event("user.deleted"), "account-deleted"),
    "a blocked user": (auth0_event("user.updated", BLOCKED, {}), "account-deactivated"),
    "a blocked one who never was": (
        auth0_event("user.updated", BLOCKED, {"blocked": None}), "account-deactivated"),
    "another e-mail address": (
        auth0_event("user.updated", NEW_EMAIL, {}), "email-identifier-changed"),
    "an older name of the type": (auth0_event("com.auth0.user.deleted"), "account-deleted"),
}  # fmt: skip


@pytest.mark.parametrize(("event", "initiator"), ENDS.values(), ids=ENDS)
async def test_a_change_ends_all_sessions(
    auth0: Face, event: dict[str, Any], initiator: str
) -> None:
    """A change of the user that matters ends all of the user's sessions."""
    answer = await auth0.posts(NAME, event, BEARER)

    assert answer.status_code == 202
    [(told, _)] = auth0.telemetry.intakes
    assert isinstance(told, LogoutEvent)
    assert (told.id, told.initiator, told.sub, told.sid) == ("evt_1", initiator, USER, None)
    assert told.occurred_at == datetime(2026, 11, 22, 9, 59, 58, tzinfo=UTC)


async def test_two_changes_are_two_events(auth0: Face) -> None:
    """An update that blocks and renames is both, each with an id that it gets again."""
    event = auth0_event("user.updated", BLOCKED | NEW_EMAIL, {})

    first = await auth0.posts(NAME, event, BEARER)
    again = await auth0.posts(NAME, event, BEARER)

    assert first.json() == again.json()
    assert [one["id"] for one in first.json()] == [
        "evt_1 account-deactivated",
        "evt_1 email-identifier-changed",
    ]
    assert len(await auth0.stored()) == 2


PASSED_OVER: dict[str, tuple[dict[str, Any], str]] = {
    "a new user": (auth0_event("user.created"), "ends_nothing"),
    "an organization": (auth0_event("organization.deleted"), "ends_nothing"),
    "another name": (auth0_event("user.updated", {"name": "B"}, {"name": "A"}), "ends_nothing"),
    "a user who stays blocked": (auth0_event("user.updated", BLOCKED, BLOCKED), "ends_nothing"),
    "a user who may log in again": (
        auth0_event("user.updated", UNBLOCKED, BLOCKED), "ends_nothing"),
    "an update without a before": (auth0_event("user.updated", BLOCKED), "ends_nothing"),
    "a before without its e-mail address": (
        auth0_event("user.updated", data={"object": NEW_EMAIL, "previous_object": {}}),
        "ends_nothing"),
    "data that is none": (auth0_event("user.updated", data=[]), "ends_nothing"),
    "a type that is none": (auth0_event("user.deleted", type=5), "ends_nothing"),
    "a test": (auth0_event("user.deleted", a0purpose="test"), "test"),
    "nobody": (auth0_event("user.deleted", {"user_id": None}), "no_subject"),
    "no data": (auth0_event("user.deleted", data=None), "no_subject"),
    "a user that is none": (auth0_event("user.deleted", {"user_id": 5}), "unusable"),
    "no id": (auth0_event("user.deleted", id=None), "unusable"),
    "no id of two": (auth0_event("user.updated", BLOCKED | NEW_EMAIL, {}, id=5), "unusable"),
}  # fmt: skip


@pytest.mark.parametrize(("event", "reason"), PASSED_OVER.values(), ids=PASSED_OVER)
async def test_what_is_of_no_use_does_not_disable_the_stream(
    auth0: Face, event: dict[str, Any], reason: str
) -> None:
    """What ends no session is answered well and counted: a refusal is never sent again."""
    answer = await auth0.posts(NAME, event, BEARER)

    assert (answer.status_code, answer.content) == (204, b"")
    assert set(auth0.telemetry.passed) == {(NAME, reason)}
    assert auth0.telemetry.intakes == []


async def test_several_events_may_come_at_once(auth0: Face) -> None:
    """An array of events is read as each of them."""
    events = [auth0_event("user.deleted", id="a"), auth0_event("user.created", id="b")]

    answer = await auth0.posts(NAME, events, BEARER)

    assert [one["id"] for one in answer.json()] == ["a"]


async def test_a_cloudevents_media_type_is_read(auth0: Face) -> None:
    """The body may say that it is a CloudEvent, which it is."""
    headers = BEARER | {"content-type": "application/cloudevents+json; charset=utf-8"}

    assert (await auth0.posts(NAME, auth0_event("user.deleted"), headers)).status_code == 202


@pytest.mark.parametrize("body", [b"", b"{", b"5", b"null", b'"x"', b"[5]", b"\xff"])
async def test_what_is_no_event_is_refused(auth0: Face, body: bytes) -> None:
    """A body that is not JSON, or no object, is a problem that says so."""
    answer = await auth0.posts(NAME, body, BEARER)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_event")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_another_format_is_refused(auth0: Face) -> None:
    """A body that does not say that it is JSON is 415."""
    answer = await auth0.posts(NAME, b"x", BEARER | {"content-type": "text/plain"})

    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("header", "status"),
    [("Basic YTpi", 202), ("Basic YTpj", 401), ("basic YTpi", 401), ("", 401)],
)
async def test_a_header_is_a_proof(face: Face, header: str, status: int) -> None:
    """Auth0's basic and custom_header methods are a header with a secret value."""
    kind = SourceFormat.AUTH0_EVENT_STREAM
    await face.knows(NAME, kind, headers=("Authorization: Basic YTpi",))

    answer = await face.posts(NAME, auth0_event("user.deleted"), JSON | {"authorization": header})

    assert answer.status_code == status


async def test_a_store_that_is_gone_is_a_fault_of_ours(auth0: Face) -> None:
    """Auth0 is told to come again, which it does; to a 4xx it never would."""
    await auth0.close_store()

    answer = await auth0.posts(NAME, auth0_event("user.deleted"), BEARER)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
