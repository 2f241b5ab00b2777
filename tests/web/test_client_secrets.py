"""Secrets of applications: made here, shown once, kept as hashes, and replaced on demand."""

import re
from pathlib import Path

import httpx2
import pytest

from dispatcher.domain.applications import ManagedBy, RegistrationRules, application_from
from dispatcher.domain.events import ClientId
from dispatcher.domain.sources import ManagementClient, Scope
from keys import hash_secret
from tests.web.builders import a_client, errors_of
from tests.web.face import Face


@pytest.fixture
async def api(face: Face) -> Face:
    """Let the token do everything with clients."""
    await face.grant(Scope.READ_CLIENTS, Scope.CREATE_CLIENTS, Scope.UPDATE_CLIENTS)
    return face


async def created(api: Face, **members: object) -> str:
    """Create the client ``shop``, and return its secret."""
    answer = await api.api("POST", "clients", a_client(**members))
    assert answer.status_code == 201
    return str(answer.json()["client_secret"])


async def verdict(api: Face, secret: str) -> tuple[int, str]:
    """Return what ``shop`` is answered when it asks for an access token with *secret*."""
    grant = {"grant_type": "client_credentials", "client_id": "shop", "client_secret": secret}
    answer = await api.http.post("/oauth/token", data=grant)
    return answer.status_code, answer.json()["error"]


def contents(folder: Path) -> bytes:
    """Return what lies in the files of the store."""
    return b"".join(path.read_bytes() for path in folder.glob("store.db*"))


RIGHT = (400, "unauthorized_client")
"""Who is known, and has nothing to do here."""
WRONG = (401, "invalid_client")


async def test_each_client_gets_a_secret_of_its_own(api: Face) -> None:
    """A secret is made of 64 letters and digits, and never twice."""
    answers = [await api.api("POST", "clients", {"name": "Shop"}) for _ in range(2)]

    made = {answer.json()["client_secret"] for answer in answers}
    assert len(made) == 2
    assert all(re.fullmatch("[A-Za-z0-9]{64}", secret) for secret in made)


async def test_a_secret_is_shown_once(api: Face) -> None:
    """Neither a read nor a later write shows it again."""
    secret = await created(api)

    answers: list[httpx2.Response] = [
        await api.api("GET", "clients/shop"),
        await api.api("GET", "clients"),
        await api.api("GET", "clients/shop?fields=client_secret"),
        await api.api("PATCH", "clients/shop", {"name": "New"}),
    ]

    assert {answer.status_code for answer in answers} == {200}
    assert [answer for answer in answers if secret in answer.text] == []


async def test_a_secret_is_not_on_disk(api: Face, tmp_path: Path) -> None:
    """Of a secret only a hash is kept."""
    secret = await created(api)
    await api.close_store()

    files = contents(tmp_path)

    assert b"https://shop.example/logout" in files
    assert secret.encode() not in files
    assert secret not in repr(api.store.applications)


async def test_a_secret_proves_who_an_application_is(api: Face) -> None:
    """An application with its secret is known, and may not call the management API."""
    secret = await created(api)

    verdicts = [await verdict(api, given) for given in (secret, secret[:-1], "")]

    assert verdicts == [RIGHT, WRONG, WRONG]


async def test_a_secret_is_rotated(api: Face) -> None:
    """Another one is made and shown once; the one before proves nothing any more."""
    before = await created(api)

    answer = await api.api("POST", "clients/shop/rotate-secret")

    after = answer.json()["client_secret"]
    assert answer.status_code == 200
    assert (answer.json()["client_id"], answer.json()["name"]) == ("shop", "Shop")
    assert after != before
    assert [await verdict(api, secret) for secret in (before, after)] == [WRONG, RIGHT]


async def test_rotating_changes_nothing_else(api: Face) -> None:
    """The client is the same as before, its URIs and its key among it."""
    pem = {"client_certificate_pem": "c", "client_key_pem": "k"}
    await created(api, logout_delivery=pem)
    before = api.store.applications[ClientId("shop")]

    await api.api("POST", "clients/shop/rotate-secret")

    after = api.store.applications[ClientId("shop")]
    assert (after.document, after.client_key_pem) == (before.document, "k")
    assert after.secret_hash != before.secret_hash


async def test_a_secret_may_be_brought_along(api: Face) -> None:
    """Who has a secret already may keep it, at the creation and later."""
    assert await created(api, client_secret="mine") == "mine"
    first = await verdict(api, "mine")

    answer = await api.api("PATCH", "clients/shop", {"client_secret": "another"})

    assert answer.status_code == 200
    assert first == RIGHT
    assert [await verdict(api, one) for one in ("mine", "another")] == [WRONG, RIGHT]


async def test_a_secret_survives_a_patch_that_does_not_speak_of_it(api: Face) -> None:
    """A write of other members leaves the secret be."""
    secret = await created(api)

    await api.api("PATCH", "clients/shop", {"name": "New"})

    assert await verdict(api, secret) == RIGHT


async def test_null_takes_a_secret_away(api: Face) -> None:
    """As any root member, a secret is removed by null."""
    secret = await created(api)

    await api.api("PATCH", "clients/shop", {"client_secret": None})

    assert await verdict(api, secret) == WRONG


async def test_a_bad_secret_is_named_and_not_quoted(api: Face) -> None:
    """What can be no secret is refused, and nothing is changed."""
    secret = await created(api)

    answer = await api.api("PATCH", "clients/shop", {"client_secret": "hunter2\n", "name": "New"})

    assert (answer.status_code, list(errors_of(answer))) == (400, ["client_secret"])
    assert "hunter2" not in answer.text
    assert await verdict(api, secret) == RIGHT
    assert api.store.applications[ClientId("shop")].name == "Shop"


async def test_only_what_is_there_and_ours_is_rotated(api: Face) -> None:
    """A client of the declarative file, and one that is not there, get no secret."""
    rules = RegistrationRules(managed_by=ManagedBy.FILE)
    await api.store.create_application(application_from(a_client(), rules))

    names = ("shop", "nobody")
    answers = [await api.api("POST", f"clients/{name}/rotate-secret") for name in names]

    assert [answer.status_code for answer in answers] == [409, 404]
    assert [answer for answer in answers if "client_secret" in answer.json()] == []


async def test_an_application_is_no_management_client_of_its_name(api: Face) -> None:
    """Where both have one name, the operator's management client is meant."""
    secret = await created(api)
    client = ManagementClient(
        client_id=ClientId("shop"),
        secret_hash=hash_secret("operators"),
        scopes=frozenset({Scope.READ_CLIENTS}),
    )
    await api.store.put_management_client(client)

    grant = {"grant_type": "client_credentials", "client_id": "shop"}
    answer = await api.http.post("/oauth/token", data=grant | {"client_secret": "operators"})

    assert answer.status_code == 200
    assert await verdict(api, secret) == WRONG


async def test_rotating_asks_for_a_scope(face: Face) -> None:
    """Who may not change clients does not get at their secrets."""
    await face.grant(*(scope for scope in Scope if scope is not Scope.UPDATE_CLIENTS))

    answer = await face.api("POST", "clients/shop/rotate-secret")

    assert answer.status_code == 403
