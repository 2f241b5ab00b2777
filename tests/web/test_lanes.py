"""``/api/v2/lanes``: how each application's deliveries go, and an operator's hand on them."""

from datetime import timedelta

import pytest

from dispatcher.domain import matching
from dispatcher.domain.sources import Scope
from tests.kit.builders import put_off
from tests.web.builders import a_client, an_event, errors_of
from tests.web.face import Face

LEASE = timedelta(seconds=30)
NAMES = ("shop", "mail", "wiki")


@pytest.fixture
async def api(face: Face) -> Face:
    """Let the token do everything, and let there be three applications, of which two are told."""
    await face.grant(*Scope)
    for name in NAMES:
        await face.api("POST", "clients", a_client(client_id=name))
    await tell(face, "shop", "mail")
    return face


async def tell(face: Face, *client_ids: str, times: int = 1) -> None:
    """End so many sessions at *client_ids*."""
    clients = [{"client_id": name} for name in client_ids]
    for number in range(times):
        name = f"{'-'.join(client_ids)}-{number}"
        await face.webhook(
            an_event(id=name, sid=name, initiator="rp-logout", clients=clients), webhook_id=name
        )
    await face.store.match(100, matching.match)


async def park(face: Face, client_id: str) -> None:
    """Let five deliveries of one application fail; none of another is due."""
    await tell(face, client_id, times=5)
    claimed = [
        one for one in await face.store.claim(100, lease=LEASE) if one.client_id == client_id
    ]
    later = face.clock.steady() + timedelta(minutes=5)
    await face.store.settle([put_off(one, until=later) for one in claimed])


async def states(face: Face) -> dict[str, str]:
    """Return the state of each lane."""
    lanes = (await face.api("GET", "lanes")).json()["lanes"]
    return {lane["client_id"]: lane["state"] for lane in lanes}


async def test_a_lane_has_exactly_these_members(api: Face) -> None:
    """An open lane shows how much waits and since when, and no probe."""
    lanes = (await api.api("GET", "lanes", params={"take": "1"})).json()

    assert lanes == {
        "lanes": [
            {
                "client_id": "mail",
                "state": "open",
                "pending": 1,
                "in_flight": 0,
                "oldest_pending_at": "2026-11-22T10:00:00Z",
                "next_probe_at": None,
            }
        ],
        "next": "mail",
    }


async def test_a_parked_lane_tells_of_its_probe(api: Face) -> None:
    """A parked lane shows when it is probed next."""
    await park(api, "shop")

    told = (await api.api("GET", "lanes", params={"from": "mail"})).json()

    assert told == {
        "lanes": [
            {
                "client_id": "shop",
                "state": "parked",
                "pending": 6,
                "in_flight": 0,
                "oldest_pending_at": "2026-11-22T10:00:00Z",
                "next_probe_at": "2026-11-22T10:00:05Z",
            }
        ],
        "next": None,
    }


async def test_a_cursor_leads_through_all_lanes(api: Face) -> None:
    """By from and take every lane is met once."""
    await tell(api, "wiki")
    seen, params = [], {"take": "1"}
    while True:
        told = (await api.api("GET", "lanes", params=params)).json()
        seen += [lane["client_id"] for lane in told["lanes"]]
        if told["next"] is None:
            break
        params = {"take": "1", "from": told["next"]}

    assert seen == ["mail", "shop", "wiki"]


async def test_a_lane_is_paused_and_resumed(api: Face) -> None:
    """An operator stops an application's deliveries and lets them go on, as often as asked."""
    paused = [await api.api("POST", "lanes/shop/pause") for _ in range(2)]
    stopped = await states(api)
    resumed = [await api.api("POST", "lanes/shop/resume") for _ in range(2)]

    answers = {(answer.status_code, answer.content) for answer in [*paused, *resumed]}

    assert answers == {(204, b"")}
    assert stopped == {"mail": "open", "shop": "paused"}
    assert await states(api) == {"mail": "open", "shop": "open"}


async def test_a_lane_that_is_stopped_in_advance_is_shown(api: Face) -> None:
    """An application that was never told of anything may be paused as well."""
    await api.api("POST", "lanes/wiki/pause")

    assert (await states(api))["wiki"] == "paused"


@pytest.mark.parametrize("move", ["pause", "resume"])
@pytest.mark.parametrize("name", ["nobody", "%00", "%F0%9F%98%80", "-1", "a%2Fb"])
async def test_an_unknown_application_has_no_lane(api: Face, name: str, move: str) -> None:
    """Whoever is no application is 404, and gets no lane by being asked for."""
    answer = await api.api("POST", f"lanes/{name}/{move}")

    assert (answer.status_code, answer.json()["errorCode"]) == (404, "not_found")
    assert await states(api) == {"mail": "open", "shop": "open"}


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "lanes", Scope.READ_EVENTS),
        ("POST", "lanes/shop/pause", Scope.UPDATE_CLIENTS),
        ("POST", "lanes/shop/resume", Scope.UPDATE_CLIENTS),
    ],
)
async def test_a_lane_needs_its_scope(api: Face, method: str, path: str, scope: Scope) -> None:
    """Each URL is open to its own scope, and all the others together do not open it."""
    await api.grant(*set(Scope) - {scope})
    refused = await api.api(method, path)
    await api.grant(scope)

    answer = await api.api(method, path)

    assert (refused.status_code, answer.is_success) == (403, True)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "lanes"), ("GET", "lanes/shop/pause"), ("PUT", "lanes/shop/resume")],
)
async def test_a_lane_has_no_other_methods(api: Face, method: str, path: str) -> None:
    """What is read is not written, and what is done is not read."""
    answer = await api.api(method, path)

    assert answer.status_code == 405


@pytest.mark.parametrize(
    ("name", "value"), [("take", "0"), ("take", "101"), ("from", "\x00"), ("state", "parked")]
)
async def test_a_bad_parameter_is_named(api: Face, name: str, value: str) -> None:
    """A parameter that can not be read, or that nobody knows, is refused."""
    answer = await api.api("GET", "lanes", params={name: value})

    assert (answer.status_code, answer.json()["errorCode"]) == (400, "invalid_query_string")
    assert list(errors_of(answer)) == [name]


async def test_what_is_parked_can_be_listed(api: Face) -> None:
    """Deliveries filter as parked where they are pending on a lane that is not open."""
    await park(api, "shop")

    found = (await api.api("GET", "deliveries", params={"state": "parked"})).json()["deliveries"]

    assert {(one["client_id"], one["state"]) for one in found} == {("shop", "pending")}
    assert len(found) == 6
