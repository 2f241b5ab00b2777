"""``/api/v2/sessions/{sid}`` and ``/api/v2/users/{sub}/sessions``: the session registry, shown."""

from datetime import timedelta
from urllib.parse import quote

import pytest

from dispatcher.domain.sources import Scope
from tests.web.builders import NOW, a_join, an_event, errors_of
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


async def a_page(api: Face, **params: object) -> tuple[list[str], str | None]:
    """Return the sids of one page of the user's sessions, and what its ``next`` is."""
    asked = {name: str(value) for name, value in params.items() if value is not None}
    page = (await api.api("GET", "users/user-1/sessions", params=asked)).json()
    return [session["sid"] for session in page["sessions"]], page["next"]


async def test_the_sessions_of_a_user_come_in_pages(api: Face) -> None:
    """Page by page each session is listed once, newest first, those of one moment too."""
    days = {"s~1": 1, "s.2": 2, "s-3": 3, "s-4": 3, "s-5": 3, "s-6": 40_000}
    for sid, ago in days.items():
        begun = (NOW - timedelta(days=ago)).isoformat()
        await api.webhook(a_join(id=f"join-{sid}", sid=sid, occurred_at=begun))

    pages: list[list[str]] = []
    following: str | None = None
    while not pages or following is not None:
        sids, following = await a_page(api, take=2, **{"from": following})
        pages.append(sids)

    assert pages == [["s~1", "s.2"], ["s-3", "s-4"], ["s-5", "s-6"], []]


async def test_a_page_of_sessions_has_fifty_unless_another_number_is_asked_for(api: Face) -> None:
    """However many sessions a user has, a page is never larger than a hundred."""
    await api.webhook([a_join(id=f"join-{number}", sid=f"s-{number}") for number in range(60)])

    (some, following), (all_of_them, none) = await a_page(api), await a_page(api, take=100)
    (rest, end) = await a_page(api, **{"from": following})

    assert (len(some), len(rest), len(all_of_them)) == (50, 10, 60)
    assert sorted(some + rest) == sorted(all_of_them)
    assert none is end is None


async def test_a_place_in_the_list_outlives_its_session(api: Face) -> None:
    """Where the session that a page ended with is forgotten meanwhile, the next page goes on."""
    for number in range(3):
        begun = (NOW - timedelta(days=number)).isoformat()
        await api.webhook(a_join(id=f"join-{number}", sid=f"s-{number}", occurred_at=begun))
    _, following = await a_page(api, take=2)
    assert following is not None

    (sids, _) = await a_page(api, **{"from": following.replace("s-1", "s-0-forgotten")})

    assert sids == ["s-1", "s-2"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("take", "0"),
        ("take", "101"),
        ("take", "all"),
        ("from", ""),
        ("from", "s-1"),
        ("from", "~s-1"),
        ("from", "2026-11-22T10:00:00Z~"),
        ("from", "2026-11-22T10:00:00~s-1"),
        ("from", "2026-11-22T10:00:00Z~s\x00"),
        ("tkae", "1"),
        ("page", "1"),
    ],
)
async def test_a_faulty_page_of_sessions_is_named(api: Face, name: str, value: str) -> None:
    """What is no such parameter, or has no such value, is refused by its name."""
    answer = await api.api("GET", "users/user-1/sessions", params={name: value})

    assert (answer.status_code, list(errors_of(answer))) == (400, [name])


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
