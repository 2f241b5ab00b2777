"""``/api/v2/events`` and ``/api/v2/deliveries``: what has been recorded, in its exact shape."""

from datetime import timedelta
from typing import Any

import pytest

from dispatcher.domain import matching
from dispatcher.domain.deliveries import Acknowledged, Attempt, Move, Settled, Settlement
from dispatcher.domain.sources import Scope
from tests.web.builders import a_client, an_event, errors_of
from tests.web.face import Face

LEASE = timedelta(seconds=30)


@pytest.fixture
async def api(face: Face) -> Face:
    """Let the token do everything, and let there be one application."""
    await face.grant(*Scope)
    await face.api("POST", "clients", a_client())
    return face


async def tell(face: Face, **members: object) -> dict[str, Any]:
    """Send an event that ends the session at the shop, and match it."""
    event = an_event(initiator="rp-logout", clients=[{"client_id": "shop"}], **members)
    answer = await face.webhook(event)
    await face.store.match(10, matching.match)
    told: dict[str, Any] = answer.json()
    return told


async def deliver(face: Face) -> None:
    """Settle what is due as delivered, by one attempt of 12.5 ms."""
    attempt = Attempt(
        started_at=face.clock.now(),
        duration=timedelta(microseconds=12500),
        outcome=Acknowledged(status=204),
        jti="jti-1",
        kid="kid-1",
    )
    claimed = await face.store.claim(10, lease=LEASE)
    settlement = Settlement(move=Move.ACKNOWLEDGED)
    await face.store.settle([Settled(one, attempt, settlement) for one in claimed])


async def test_an_event_is_shown_as_it_was_posted(api: Face) -> None:
    """An event carries the members that were posted, and what became of it."""
    told = await tell(
        api,
        sub="user-1",
        session_metadata={"device": "phone"},
        occurred_at="2026-11-22T09:59:58.25+00:00",
    )

    shown = (
        await api.http.get(told["href"], headers={"authorization": f"Bearer {api.token}"})
    ).json()

    (delivery,) = shown.pop("deliveries")
    assert shown == {
        "id": "evt-1",
        "type": "session.ended",
        "initiator": "rp-logout",
        "sub": "user-1",
        "sid": "s-1",
        "clients": [{"client_id": "shop"}],
        "session_metadata": {"device": "phone"},
        "occurred_at": "2026-11-22T09:59:58.250000Z",
        "event_id": told["event_id"],
        "source": "idp",
        "state": "matched",
        "reason": None,
        "received_at": "2026-11-22T10:00:00Z",
        "unknown_clients": [],
    }
    assert (delivery["client_id"], delivery["state"]) == ("shop", "pending")
    assert "attempts" not in delivery


async def test_who_was_not_told_is_shown(api: Face) -> None:
    """An event that nobody is told of says why, and which of its clients are unknown."""
    answer = await api.webhook(
        an_event(
            sid=None, sub="user-1", clients=[{"client_id": "nobody", "sub": "u"}], except_sids=["s"]
        )
    )
    await api.store.match(10, matching.match)

    shown = (await api.api("GET", f"events/{answer.json()['event_id']}")).json()

    assert (shown["state"], shown["reason"]) == ("unmatched", "no_participants")
    assert shown["unknown_clients"] == ["nobody"]
    assert shown["clients"] == [{"client_id": "nobody", "sub": "u"}]
    assert shown["except_sids"] == ["s"]
    assert shown["deliveries"] == []


async def test_a_delivery_is_shown_with_its_attempts(api: Face) -> None:
    """A delivery has exactly these members, times in UTC and durations in milliseconds."""
    told = await tell(api)
    await deliver(api)

    (listed,) = (await api.api("GET", "deliveries")).json()["deliveries"]
    shown = (await api.api("GET", f"deliveries/{listed['id']}")).json()

    assert shown == listed
    assert shown == {
        "id": shown["id"],
        "event_id": told["event_id"],
        "client_id": "shop",
        "uri": "https://shop.example/logout",
        "sid": "s-1",
        "initiator": "rp-logout",
        "state": "delivered",
        "reason": None,
        "attempts": [
            {
                "number": 1,
                "started_at": "2026-11-22T10:00:00Z",
                "duration_ms": 12.5,
                "outcome": "acknowledged",
                "status": 204,
                "error": None,
                "jti": "jti-1",
                "kid": "kid-1",
            }
        ],
        "attempt_count": 1,
        "next_attempt_at": None,
        "created_at": "2026-11-22T10:00:00Z",
        "settled_at": "2026-11-22T10:00:00Z",
    }


@pytest.mark.parametrize("what", ["events", "deliveries"])
async def test_a_cursor_leads_through_everything(api: Face, what: str) -> None:
    """By from and take everything is met once, newest first."""
    for number in range(5):
        await tell(api, id=f"evt-{number}", sid=f"s-{number}")
    seen, params = [], {"take": "2"}
    while True:
        told = (await api.api("GET", what, params=params)).json()
        seen += [one["sid"] for one in told[what]]
        if told["next"] is None:
            break
        params = {"take": "2", "from": told["next"]}

    assert seen == ["s-4", "s-3", "s-2", "s-1", "s-0"]


EVENT_FILTERS: list[tuple[dict[str, str], list[str]]] = [
    ({"initiator": "rp-logout"}, ["evt-1"]),
    ({"sub": "user-2"}, ["evt-2"]),
    ({"sid": "s-1"}, ["evt-1"]),
    ({"state": "unmatched"}, ["evt-2"]),
    ({"since": "2026-11-22T10:00:30Z"}, ["evt-2"]),
    ({"until": "2026-11-22T11:00:30+01:00"}, ["evt-1"]),
    ({"sub": "nobody"}, []),
]


@pytest.mark.parametrize(("params", "expected"), EVENT_FILTERS)
async def test_events_can_be_filtered(
    api: Face, params: dict[str, str], expected: list[str]
) -> None:
    """Each filter leaves those events that it names."""
    await tell(api)
    api.clock.advance(timedelta(minutes=1))
    await api.webhook(an_event(id="evt-2", sid="s-2", sub="user-2"))
    await api.store.match(10, matching.match)

    told = (await api.api("GET", "events", params=params)).json()

    assert [one["id"] for one in told["events"]] == expected


async def test_deliveries_can_be_filtered(api: Face) -> None:
    """Each filter leaves those deliveries that it names."""
    first = await tell(api)
    await deliver(api)
    api.clock.advance(timedelta(minutes=1))
    second = await tell(api, id="evt-2", sid="s-2")

    found = {
        str(params): [
            one["event_id"]
            for one in (await api.api("GET", "deliveries", params=params)).json()["deliveries"]
        ]
        for params in (
            {"state": "delivered"},
            {"event_id": str(second["event_id"])},
            {"client_id": "nobody"},
            {"since": "2026-11-22T10:00:30Z"},
            {"until": "2026-11-22T10:00:30Z"},
        )
    }

    one, two = [first["event_id"]], [second["event_id"]]
    assert list(found.values()) == [one, two, [], two, one]


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        ("events", "state", "parked"),
        ("events", "initiator", "RP"),
        ("events", "sub", "\x00"),
        ("events", "sid", ""),
        ("events", "since", "yesterday"),
        ("events", "until", "2026-11-22T10:00:00"),
        ("events", "take", "101"),
        ("events", "client_id", "shop"),
        ("deliveries", "state", "late"),
        ("deliveries", "client_id", "\x00"),
        ("deliveries", "event_id", ""),
        ("deliveries", "take", "0"),
        ("deliveries", "stat", "failed"),
    ],
)
async def test_a_bad_filter_is_named(api: Face, path: str, name: str, value: str) -> None:
    """A filter that can not be read, or that nobody knows, is refused: else it would show all."""
    answer = await api.api("GET", path, params={name: value})

    assert (answer.status_code, answer.json()["errorCode"]) == (400, "invalid_query_string")
    assert list(errors_of(answer)) == [name]


@pytest.mark.parametrize("path", ["events", "deliveries"])
@pytest.mark.parametrize("name", ["nobody", "%00", "%F0%9F%98%80", "-1", "9" * 40])
async def test_what_was_never_recorded_is_not_found(api: Face, path: str, name: str) -> None:
    """Whatever is asked for by a name that never was is 404."""
    answer = await api.api("GET", f"{path}/{name}")

    assert (answer.status_code, answer.json()["errorCode"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["events", "deliveries"])
@pytest.mark.parametrize("cursor", ["nobody", "-1", "9" * 40])
async def test_a_cursor_that_never_was_breaks_nothing(api: Face, path: str, cursor: str) -> None:
    """A cursor of somebody's own making is no failure of ours."""
    answer = await api.api("GET", path, params={"from": cursor})

    assert answer.status_code in {200, 400}
