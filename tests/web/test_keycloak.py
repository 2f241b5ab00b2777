"""Keycloak's webhooks: what users and administrators do ends the sessions of whom it is done to."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from dispatcher.domain.events import LogoutEvent, Sid
from dispatcher.domain.sources import SourceFormat
from tests.web.face import Face
from tests.web.recorded import (
    CLIENT,
    JSON,
    SESSION,
    TOKEN,
    USER,
    keycloak_access,
    keycloak_admin,
    keycloak_headers,
)

NAME = "keycloak"
ID = "4d9c5f5e-0f0e-4f5c-8a0a-1f1f1f1f1f1f"
AT = datetime(2026, 11, 22, 9, 59, 58, 123000, tzinfo=UTC)


@pytest.fixture
async def keycloak(face: Face) -> Face:
    """Return a face that knows a Keycloak."""
    await face.knows(NAME, SourceFormat.KEYCLOAK, hmac_secrets=(TOKEN, "the-older-secret"))
    return face


async def post(face: Face, told: object, secret: str = TOKEN) -> int:
    """Send what the listener sends, signed, and return the status."""
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    return (await face.posts(NAME, body, keycloak_headers(body, secret))).status_code


async def test_a_login_and_a_logout_need_nobody_else(keycloak: Face) -> None:
    """A login tells the registry of its application, and the logout of that session finds it."""
    await keycloak.registers(CLIENT, "wiki")

    assert await post(keycloak, keycloak_access("LOGIN", id="login")) == 202
    assert await post(keycloak, keycloak_access("LOGOUT", id="logout")) == 202

    session = await keycloak.store.session(Sid(SESSION))
    assert session is not None
    assert [(one.client_id, one.sub) for one in session.clients] == [(CLIENT, USER)]
    assert await keycloak.tells() == [(CLIENT, "rp-logout")]


DISABLED = json.dumps({"username": "ann", "enabled": False})
USER_PATH = f"users/{USER}"
ALL: dict[str, tuple[dict[str, Any], str]] = {
    "a new password": (keycloak_access("UPDATE_PASSWORD"), "password-changed"),
    "a new credential": (
        keycloak_access("UPDATE_CREDENTIAL", details={"credential_type": "password"}),
        "password-changed"),
    "another e-mail address": (keycloak_access("UPDATE_EMAIL"), "email-identifier-changed"),
    "a user who leaves": (keycloak_access("DELETE_ACCOUNT"), "account-deleted"),
    "a user who is locked out": (
        keycloak_access("USER_DISABLED_BY_PERMANENT_LOCKOUT"), "account-deactivated"),
    "a user who is deleted": (keycloak_admin("USER-DELETE", USER_PATH), "account-deleted"),
    "a user who is disabled": (
        keycloak_admin("USER-UPDATE", USER_PATH, representation=DISABLED), "account-deactivated"),
    "a password that is set": (
        keycloak_admin("USER-ACTION", f"{USER_PATH}/reset-password"), "password-changed"),
    "a user who is logged out": (
        keycloak_admin("USER-ACTION", f"{USER_PATH}/logout"), "session-revoked"),
}  # fmt: skip


@pytest.mark.parametrize(("event", "initiator"), ALL.values(), ids=ALL)
async def test_what_happens_to_a_user_ends_all_sessions(
    keycloak: Face, event: dict[str, Any], initiator: str
) -> None:
    """What is done to a user ends all of that user's sessions, and none of the administrator's."""
    assert await post(keycloak, event) == 202

    [(told, _)] = keycloak.telemetry.intakes
    assert isinstance(told, LogoutEvent)
    assert (told.id, told.initiator, told.sub, told.sid) == (ID, initiator, USER, None)
    assert told.occurred_at == AT


async def test_a_logout_ends_its_session(keycloak: Face) -> None:
    """A user's logout ends the one session."""
    await post(keycloak, keycloak_access("LOGOUT"))

    [(told, _)] = keycloak.telemetry.intakes
    assert isinstance(told, LogoutEvent)
    assert (told.initiator, told.sid, told.sub) == ("rp-logout", SESSION, USER)


async def test_an_administrator_ends_one_session(keycloak: Face) -> None:
    """A session that an administrator deletes ends, and no other of its user."""
    await post(keycloak, keycloak_admin("USER_SESSION-DELETE", "sessions/s-7"))

    [(told, _)] = keycloak.telemetry.intakes
    assert isinstance(told, LogoutEvent)
    assert (told.initiator, told.sid, told.sub) == ("session-revoked", "s-7", None)


def without_session(kind: str) -> dict[str, Any]:
    """Return a user's event that names no session."""
    event = keycloak_access(kind)
    event["authDetails"]["sessionId"] = None
    return event


PASSED_OVER: dict[str, tuple[dict[str, Any], str]] = {
    "a refreshed token": (keycloak_access("REFRESH_TOKEN"), "ends_nothing"),
    "a failed logout": (keycloak_access("LOGOUT_ERROR", error="invalid_token"), "ends_nothing"),
    "what failed": (keycloak_access("LOGOUT", error="x"), "ends_nothing"),
    "another credential": (
        keycloak_access("UPDATE_CREDENTIAL", details={"credential_type": "otp"}), "ends_nothing"),
    "a new user": (keycloak_admin("USER-CREATE", USER_PATH), "ends_nothing"),
    "a user who is renamed": (
        keycloak_admin("USER-UPDATE", USER_PATH, representation='{"enabled": true}'),
        "ends_nothing"),
    "an update without its content": (keycloak_admin("USER-UPDATE", USER_PATH), "ends_nothing"),
    "a content that is no JSON": (
        keycloak_admin("USER-UPDATE", USER_PATH, representation="{"), "ends_nothing"),
    "another action": (
        keycloak_admin("USER-ACTION", f"{USER_PATH}/send-verify-email"), "ends_nothing"),
    "a group of a user": (keycloak_admin("USER-DELETE", f"{USER_PATH}/groups/g"), "ends_nothing"),
    "no type": (keycloak_access("LOGOUT", type=None), "ends_nothing"),
    "a type that is no text": (keycloak_access("LOGOUT", type=["x"]), "ends_nothing"),
    "a login without a session": (without_session("LOGIN"), "ends_nothing"),
    "a logout without a session": (without_session("LOGOUT"), "no_subject"),
    "a logout of nobody": (keycloak_access("LOGOUT", authDetails=None), "no_subject"),
    "a password of nobody": (keycloak_access("UPDATE_PASSWORD", authDetails={}), "no_subject"),
    "no path": (keycloak_admin("USER-DELETE", ""), "unusable"),
    "a path that is none": (keycloak_admin("USER-DELETE", "x", resourcePath=5), "unusable"),
    "a path to nobody": (keycloak_admin("USER-DELETE", "users/"), "unusable"),
    "another path": (keycloak_admin("USER-ACTION", "groups/x/logout"), "unusable"),
    "a path to no session": (keycloak_admin("USER_SESSION-DELETE", "sessions/"), "no_subject"),
    "no id": (keycloak_access("LOGOUT", id=None, uid=None), "unusable"),
}  # fmt: skip


@pytest.mark.parametrize(("event", "reason"), PASSED_OVER.values(), ids=PASSED_OVER)
async def test_what_is_of_no_use_is_passed_over(
    keycloak: Face, event: dict[str, Any], reason: str
) -> None:
    """What ends no session is answered well and counted; the listener would send it for minutes."""
    assert await post(keycloak, event) == 204

    assert keycloak.telemetry.passed == [(NAME, reason)]
    assert keycloak.telemetry.intakes == []


async def test_two_webhooks_are_one_event(keycloak: Face) -> None:
    """Keycloak's own id counts: the listener's uid is another for each webhook."""
    await post(keycloak, keycloak_access("LOGOUT", uid="one"))
    await post(keycloak, keycloak_access("LOGOUT", uid="two"))

    assert [event["id"] for event in await keycloak.stored()] == [ID]


async def test_an_older_listener_has_its_uid_alone(keycloak: Face) -> None:
    """Where Keycloak's id does not come along, the listener's does."""
    assert await post(keycloak, keycloak_access("LOGOUT", id=None, uid="one")) == 202

    assert [event["id"] for event in await keycloak.stored()] == ["one"]


async def test_either_secret_is_good(keycloak: Face) -> None:
    """While the secret is changed, what is signed with the old or the new one is let in."""
    assert await post(keycloak, keycloak_access("LOGOUT"), secret="the-older-secret") == 202


async def test_a_bad_signature_is_turned_away(keycloak: Face) -> None:
    """Another secret, another body, none at all: each is 401, as for a source that is unknown."""
    body = json.dumps(keycloak_access("LOGOUT")).encode()
    answers = [
        await keycloak.posts(NAME, body, keycloak_headers(body, "wrong")),
        await keycloak.posts(NAME, body + b" ", keycloak_headers(body)),
        await keycloak.posts(NAME, body, JSON),
        await keycloak.posts(NAME, body, JSON | {"x-keycloak-signature": ""}),
        await keycloak.posts(NAME, body, JSON | {"x-keycloak-signature": "\xe4"}),
        await keycloak.posts("nobody", body, keycloak_headers(body)),
    ]

    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert await keycloak.stored() == []


@pytest.mark.parametrize("body", [b"", b"{", b"5", b"[5]", b"\xff"])
async def test_what_is_no_event_is_refused(keycloak: Face, body: bytes) -> None:
    """A body that is not JSON, or no object, is 400."""
    assert await post(keycloak, body) == 400


async def test_another_format_is_refused(keycloak: Face) -> None:
    """A body that does not say that it is JSON is 415."""
    headers = keycloak_headers(b"{}") | {"content-type": "text/plain"}

    assert (await keycloak.posts(NAME, b"{}", headers)).status_code == 415


@pytest.mark.parametrize("time", ["now", None, True, 1e30, -1e30, [5]])
async def test_a_time_that_is_none_is_left_out(keycloak: Face, time: object) -> None:
    """A logout is not lost for the time that it is said to be of."""
    assert await post(keycloak, keycloak_access("LOGOUT", time=time)) == 202

    [(told, _)] = keycloak.telemetry.intakes
    assert told.occurred_at is None
