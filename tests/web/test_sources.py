"""``/api/v2/sources``: who may send is managed without a restart, and secrets stay secret."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from dispatcher.domain.applications import ManagedBy
from dispatcher.domain.events import Audience, SourceName
from dispatcher.domain.sources import Scope, Source, SourceFormat, document_of, source_from
from tests.web.builders import NOW, errors_of
from tests.web.face import Face

OLD, NEW = (f"whsec_{base64.b64encode(bytes([byte]) * 32).decode()}" for byte in (1, 2))


@pytest.fixture
async def api(face: Face) -> Face:
    """Let the token do everything."""
    await face.grant(*Scope)
    return face


async def created(api: Face, **members: Any) -> dict[str, Any]:
    """Create a source, and return the answer."""
    answer = await api.api("POST", "sources", {"name": "hr", **members})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def accepted(api: Face, name: str, secret: str) -> int:
    """Send an event as that source, signed by the reference library; return the status."""
    body = json.dumps({"initiator": "rp-logout", "sub": "alice", "clients": []})
    webhook_id = f"msg-{name}-{secret[-8:]}"
    moment = datetime.fromtimestamp(NOW.timestamp(), UTC)
    answer = await api.http.post(
        f"/webhooks/{name}",
        content=body,
        headers={
            "content-type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": Webhook(secret).sign(webhook_id, moment, body),
        },
    )
    return int(answer.status_code)


async def test_a_source_that_can_sign_gets_a_secret(api: Face) -> None:
    """A source without a proof gets a secret, which is shown once and works at once."""
    source = await created(api)
    shown = (await api.api("GET", "sources/hr")).json()

    assert source.pop("secret").startswith("whsec_")
    assert source == shown
    assert shown == {
        "name": "hr",
        "format": "native",
        "audience": "session",
        "proofs": {"secret": 1},
        "managed_by": "api",
    }


async def test_a_new_source_may_send(api: Face) -> None:
    """What a source signs with the secret that was made for it is accepted, and nobody else's."""
    source = await created(api)

    assert await accepted(api, "hr", source["secret"]) == 202
    assert await accepted(api, "hr", OLD) == 401


async def test_two_secrets_are_valid_while_one_replaces_the_other(api: Face) -> None:
    """Old and new are valid together until the old one is taken away."""
    await created(api, secret=OLD)

    await api.api("PATCH", "sources/hr", {"secrets": [NEW, OLD]})
    together = [await accepted(api, "hr", secret) for secret in (OLD, NEW)]
    await api.api("PATCH", "sources/hr", {"secret": NEW, "secrets": None})
    alone = [await accepted(api, "hr", secret) for secret in (OLD, NEW)]

    assert (together, alone) == ([202, 202], [401, 202])


async def test_what_is_not_given_stays(api: Face) -> None:
    """A patch replaces what it gives and removes what it sets to null; secrets stay as they are."""
    await created(api, secret=OLD, audience="subscribers", initiators=["rp-logout"])

    changed = await api.api("PATCH", "sources/hr", {"audience": None})

    shown = changed.json()
    assert (shown["audience"], shown["initiators"]) == ("session", ["rp-logout"])
    assert await accepted(api, "hr", OLD) == 202


async def test_secrets_are_never_shown(api: Face) -> None:
    """No answer but the one that makes it has a secret in it."""
    await created(api, secret=OLD, bearer_token="KANARI-token")

    answers = [
        await api.api("PATCH", "sources/hr", {"bearer_tokens": ["KANARI-new"]}),
        await api.api("GET", "sources/hr"),
        await api.api("GET", "sources"),
    ]

    assert all("KANARI" not in one.text and OLD not in one.text for one in answers)


async def test_a_deleted_source_sends_nothing_more(api: Face) -> None:
    """A source that is deleted is as unknown as any; to delete it again is no error."""
    await created(api, secret=OLD)

    answers = [(await api.api("DELETE", "sources/hr")).status_code for _ in range(2)]

    assert answers == [204, 204]
    assert await accepted(api, "hr", OLD) == 401
    assert (await api.api("GET", "sources/hr")).status_code == 404


async def test_sources_come_in_pages(api: Face) -> None:
    """A list is in the order of names, and goes on where the last page ended."""
    for name in ("a", "b", "c"):
        await created(api, name=name)
    names, following = [], ""
    while following is not None:
        page = (await api.api("GET", "sources", params={"from": following, "take": "2"})).json()
        names += [source["name"] for source in page["sources"]]
        following = page["next"]

    assert names == sorted(api.store.sources)
    assert {"a", "b", "c"} <= {*names}


async def test_what_the_file_owns_is_changed_there(api: Face) -> None:
    """A source of the declarative file is neither changed nor deleted over the API."""
    answers = [
        await api.api("PATCH", "sources/idp", {"audience": "subscribers"}),
        await api.api("DELETE", "sources/idp"),
    ]

    assert [one.status_code for one in answers] == [409, 409]
    assert all("managed_by: file" in one.json()["message"] for one in answers)


async def test_keys_are_fetched_from_where_the_file_says(api: Face) -> None:
    """Nobody who writes over the API can have us fetch something from inside the network."""
    members = {
        "name": "hr",
        "format": "set",
        "issuer": "https://op.example",
        "jwks_uri": "https://10.0.0.1/keys",
        "expected_aud": "us",
    }

    refused = await api.api("POST", "sources", members)

    assert refused.status_code == 403
    assert refused.json()["errorCode"] == "operation_not_supported"
    assert "jwks_uri" in refused.json()["message"]


async def test_a_name_is_taken_once_and_kept(api: Face) -> None:
    """A second source of one name is a conflict, and a name can not be changed."""
    await created(api)

    again = await api.api("POST", "sources", {"name": "hr"})
    renamed = await api.api("PATCH", "sources/hr", {"name": "other"})

    assert (again.status_code, renamed.status_code) == (409, 400)
    assert errors_of(renamed).keys() == {"name"}


FAULTY: dict[str, tuple[dict[str, Any], set[str]]] = {
    "no name": ({}, {"name"}),
    "a name that is none": ({"name": "No Name"}, {"name"}),
    "an unknown member": ({"name": "hr", "fromat": "native"}, {"fromat"}),
    "a format that is no text": ({"name": "hr", "format": {}}, {"format"}),
    "an unknown format": ({"name": "hr", "format": "morse"}, {"format"}),
    "no proof in its format": ({"name": "hr", "format": "keycloak"}, {"hmac_secret"}),
    "another format's proof": (
        {"name": "hr", "format": "keycloak", "hmac_secret": "x", "secret": OLD},
        {"secret"},
    ),
    "a secret that is none": ({"name": "hr", "secret": "KANARI"}, {"secret"}),
    "an initiator that is none": ({"name": "hr", "initiators": ["No"]}, {"initiators[0]"}),
}


@pytest.mark.parametrize(("members", "fields"), FAULTY.values(), ids=FAULTY.keys())
async def test_faults_are_named(api: Face, members: dict[str, Any], fields: set[str]) -> None:
    """Each fault is told by its member, no secret is quoted, and nothing is stored."""
    before = dict(api.store.sources)

    refused = await api.api("POST", "sources", members)

    assert refused.status_code == 400
    assert errors_of(refused).keys() == fields
    assert "KANARI" not in refused.text
    assert dict(api.store.sources) == before


texts = st.text(alphabet="abcdef", min_size=1, max_size=9)
sources = st.builds(
    Source,
    name=texts.map(SourceName),
    format=st.sampled_from([SourceFormat.NATIVE, SourceFormat.CLOUDEVENTS]),
    secrets=st.lists(texts, min_size=1, max_size=3).map(tuple),
    bearer_tokens=st.lists(texts, max_size=3).map(tuple),
    audience=st.sampled_from(Audience),
    initiators=st.none() | st.frozensets(texts, max_size=3),
    managed_by=st.sampled_from(ManagedBy),
)


@given(sources)
def test_a_record_is_read_as_what_it_was_written_from(source: Source) -> None:
    """A source's record, read again, is that source."""
    assert source_from(document_of(source), managed_by=source.managed_by) == source
