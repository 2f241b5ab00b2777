"""Auth0 Log Streams: logins fill the registry, logouts end sessions, and nothing else disturbs."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from dispatcher.domain.events import Audience, LogoutEvent, SessionJoined, Sid
from dispatcher.domain.sources import SourceFormat
from tests.web.face import Face
from tests.web.recorded import BEARER, CLIENT, SESSION, TOKEN, USER, auth0_log, lines

NAME = "logs"
AT = datetime(2026, 11, 22, 9, 59, 58, 123000, tzinfo=UTC)


@pytest.fixture
async def auth0(face: Face) -> Face:
    """Return a face that knows a log stream."""
    await face.knows(NAME, SourceFormat.AUTH0_LOG_STREAM, bearer_tokens=(TOKEN,))
    return face


async def post(face: Face, told: object, **headers: str) -> int:
    """Send what a log stream sends, and return the status."""
    return (await face.posts(NAME, told, BEARER | headers)).status_code


async def test_a_login_and_a_logout_need_nobody_else(auth0: Face) -> None:
    """A login tells the registry of its application, and the logout of that session finds it."""
    await auth0.registers(CLIENT, "wiki")
    login, logout = auth0_log("s"), auth0_log("slo", "log-2")

    answer = await auth0.posts(NAME, lines(login, logout), BEARER)

    assert answer.status_code == 202
    assert [(one["id"], one["status"]) for one in answer.json()] == [
        ("log-1", "recorded"),
        ("log-2", "accepted"),
    ]
    session = await auth0.store.session(Sid(SESSION))
    assert session is not None
    assert [(one.client_id, one.sub, one.joined_at) for one in session.clients] == [
        (CLIENT, USER, session.clients[0].joined_at)
    ]
    assert await auth0.tells() == [(CLIENT, "rp-logout")]


ENDS: list[tuple[str, dict[str, Any], str]] = [
    ("scp", {"details": {"email": "ann@example.com"}}, "password-changed"),
    ("sce", {"details": {"body": {"newEmail": "ann@new.example"}}}, "email-identifier-changed"),
    ("sdu", {"details": {"body": {}}, "client_id": None}, "account-deleted"),
    ("universal_logout_succeeded", {"details": {}}, "idp-logout"),
    ("gd_unenroll", {"details": {"authenticator": {"type": "sms"}}}, "mfa-phone-unenrolled"),
    ("gd_unenroll", {"details": {"authenticator": {"phone_number": "7"}}}, "mfa-phone-unenrolled"),
    ("gd_unenroll", {"details": {"enrollment": {"phone_number": "7"}}}, "mfa-phone-unenrolled"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "members", "initiator"), ENDS)
async def test_what_happens_to_a_user_ends_all_sessions(
    auth0: Face, kind: str, members: dict[str, Any], initiator: str
) -> None:
    """What a log says of a user, not of a session, ends all of the user's sessions."""
    assert await post(auth0, auth0_log(kind, **members)) == 202

    [(event, _)] = auth0.telemetry.intakes
    assert isinstance(event, LogoutEvent)
    assert (event.id, event.initiator) == ("log-1", initiator)
    assert (event.sub, event.sid, event.clients, event.occurred_at) == (USER, None, None, AT)


async def test_a_logout_ends_its_session(auth0: Face) -> None:
    """A logout names the session, the user, and what the session was said to be."""
    details = {"session_id": SESSION, "session_metadata": {"device": "phone"}}

    assert await post(auth0, auth0_log("slo", details=details)) == 202

    [(event, _)] = auth0.telemetry.intakes
    assert isinstance(event, LogoutEvent)
    assert (event.sid, event.sub, event.occurred_at) == (SESSION, USER, AT)
    assert event.session_metadata == {"device": "phone"}


@pytest.mark.parametrize(
    "metadata", [5, {"n": 5}, {"n": "x" * 256}, {str(n): "x" for n in range(26)}, {"n": "\udc00"}]
)
async def test_metadata_that_no_token_carries_is_left_out(auth0: Face, metadata: object) -> None:
    """A logout is not lost for what was said of its session."""
    details = {"session_id": SESSION, "session_metadata": metadata}

    assert await post(auth0, auth0_log("slo", details=details)) == 202

    [(event, _)] = auth0.telemetry.intakes
    assert event.session_metadata == {}


@pytest.mark.parametrize("kind", ["s", "ssa"])
async def test_a_login_is_a_join(auth0: Face, kind: str) -> None:
    """A login, silent or not, joins the application to its session."""
    assert await post(auth0, auth0_log(kind)) == 202

    [(join, _)] = auth0.telemetry.intakes
    assert isinstance(join, SessionJoined)
    assert (join.sid, join.sub, join.occurred_at) == (SESSION, USER, AT)
    assert [client.client_id for client in join.clients] == [CLIENT]


async def test_a_logout_without_its_session_ends_no_other(auth0: Face) -> None:
    """A logout whose session is not told is passed over: it must not end all of the user's."""
    assert await post(auth0, auth0_log("slo", details={})) == 204

    assert auth0.telemetry.passed == [(NAME, "no_subject")]


PASSED_OVER: dict[str, tuple[dict[str, Any], str]] = {
    "a failed login": (auth0_log("fp"), "ends_nothing"),
    "a type of next year": (auth0_log("moon_landed"), "ends_nothing"),
    "a type that is no text": (auth0_log("s", type=["s"]), "ends_nothing"),
    "no type": (auth0_log("s", type=None), "ends_nothing"),
    "an authenticator app": (
        auth0_log("gd_unenroll", details={"authenticator": {"type": "otp"}}), "ends_nothing"),
    "a login without a session": (auth0_log("s", details={}), "ends_nothing"),
    "a login without a client": (auth0_log("s", client_id=None), "ends_nothing"),
    "details that are none": (auth0_log("slo", details=["x"]), "no_subject"),
    "a password of nobody": (auth0_log("scp", user_id=""), "no_subject"),
    "a user that is none": (auth0_log("sdu", user_id="\u00e4"), "unusable"),
    "a session that is none": (auth0_log("slo", details={"session_id": 5}), "unusable"),
    "a client that is none": (auth0_log("s", client_id=["x"]), "unusable"),
    "no id": ({"data": auth0_log("sdu")["data"] | {"log_id": None}}, "unusable"),
}  # fmt: skip


@pytest.mark.parametrize(("entry", "reason"), PASSED_OVER.values(), ids=PASSED_OVER)
async def test_what_is_of_no_use_is_passed_over(
    auth0: Face, entry: dict[str, Any], reason: str
) -> None:
    """What ends no session here is answered well and counted, so that the stream goes on."""
    answer = await auth0.posts(NAME, entry, BEARER)

    assert (answer.status_code, answer.content) == (204, b"")
    assert auth0.telemetry.passed == [(NAME, reason)]
    assert auth0.telemetry.intakes == []


async def test_what_is_of_use_is_stored_beside_what_is_not(auth0: Face) -> None:
    """An entry that can not be used holds up none of the others."""
    batch = [auth0_log("slo", "a"), auth0_log("fp", "b"), auth0_log("sdu", "c", user_id="\x1b")]

    assert await post(auth0, [*batch, auth0_log("scp", "d")]) == 202

    assert [intake.id for intake, _ in auth0.telemetry.intakes] == ["a", "d"]
    assert auth0.telemetry.passed == [(NAME, "ends_nothing"), (NAME, "unusable")]


async def test_what_contradicts_holds_up_nobody(auth0: Face) -> None:
    """A session that comes back with another user is passed over; what came with it is stored."""
    batch = [auth0_log("s", "b", user_id="auth0|other"), auth0_log("slo", "c")]
    await post(auth0, auth0_log("s", "a"))

    assert await post(auth0, batch) == 202

    assert [intake.id for intake, _ in auth0.telemetry.intakes] == ["a", "c"]
    assert auth0.telemetry.passed == [(NAME, "contradicts")]


async def test_what_comes_again_is_the_same(auth0: Face) -> None:
    """Auth0 sends at least once: what comes again gets the same answer and is one event."""
    first = await auth0.posts(NAME, auth0_log("slo"), BEARER)
    again = await auth0.posts(NAME, auth0_log("slo"), BEARER)

    assert first.json() == again.json()
    assert len(await auth0.stored()) == 1


ENTRIES = [auth0_log("slo", "a"), auth0_log("sdu", "b")]
FORMATS: dict[str, bytes] = {
    "JSON lines": lines(*ENTRIES),
    "lines with a line end": lines(*ENTRIES).replace(b"\n", b"\r\n") + b"\r\n\r\n",
    "an array": json.dumps(ENTRIES).encode(),
    "an array over lines": json.dumps(ENTRIES, indent=2).encode(),
    "an object that holds them": json.dumps({"logs": ENTRIES}).encode(),
    "entries without an envelope": lines(*(entry["data"] for entry in ENTRIES)),
}


@pytest.mark.parametrize("body", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson", "text/plain"])
async def test_every_content_format_is_read(auth0: Face, body: bytes, kind: str) -> None:
    """Lines, array or object, under any media type: both are the operator's choice at Auth0."""
    assert await post(auth0, body, **{"content-type": kind}) == 202

    assert [intake.id for intake, _ in auth0.telemetry.intakes] == ["a", "b"]


async def test_one_object_is_read(auth0: Face) -> None:
    """A single entry may come as an object, on one line or on many."""
    assert await post(auth0, json.dumps(ENTRIES[0], indent=2).encode()) == 202


BAD_BODIES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", ""),
    "no JSON": (b"<html/>", ""),
    "a line that was cut": (lines(*ENTRIES)[:-5], "[1]"),
    "a text": (b'"slo"', ""),
    "an array of texts": (b'["slo"]', "[0]"),
    "a line that is no object": (lines(*ENTRIES) + b"\n5", "[2]"),
    "bytes": (b"\xff\xfe", ""),
    "a member twice": (b'{"data": {}, "data": {}}', "data"),
}


@pytest.mark.parametrize(("body", "field"), BAD_BODIES.values(), ids=BAD_BODIES)
async def test_what_is_no_log_is_refused_whole(auth0: Face, body: bytes, field: str) -> None:
    """A body that can not be read, or not to its end, is 400 and nothing of it is stored."""
    answer = await auth0.posts(NAME, body, BEARER)

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert auth0.telemetry.intakes == []


async def test_without_its_token_a_log_is_nobodys(auth0: Face) -> None:
    """Who does not prove to be the stream is told no more than anybody."""
    answer = await auth0.posts(NAME, auth0_log("slo"), {"authorization": "Bearer wrong"})
    unknown = await auth0.posts("nobody", auth0_log("slo"), BEARER)

    assert (answer.status_code, answer.content) == (401, unknown.content)


async def test_a_store_that_is_gone_is_a_fault_of_ours(auth0: Face) -> None:
    """Auth0 is told to come again, never that it is wrong."""
    await auth0.close_store()

    assert await post(auth0, auth0_log("slo")) == 503


async def test_an_initiator_that_may_not_be_sent_is_passed_over(face: Face) -> None:
    """What a stream is not meant to tell of is left out, not refused; joins have no initiator."""
    await face.knows(
        NAME,
        SourceFormat.AUTH0_LOG_STREAM,
        bearer_tokens=(TOKEN,),
        initiators=frozenset({"rp-logout"}),
    )

    assert (
        await post(face, [auth0_log("slo", "a"), auth0_log("sdu", "b"), auth0_log("s", "c")]) == 202
    )

    assert [intake.id for intake, _ in face.telemetry.intakes] == ["a", "c"]
    assert face.telemetry.passed == [(NAME, "not_allowed")]


async def test_without_sessions_the_source_says_who_is_meant(face: Face) -> None:
    """Where the registry is not filled the source's audience makes every subscriber one."""
    await face.registers("shop", "wiki")
    await face.knows(
        NAME,
        SourceFormat.AUTH0_LOG_STREAM,
        bearer_tokens=(TOKEN,),
        audience=Audience.SUBSCRIBERS,
    )

    assert await post(face, auth0_log("sdu")) == 202

    assert sorted(await face.tells()) == [("shop", "account-deleted"), ("wiki", "account-deleted")]
