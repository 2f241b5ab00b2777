"""``/api/v2/sessions/{sid}`` and ``/api/v2/users/{sub}/sessions``: the session registry, shown."""

from urllib.parse import quote

import pytest

from dispatcher.domain.sources import Scope
from tests.web.builders import a_join, an_event
from tests.web.face import Face


@pytest.fixture
async def api(face: Face) -> Face:
    """Let the token do everything."""
    await face.grant(*Scope)
    return face


async def test_a_session_is_shown(api: Face) -> None:
    """A session has exactly these members."""
    await api.webhook(
        a_join(
            clients=[{"client_id": "shop"}, {"client_id": "wiki", "sub": "pairwise-77"}],
            session_metadata={"device": "phone"},
            expires_at="2026-11-23T10:00:00Z",
        )
    )

    shown = (await api.api("GET", "sessions/s-1")).json()

    assert sorted(shown.pop("clients"), key=lambda client: client["client_id"]) == [
        {"client_id": "shop", "sub": "user-1", "joined_at": "2026-11-22T10:00:00Z"},
        {"client_id": "wiki", "sub": "pairwise-77", "joined_at": "2026-11-22T10:00:00Z"},
    ]
    assert shown == {
        "sid": "s-1",
        "sub": "user-1",
        "session_metadata": {"device": "phone"},
        "created_at": "2026-11-22T10:00:00Z",
        "expires_at": "2026-11-23T10:00:00Z",
        "ended_at": None,
        "ended_by": None,
    }


async def test_a_session_that_ended_says_by_what(api: Face) -> None:
    """An ended session names the event that ended it."""
    await api.webhook(a_join())
    ending = (await api.webhook(an_event())).json()

    shown = (await api.api("GET", "sessions/s-1")).json()

    assert (shown["ended_by"], shown["ended_at"]) == (ending["event_id"], "2026-11-22T10:00:00Z")


async def test_the_sessions_of_a_user_are_listed(api: Face) -> None:
    """A user's sessions are listed, and those of nobody are none."""
    await api.webhook([a_join(), a_join(id="join-2", sid="s-2")])

    mine = (await api.api("GET", "users/user-1/sessions")).json()
    nobodys = (await api.api("GET", "users/nobody/sessions")).json()

    assert {session["sid"] for session in mine["sessions"]} == {"s-1", "s-2"}
    assert nobodys == {"sessions": [], "next": None}


@pytest.mark.parametrize("name", ["auth0|65a1", "a/b/sessions", "/", "%2F", "a b?c#d", "100%"])
async def test_identifiers_in_a_path_are_percent_encoded(api: Face, name: str) -> None:
    """A sub and a sid may hold every printable character, the slash too."""
    await api.webhook(a_join(sub=name, sid=name))
    encoded = quote(name, safe="")

    session = (await api.api("GET", f"sessions/{encoded}")).json()
    sessions = (await api.api("GET", f"users/{encoded}/sessions")).json()

    assert (session["sid"], session["sub"]) == (name, name)
    assert [one["sid"] for one in sessions["sessions"]] == [name]


@pytest.mark.parametrize("path", ["sessions/s-2", "sessions/%00", "sessions/s-1/", "sessions/"])
async def test_an_unknown_session_is_not_found(api: Face, path: str) -> None:
    """A session that nobody told of is 404, and so is a path with a trailing slash."""
    await api.webhook(a_join())

    answer = await api.api("GET", path)

    assert (answer.status_code, answer.json()["errorCode"]) == (404, "not_found")
