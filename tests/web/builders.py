"""Events, joins and clients to be told of, and how an answer is read."""

from datetime import UTC, datetime

import httpx2

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


def an_event(**members: object) -> dict[str, object]:
    """Return an event of one session; a member given as None is left out."""
    event: dict[str, object] = {"id": "evt-1", "initiator": "session-revoked", "sid": "s-1"}
    return {name: value for name, value in (event | members).items() if value is not None}


def a_join(**members: object) -> dict[str, object]:
    """Return a join of one application; a member given as None is left out."""
    join: dict[str, object] = {
        "id": "join-1",
        "type": "session.joined",
        "sid": "s-1",
        "sub": "user-1",
        "clients": [{"client_id": "shop"}],
    }
    return {name: value for name, value in (join | members).items() if value is not None}


def a_client(**members: object) -> dict[str, object]:
    """Return a client object with one Back-Channel Logout URI."""
    return {
        "client_id": "shop",
        "name": "Shop",
        "oidc_logout": {"backchannel_logout_urls": ["https://shop.example/logout"]},
    } | members


def errors_of(answer: httpx2.Response) -> dict[str, str]:
    """Return the faults that an answer names, by field."""
    return {error["field"]: error["message"] for error in answer.json()["errors"]}
