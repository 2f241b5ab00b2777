"""Pages of clients, in each of the forms that Auth0's SDKs ask for."""

from typing import Any

import pytest

from dispatcher.domain.sources import Scope
from tests.web.builders import errors_of
from tests.web.face import Face

EVERYBODY = [f"client-{number}" for number in range(5)]


@pytest.fixture
async def api(face: Face) -> Face:
    """Keep five clients, of which the first is no first party and the last a single page."""
    await face.grant(*Scope)
    for client_id in EVERYBODY:
        document: dict[str, object] = {
            "client_id": client_id,
            "name": client_id,
            "app_type": "regular_web",
        }
        if client_id == EVERYBODY[0]:
            document |= {"is_first_party": False}
        if client_id == EVERYBODY[-1]:
            document |= {"app_type": "spa"}
        await face.api("POST", "clients", document)
    return face


async def page(face: Face, **params: str) -> Any:
    """Return one page as it is answered."""
    answer = await face.api("GET", "clients", params=params)
    assert answer.status_code == 200
    return answer.json()


def ids(clients: list[dict[str, Any]]) -> list[str]:
    """Return the clients' ids, in their order."""
    return [client["client_id"] for client in clients]


async def test_a_page_is_a_bare_array_unless_totals_are_asked_for(api: Face) -> None:
    """Auth0's older SDKs expect an array."""
    assert ids(await page(api)) == EVERYBODY
    assert ids(await page(api, page="1", per_page="2", include_totals="false")) == EVERYBODY[2:4]


async def test_totals_come_in_an_envelope(api: Face) -> None:
    """With include_totals a page says where it stands."""
    told = await page(api, page="1", per_page="2", include_totals="true")

    assert ids(told.pop("clients")) == EVERYBODY[2:4]
    assert told == {"total": 5, "start": 2, "limit": 2}


async def test_a_page_beyond_the_end_is_empty(api: Face) -> None:
    """SDKs read on until they meet an empty page."""
    told = await page(api, page="7", include_totals="true")

    assert told == {"total": 5, "start": 350, "limit": 50, "clients": []}


async def test_a_cursor_leads_through_all_clients(api: Face) -> None:
    """By from and take every client is met once, and the last page has no next."""
    seen, params = [], {"take": "2"}
    while True:
        told = await page(api, **params)
        seen += ids(told["clients"])
        if told["next"] is None:
            break
        params = {"take": "2", "from": told["next"]}

    assert seen == EVERYBODY


async def test_a_cursor_survives_a_deletion(api: Face) -> None:
    """Where the client that a cursor stands at is deleted nobody is left out."""
    told = await page(api, take="2")
    await api.api("DELETE", f"clients/{EVERYBODY[1]}")
    await api.api("DELETE", f"clients/{EVERYBODY[4]}")

    rest = await page(api, **{"from": told["next"]})

    assert ids(rest["clients"])[-1:] == [EVERYBODY[3]]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"fields": "client_id,name"}, {"client_id", "name"}),
        ({"fields": "name", "include_fields": "true"}, {"name"}),
        ({"fields": "name,app_type", "include_fields": "false"}, {"client_id", "managed_by"}),
        ({"include_fields": "false"}, {"client_id", "name", "app_type", "managed_by"}),
    ],
)
async def test_members_can_be_chosen(api: Face, params: dict[str, str], expected: set[str]) -> None:
    """The members named are shown, or all but these; of one client and of a page alike."""
    one = await api.api("GET", f"clients/{EVERYBODY[1]}", params=params)
    many = await page(api, **params)

    assert set(one.json()) == expected
    assert set(many[1]) == expected


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"is_global": "true"}, []),
        ({"is_global": "false"}, EVERYBODY),
        ({"is_first_party": "true"}, EVERYBODY[1:]),
        ({"is_first_party": "false"}, EVERYBODY[:1]),
        ({"app_type": "spa"}, EVERYBODY[4:]),
        ({"app_type": "spa,regular_web"}, EVERYBODY),
        ({"q": "whatever"}, EVERYBODY),
    ],
)
async def test_what_real_tools_send_is_understood(
    api: Face, params: dict[str, str], expected: list[str]
) -> None:
    """The filters of Auth0's tools are applied, and what means nothing here is ignored."""
    assert ids(await page(api, **params)) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("per_page", "101"),
        ("per_page", "-1"),
        ("per_page", "ten"),
        ("page", "1.5"),
        ("page", "9" * 400),
        ("take", "0"),
        ("take", "101"),
        ("from", "client-0"),
        ("from", "²."),
        ("include_totals", "yes"),
        ("is_global", ""),
    ],
)
async def test_a_bad_query_is_named(api: Face, name: str, value: str) -> None:
    """A parameter that can not be read is refused in Auth0's words."""
    answer = await api.api("GET", "clients", params={name: value})

    assert (answer.status_code, answer.json()["errorCode"]) == (400, "invalid_query_string")
    assert list(errors_of(answer)) == [name]


async def test_a_parameter_is_given_once(api: Face) -> None:
    """Of two values for one parameter none is quietly dropped."""
    answer = await api.api("GET", "clients?page=0&page=1")

    assert answer.status_code == 400
    assert errors_of(answer) == {"page": "is given more than once"}
