"""Deliveries once more: what a person may ask for, one or many, and what is refused."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from dispatcher.domain.deliveries import Delivery, DeliveryState, Settled
from dispatcher.domain.ledger import DeliveryFilter
from dispatcher.domain.matching import match
from dispatcher.domain.sources import Scope
from tests.kit.builders import acknowledged, an_application, an_event, called_off, gave_up
from tests.web.builders import NOW, errors_of
from tests.web.face import Face

LEASE = timedelta(seconds=30)
HALF_AN_HOUR = timedelta(minutes=30)


@pytest.fixture
async def api(face: Face) -> Face:
    """Let the token retry and read, and keep two applications."""
    await face.grant(Scope.REPLAY_DELIVERIES, Scope.READ_EVENTS)
    for client_id in ("shop", "wiki"):
        await face.store.create_application(an_application(client_id))
    return face


async def settled(
    face: Face,
    how: Callable[[Delivery], Settled] = gave_up,
    *,
    clients: Sequence[str] = ("shop",),
    events: int = 1,
) -> None:
    """Owe deliveries, and let all of them end the same way."""
    await face.store.accept([an_event(sid="s1", clients=clients) for _ in range(events)])
    await face.store.match(1000, match)
    while claimed := await face.store.claim(1000, lease=LEASE):
        await face.store.settle([how(delivery) for delivery in claimed])


async def waiting(face: Face) -> list[str]:
    """Return the ids of what is pending, oldest first."""
    wanted = DeliveryFilter(state=DeliveryState.PENDING, take=100)
    return [record.id for record in reversed(await face.store.deliveries(wanted))]


async def test_one_delivery_is_retried(api: Face) -> None:
    """A failed delivery is pending again, and the answer says how many."""
    await settled(api, events=2)

    answer = await api.api("POST", "deliveries/dl_1/retry")

    assert (answer.status_code, answer.json()) == (202, {"retried": 1})
    assert await waiting(api) == ["dl_1"]
    shown = (await api.api("GET", "deliveries/dl_1")).json()
    assert (shown["state"], shown["attempt_count"], shown["settled_at"]) == ("pending", 1, None)


@pytest.mark.parametrize("name", ["dl_9", "nothing", "%00"])
async def test_an_unknown_delivery_is_said_so(api: Face, name: str) -> None:
    """What is not there can not be retried."""
    answer = await api.api("POST", f"deliveries/{name}/retry")

    assert (answer.status_code, answer.json()["errorCode"]) == (404, "not_found")


async def test_what_was_delivered_is_not_retried(api: Face) -> None:
    """Only what failed or was cancelled can be asked for."""
    await settled(api, acknowledged)

    answer = await api.api("POST", "deliveries/dl_1/retry")

    assert (answer.status_code, answer.json()["errorCode"]) == (409, "conflict")
    assert "failed or was cancelled" in answer.json()["message"]


async def test_what_would_end_excepted_sessions_is_refused(api: Face) -> None:
    """A delivery without sid whose event excepts sessions is refused with the reason."""
    await api.store.create_application(an_application("strict", session_required=True))
    event = an_event(sub="alice", clients=["strict"], except_sids=["s1"])
    await api.store.accept([event])
    await api.store.match(10, match)

    one = await api.api("POST", "deliveries/dl_1/retry")
    many = await api.api("POST", "deliveries/retry", {"state": "failed"})

    assert one.status_code == 409
    assert "except_sids" in one.json()["message"]
    assert (many.status_code, many.json()) == (202, {"retried": 0, "refused": 1})
    assert await waiting(api) == []


@pytest.mark.parametrize(
    ("wanted", "retried"),
    [
        ({"state": "failed"}, ["dl_1", "dl_2", "dl_5"]),
        ({"state": "cancelled"}, ["dl_3"]),
        ({"client_id": "shop"}, ["dl_1", "dl_5"]),
        ({"client_id": "wiki", "state": "failed"}, ["dl_2"]),
        ({"event_id": "ev_2"}, ["dl_2"]),
        ({"event_id": "ev_9"}, []),
        ({"since": (NOW + HALF_AN_HOUR).isoformat()}, ["dl_5"]),
        ({"until": (NOW + HALF_AN_HOUR).isoformat()}, ["dl_1", "dl_2"]),
    ],
)
async def test_a_filter_names_what_is_retried(
    api: Face, wanted: dict[str, str], retried: list[str]
) -> None:
    """All that a filter names is retried, what failed unless it says cancelled, and no more."""
    await settled(api)
    await settled(api, clients=["wiki"])
    await settled(api, called_off)
    await settled(api, acknowledged)
    api.clock.advance(HALF_AN_HOUR)
    await settled(api)

    answer = await api.api("POST", "deliveries/retry", wanted)

    assert (answer.status_code, answer.json()) == (202, {"retried": len(retried)})
    assert await waiting(api) == retried


async def test_a_filter_reaches_further_than_a_page(api: Face) -> None:
    """However many there are, all are retried."""
    await settled(api, events=230)

    answer = await api.api("POST", "deliveries/retry", {"client_id": "shop"})

    assert answer.json() == {"retried": 230}
    assert (await api.store.depth()).deliveries[DeliveryState.PENDING] == 230


BAD_FILTERS: list[tuple[object, str]] = [
    ({}, ""),
    ([], ""),
    ({"stat": "failed"}, "stat"),
    ({"state": "delivered"}, "state"),
    ({"state": "parked"}, "state"),
    ({"client_id": None}, "client_id"),
    ({"client_id": ["shop"]}, "client_id"),
    ({"event_id": "\n"}, "event_id"),
    ({"since": "yesterday"}, "since"),
    ({"until": 7}, "until"),
    ({"take": 1}, "take"),
]


@pytest.mark.parametrize(("wanted", "field"), BAD_FILTERS)
async def test_a_bad_filter_retries_nothing(api: Face, wanted: object, field: str) -> None:
    """A filter that names nothing, or is misspelt, sends nothing again."""
    await settled(api)

    answer = await api.api("POST", "deliveries/retry", wanted)

    assert (answer.status_code, answer.json()["errorCode"]) == (400, "invalid_body")
    assert list(errors_of(answer)) == [field]
    assert await waiting(api) == []


@pytest.mark.parametrize("path", ["deliveries/dl_1/retry", "deliveries/retry"])
async def test_a_retry_has_a_scope_of_its_own(face: Face, path: str) -> None:
    """Who may read deliveries may not send them again."""
    await face.grant(*(scope for scope in Scope if scope is not Scope.REPLAY_DELIVERIES))

    answer = await face.api("POST", path, {"state": "failed"})

    assert answer.status_code == 403
    assert "replay:deliveries" in answer.json()["message"]
