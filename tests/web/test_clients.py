"""``/api/v2/clients``: applications are kept as Auth0 keeps its clients."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import NoReturn

import anyio
import httpx2
import pytest

from dispatcher.adapters.key_sets import HttpKeySets
from dispatcher.adapters.vault import VaultVerifier
from dispatcher.domain.applications import (
    Application,
    ManagedBy,
    RegistrationRules,
    TokenType,
    application_from,
)
from dispatcher.domain.errors import Fault, Unavailable
from dispatcher.domain.events import ClientId
from dispatcher.domain.sources import Scope
from tests.web.builders import a_client, errors_of
from tests.web.face import Face

PEM = {
    "client_certificate_pem": "-----BEGIN CERTIFICATE-----",
    "client_key_pem": "-----BEGIN PRIVATE KEY-----",
}
SECRET = {"client_secret": "is shown once"}
DEFAULT_INITIATORS = {"mode": "custom", "selected_initiators": ["rp-logout", "idp-logout"]}


@pytest.fixture
async def api(face: Face) -> Face:
    """Let the token do everything."""
    await face.grant(*Scope)
    return face


async def declare(face: Face, document: Mapping[str, object]) -> None:
    """Write an application as the declarative file does."""
    rules = RegistrationRules(managed_by=ManagedBy.FILE)
    await face.store.create_application(application_from(document, rules))


def kept(face: Face, client_id: str = "shop") -> Application:
    """Return an application as the work sees it."""
    return face.store.applications[ClientId(client_id)]


async def test_a_client_is_created(api: Face) -> None:
    """A client is answered as it is kept: defaults filled in, the deprecated alias mirrored."""
    answer = await api.api("POST", "clients", a_client(app_type="regular_web", callbacks=["a:b"]))

    urls = ["https://shop.example/logout"]
    told = answer.json()
    assert answer.status_code == 201
    assert len(told.pop("client_secret")) == 64
    assert told == {
        "client_id": "shop",
        "name": "Shop",
        "app_type": "regular_web",
        "callbacks": ["a:b"],
        "oidc_logout": {
            "backchannel_logout_urls": urls,
            "backchannel_logout_initiators": DEFAULT_INITIATORS,
        },
        "oidc_backchannel_logout": {"backchannel_logout_urls": urls},
        "managed_by": "api",
    }
    assert (await api.api("GET", "clients/shop")).json() == told
    assert kept(api).urls == ("https://shop.example/logout",)


async def test_a_client_gets_an_id(api: Face) -> None:
    """A client that brings no client_id is given one, each its own."""
    answers = [await api.api("POST", "clients", {"name": "Shop"}) for _ in range(2)]

    ids = {answer.json()["client_id"] for answer in answers}
    assert len(ids) == 2
    assert all(re.fullmatch("[A-Za-z0-9]{32}", client_id) for client_id in ids)


async def test_null_is_as_good_as_nothing(api: Face) -> None:
    """A member that is created as null is not there, and a client_id is made for it."""
    answer = await api.api("POST", "clients", {"name": "Shop", "client_id": None, "sso": None})

    assert answer.status_code == 201
    assert set(answer.json()) == {"client_id", "name", "managed_by", "client_secret"}


async def test_a_client_id_is_taken_once(api: Face) -> None:
    """A second client of one id is a conflict, and the first stays as it is."""
    await api.api("POST", "clients", a_client())

    answer = await api.api("POST", "clients", a_client(name="Other"))

    assert (answer.status_code, answer.json()["errorCode"]) == (409, "conflict")
    assert kept(api).name == "Shop"


def with_urls(*urls: object) -> dict[str, object]:
    """Return a client with these URIs."""
    return a_client(oidc_logout={"backchannel_logout_urls": list(urls)})


def with_initiators(initiators: object) -> dict[str, object]:
    """Return a client with this subscription."""
    return a_client(
        oidc_logout={
            "backchannel_logout_urls": ["https://shop.example/logout"],
            "backchannel_logout_initiators": initiators,
        }
    )


def selecting(*names: str) -> dict[str, object]:
    """Return a client in mode custom."""
    return with_initiators({"mode": "custom", "selected_initiators": list(names)})


URLS = "oidc_logout.backchannel_logout_urls"
SELECTED = "oidc_logout.backchannel_logout_initiators.selected_initiators"
BAD_CLIENTS: list[tuple[str, object, str]] = [
    ("no object", ["shop"], ""),
    ("no name", {"client_id": "shop"}, "name"),
    ("a name with a tag", a_client(name="<b>"), "name"),
    ("a client_id that is no string", a_client(client_id=7), "client_id"),
    ("a client_id with a newline", a_client(client_id="a\nb"), "client_id"),
    ("a URI with a fragment", with_urls("https://shop.example/logout#top"), f"{URLS}[0]"),
    ("a URI with an empty fragment", with_urls("https://shop.example/logout#"), f"{URLS}[0]"),
    ("a URI with user information", with_urls("https://u:p@shop.example/"), f"{URLS}[0]"),
    ("a relative URI", with_urls("/logout"), f"{URLS}[0]"),
    ("a URI without a scheme", with_urls("shop.example/logout"), f"{URLS}[0]"),
    ("an http URI", with_urls("http://shop.example/logout"), f"{URLS}[0]"),
    ("a URI that is no string", with_urls(7), f"{URLS}[0]"),
    ("one URI twice", with_urls("https://a.example/", "https://a.example/"), URLS),
    ("an unknown initiator", selecting("rp-logout", "idp-logout", "nope"), f"{SELECTED}[2]"),
    ("custom without rp-logout", selecting("idp-logout"), SELECTED),
    ("custom without idp-logout", selecting("rp-logout"), SELECTED),
    ("custom without both", selecting("password-changed"), SELECTED),
    ("custom with nothing", selecting(), SELECTED),
    ("custom without a list", with_initiators({"mode": "custom"}), SELECTED),
    ("an unknown mode", with_initiators(DEFAULT_INITIATORS | {"mode": "some"}),
     "oidc_logout.backchannel_logout_initiators.mode"),
    ("HS256", a_client(jwt_configuration={"alg": "HS256"}), "jwt_configuration.alg"),
    ("none", a_client(id_token_signed_response_alg="none"), "id_token_signed_response_alg"),
    ("encryption", a_client(id_token_encrypted_response_alg="RSA-OAEP"),
     "id_token_encrypted_response_alg"),
    ("a typo in our object", a_client(logout_delivery={"tiemout": 5}), "logout_delivery.tiemout"),
    ("a deep nest", a_client(metadata=json.loads("[" * 80 + "]" * 80)), "metadata"),
    ("a secret that is no string", a_client(client_secret=7), "client_secret"),
    ("an empty secret", a_client(client_secret=""), "client_secret"),
    ("half a character", a_client(description="\ud800"), "description"),
    ("NUL in a member's name", a_client(metadata={"\0": 1}), "metadata"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("document", "field"), [one[1:] for one in BAD_CLIENTS], ids=[one[0] for one in BAD_CLIENTS]
)
async def test_what_is_no_client_is_refused(api: Face, document: object, field: str) -> None:
    """A bad client is refused in Auth0's words, naming the property, and is not stored."""
    answer = await api.api("POST", "clients", document)

    told = answer.json()
    assert (answer.status_code, told["errorCode"]) == (400, "invalid_body")
    assert list(errors_of(answer)) == [field]
    assert told["message"].startswith("Payload validation error: '")
    assert told["message"].endswith(f" on property {field}." if field else "'.")
    assert dict(api.store.applications) == {}


async def test_what_only_the_file_may_say_is_forbidden(api: Face) -> None:
    """Addresses and paths are never taken over the API, neither new nor changed."""
    await api.api("POST", "clients", a_client())
    for name, value in {
        "allow_addresses": ["10.0.0.0/8"],
        "ca_file": "/etc/passwd",
        "client_certificate_file": "/etc/passwd",
        "client_key_file": "/etc/passwd",
    }.items():
        document = a_client(client_id="other", logout_delivery={name: value})

        created = await api.api("POST", "clients", document)
        updated = await api.api("PATCH", "clients/shop", {"logout_delivery": {name: value}})

        assert (created.status_code, updated.status_code) == (403, 403)
        assert name in created.json()["message"]
    assert list(api.store.applications) == ["shop"]
    assert "logout_delivery" not in kept(api).document


async def test_a_patch_replaces_the_members_that_it_gives(api: Face) -> None:
    """A root member is replaced whole, and the others stay."""
    await api.api("POST", "clients", a_client(app_type="spa"))

    change = {"oidc_logout": {"backchannel_logout_urls": ["https://new.example/"]}, "name": "New"}
    answer = await api.api("PATCH", "clients/shop", change)

    told = answer.json()
    assert answer.status_code == 200
    assert (told["name"], told["app_type"]) == ("New", "spa")
    assert told["oidc_logout"]["backchannel_logout_initiators"] == DEFAULT_INITIATORS
    assert kept(api).urls == ("https://new.example/",)


async def test_mode_all_is_kept_without_a_list(api: Face) -> None:
    """All means all present and future initiators: a list beside it is dropped."""
    await api.api("POST", "clients", a_client())
    subscription = {"mode": "all", "selected_initiators": ["rp-logout"]}
    change = with_initiators(subscription)["oidc_logout"]

    answer = await api.api("PATCH", "clients/shop", {"oidc_logout": change})

    shown = answer.json()["oidc_logout"]["backchannel_logout_initiators"]
    assert shown == {"mode": "all"}


@pytest.mark.parametrize(
    "change",
    [
        {"oidc_logout": None},
        {"oidc_logout": {}},
        {"oidc_backchannel_logout": None},
        {"oidc_logout": {"backchannel_logout_urls": []}},
    ],
)
async def test_no_uri_switches_it_off(api: Face, change: dict[str, object]) -> None:
    """Each of Auth0's ways to unsubscribe leaves an application without a URI."""
    await api.api("POST", "clients", a_client())

    answer = await api.api("PATCH", "clients/shop", change)

    assert answer.status_code == 200
    assert kept(api).urls == ()


async def test_a_bad_patch_changes_nothing(api: Face) -> None:
    """A patch is checked as a whole before anything is written."""
    await api.api("POST", "clients", a_client())
    before = kept(api)

    answer = await api.api("PATCH", "clients/shop", {"name": None, "logo_uri": "x"})

    assert answer.status_code == 400
    assert list(errors_of(answer)) == ["name"]
    assert kept(api) == before


async def test_a_client_id_stays(api: Face) -> None:
    """A patch may name the client_id that it is for, and no other."""
    await api.api("POST", "clients", a_client())

    same = await api.api("PATCH", "clients/shop", {"client_id": "shop", "name": "New"})
    other = await api.api("PATCH", "clients/shop", {"client_id": "other"})

    assert (same.status_code, other.status_code) == (200, 400)
    assert list(errors_of(other)) == ["client_id"]


async def test_an_answer_can_be_sent_back(api: Face) -> None:
    """What was read can be written back whole: tools export and import."""
    shown = (await api.api("POST", "clients", a_client())).json()

    answer = await api.api("PATCH", "clients/shop", shown)

    assert (answer.status_code, answer.json() | SECRET) == (200, shown | SECRET)
    assert not {"managed_by", "client_secret"} & kept(api).document.keys()


async def test_a_key_survives_a_patch_that_does_not_speak_of_it(api: Face) -> None:
    """The key of a client certificate is never shown, and stays until it is written anew."""
    await api.api("POST", "clients", a_client(logout_delivery={"token_type": "JWT", **PEM}))

    answer = await api.api("PATCH", "clients/shop", {"name": "New"})

    assert answer.status_code == 200
    assert "PRIVATE KEY" not in answer.text
    assert kept(api).client_key_pem == PEM["client_key_pem"]
    assert kept(api).delivery.token_type is TokenType.JWT


async def test_a_key_goes_with_its_certificate(api: Face) -> None:
    """A patch that replaces logout_delivery replaces the key with it."""
    await api.api("POST", "clients", a_client(logout_delivery=PEM))

    half = {"logout_delivery": {"client_certificate_pem": "c"}}
    refused = await api.api("PATCH", "clients/shop", half)
    removed = await api.api("PATCH", "clients/shop", {"logout_delivery": {"timeout": 3}})

    assert (refused.status_code, removed.status_code) == (400, 200)
    assert kept(api).client_key_pem is None
    assert kept(api).delivery.timeout == timedelta(seconds=3)


async def test_what_belongs_to_the_file_is_not_written(api: Face) -> None:
    """A client of the declarative file can be read, and neither changed nor deleted."""
    await declare(api, a_client())

    shown = await api.api("GET", "clients/shop")
    changed = await api.api("PATCH", "clients/shop", {"name": "New"})
    deleted = await api.api("DELETE", "clients/shop")

    assert shown.json()["managed_by"] == "file"
    for answer in (changed, deleted):
        assert answer.status_code == 409
        assert "managed_by: file" in answer.json()["message"]
    assert kept(api).name == "Shop"


@pytest.mark.parametrize("gone", [False, True])
async def test_what_changes_meanwhile_is_found_out(api: Face, gone: bool) -> None:  # noqa: FBT001 - a case
    """A client is judged as it is when it is written, not as it was when that was asked for."""
    await api.api("POST", "clients", a_client())
    store = api.store

    class Meanwhile(VaultVerifier):
        """A verifier that takes its time, in which others have theirs."""

        async def secret_hash(self, secret: str) -> str:
            """Hash *secret* after the client has become the file's, or has gone."""
            if gone:
                await store.delete_application(ClientId("shop"))
            else:
                filed = replace(kept(api), managed_by=ManagedBy.FILE)
                await store.replace_application(filed)
            return secret

    verifier = Meanwhile(api.clock, HttpKeySets(user_agent="tests"))
    late = replace(api, doors=replace(api.doors, verifier=verifier))

    answers = [await late.api("PATCH", "clients/shop", {"client_secret": "mine", "name": "New"})]

    assert [answer.status_code for answer in answers] == [404 if gone else 409]
    assert [one.name for one in store.applications.values()] == ([] if gone else ["Shop"])


async def test_a_client_is_deleted(api: Face) -> None:
    """A client is deleted once, and to delete what is not there is no error."""
    await api.api("POST", "clients", a_client())

    answers = [await api.api("DELETE", "clients/shop") for _ in range(2)]

    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 2
    assert dict(api.store.applications) == {}


@pytest.mark.parametrize("method", ["GET", "PATCH"])
async def test_what_does_not_exist_is_said_so(api: Face, method: str) -> None:
    """An unknown client is 404 in Auth0's words."""
    answer = await api.api(method, "clients/nobody", {})

    assert answer.status_code == 404
    assert answer.json() == {
        "statusCode": 404,
        "error": "Not Found",
        "message": "The client does not exist",
        "errorCode": "inexistent_client",
    }


async def test_a_client_id_may_hold_anything_printable(api: Face) -> None:
    """In a path a client_id is percent-encoded, and a slash that is not is another path."""
    await api.api("POST", "clients", a_client(client_id="https://a.example/?b=c d"))
    encoded = "https%3A%2f%2Fa.example%2F%3Fb%3Dc%20d"

    found = await api.api("GET", f"clients/{encoded}")
    elsewhere = await api.api("DELETE", "clients/https://a.example/")

    assert found.json()["client_id"] == "https://a.example/?b=c d"
    assert elsewhere.status_code == 404
    assert len(api.store.applications) == 1


async def test_changes_of_one_client_do_not_undo_each_other(api: Face) -> None:
    """Patches of different members that come at once are both there afterwards."""
    await api.api("POST", "clients", a_client())

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(api.api, "PATCH", "clients/shop", {f"member_{number}": number})

    assert {f"member_{number}" for number in range(10)} <= kept(api).document.keys()


async def test_what_is_checked_beyond_the_form_is_refused_alike(face: Face) -> None:
    """A fault that only the world can tell (an address, a certificate) is named as any other."""

    def check(application: Application) -> Sequence[Fault]:
        return [Fault("logout_delivery.ca_pem", f"of {application.client_id} is no certificate")]

    strict = replace(face, doors=replace(face.doors, check_application=check))
    await strict.grant(*Scope)

    answer = await strict.api("POST", "clients", a_client())

    assert answer.status_code == 400
    assert list(errors_of(answer)) == ["logout_delivery.ca_pem"]
    assert dict(face.store.applications) == {}


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_what_can_not_be_checked_now_is_no_fault_of_the_client(
    face: Face, method: str
) -> None:
    """Where we can not look at its certificates, whoever asks is told to come again."""

    def check(_: Application) -> NoReturn:
        raise Unavailable("TLS can not be prepared: Too many open files.")

    await face.grant(*Scope)
    await face.api("POST", "clients", a_client())
    before = dict(face.store.applications)
    strict = replace(face, doors=replace(face.doors, check_application=check))
    path, body = (
        ("clients", a_client(client_id="wiki")) if method == "POST" else ("clients/shop", {"a": 1})
    )

    answer = await strict.api(method, path, body)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["message"] == "TLS can not be prepared: Too many open files."
    assert face.store.applications == before


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_a_client_is_written_in_json(api: Face, method: str) -> None:
    """A form is no client object."""
    path = "/api/v2/clients" + ("/shop" if method == "PATCH" else "")
    headers = {"authorization": f"Bearer {api.token}"}

    answer: httpx2.Response = await api.http.request(
        method, path, data={"name": "Shop"}, headers=headers
    )

    assert (answer.status_code, answer.json()["errorCode"]) == (415, "unsupported_media_type")
