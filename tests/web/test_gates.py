"""Who is let in: every bad proof is turned away, and learns nothing from it."""

from datetime import timedelta

import httpx2
import pytest
from standardwebhooks import Webhook

from dispatcher.domain.sources import Scope, SourceFormat
from tests.web.builders import an_event
from tests.web.face import BEARER, SECRET, Face


async def test_a_signature_of_another_maker_is_good(face: Face) -> None:
    """A webhook signed by Standard Webhooks' own library is accepted."""
    body = '{"initiator":"rp-logout","sid":"s-1"}'
    signature = Webhook(SECRET).sign("msg-1", face.clock.now(), body)
    headers = {
        "webhook-id": "msg-1",
        "webhook-timestamp": str(int(face.clock.now().timestamp())),
        "webhook-signature": signature,
        "content-type": "application/json",
    }

    answer = await face.http.post("/webhooks/idp", content=body, headers=headers)

    assert answer.status_code == 202


BAD_PROOFS: dict[str, dict[str, str]] = {
    "a wrong signature": {"webhook-signature": "v1,AAAA"},
    "no signature at all": {"webhook-signature": ""},
    "a signature without its version": {"webhook-signature": "AAAA"},
    "a signature that is no base64": {"webhook-signature": "v1,***"},
    "a signature that is not ASCII": {"webhook-signature": "v1,\xe4"},
    "another id": {"webhook-id": "msg-2"},
    "an id with a dot": {"webhook-id": "msg.1"},
    "no timestamp": {"webhook-timestamp": ""},
    "a timestamp that is no number": {"webhook-timestamp": "now"},
    "a timestamp with a fraction": {"webhook-timestamp": "1795341600.5"},
    "another timestamp": {"webhook-timestamp": "1795341601"},
}


@pytest.mark.parametrize("headers", BAD_PROOFS.values(), ids=BAD_PROOFS.keys())
async def test_a_bad_proof_is_turned_away(face: Face, headers: dict[str, str]) -> None:
    """A signature that is wrong or malformed in any way is 401, and nothing is stored."""
    answer = await face.webhook(an_event(), headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert face.telemetry.turned == [("idp", "invalid_token")]
    assert await face.stored() == []


async def test_a_body_that_was_changed_is_turned_away(face: Face) -> None:
    """The signature covers every byte of the body."""
    sent = (await face.webhook(an_event())).request
    changed = sent.content.replace(b"s-1", b"s-2").replace(b"evt-1", b"evt-2")

    answer = await face.http.post("/webhooks/idp", content=changed, headers=sent.headers)

    assert answer.status_code == 401
    assert len(await face.stored()) == 1


@pytest.mark.parametrize("off", [timedelta(seconds=301), timedelta(seconds=-301)])
async def test_a_stale_timestamp_is_turned_away(face: Face, off: timedelta) -> None:
    """A webhook that was signed too long ago, or too far ahead, is 401 and not stored."""
    answer = await face.webhook(an_event(), signed_at=face.clock.now() + off)

    assert answer.status_code == 401
    assert await face.stored() == []


@pytest.mark.parametrize("off", [timedelta(seconds=300), timedelta(seconds=-300)])
async def test_a_timestamp_within_the_tolerance_is_good(face: Face, off: timedelta) -> None:
    """Five minutes are forgiven either way."""
    answer = await face.webhook(an_event(), signed_at=face.clock.now() + off)

    assert answer.status_code == 202


async def test_a_stale_timestamp_is_our_fault_while_our_clock_is_in_doubt(face: Face) -> None:
    """As long as our own clock may be the wrong one a source is told to come again."""
    face.clock.doubt = True

    answer = await face.webhook(an_event(), signed_at=face.clock.now() - timedelta(hours=1))

    assert (answer.status_code, answer.json()["code"]) == (503, "clock_in_doubt")
    assert "retry-after" in answer.headers
    assert await face.stored() == []


async def test_a_bad_signature_is_turned_away_even_then(face: Face) -> None:
    """Doubt about our clock opens no door to a signature that fits no secret."""
    face.clock.doubt = True

    answer = await face.webhook(an_event(), headers={"webhook-signature": "v1,AAAA"})

    assert answer.status_code == 401


async def test_an_unknown_source_can_not_be_told_from_a_bad_proof(face: Face) -> None:
    """Both get the same answer, byte for byte: nobody learns which sources there are."""
    bad = {"webhook-signature": "v1,AAAA"}
    answers = [
        await face.webhook(an_event(), source="idp", headers=bad),
        await face.webhook(an_event(), source="nobody", headers=bad),
        await face.webhook(an_event(), source="nobody"),
        await face.http.post("/webhooks/nobody", content=b"{", headers={}),
        await face.http.post("/webhooks/crm", headers={"authorization": "Bearer wrong"}),
        await face.http.post("/webhooks/nobody", headers={"authorization": f"Bearer {BEARER}"}),
    ]

    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert len({str(sorted(answer.headers.items())) for answer in answers}) == 1


async def test_the_format_of_a_stranger_does_not_matter(face: Face) -> None:
    """Authentication comes first: who is not known is not told what is wrong with the rest."""
    answer = await face.http.post("/webhooks/idp", content=b"<xml/>")

    assert answer.status_code == 401


async def test_one_proof_does_not_stand_in_for_the_other(face: Face) -> None:
    """Where a signature is sent it must be good, whatever token is sent beside it."""
    answer = await face.webhook(
        an_event(), source="crm", headers={"authorization": f"Bearer {BEARER}"}
    )

    assert answer.status_code == 401


def messages_of(answer: httpx2.Response) -> tuple[int, str, str]:
    """Return what Auth0's clients read of an error."""
    told = answer.json()
    return answer.status_code, told["message"], told["errorCode"]


async def test_the_api_wants_a_token(face: Face) -> None:
    """Without a bearer token the management API is closed."""
    answer = await face.http.get("/api/v2/clients")

    assert messages_of(answer) == (401, "Missing authentication", "invalid_token")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_the_api_wants_a_token_of_ours(face: Face) -> None:
    """A token that was never granted opens nothing."""
    answer = await face.api("GET", "clients")

    assert messages_of(answer) == (401, "Invalid token", "invalid_token")


async def test_a_token_expires(face: Face) -> None:
    """A token that has expired opens nothing any more."""
    await face.grant(*Scope)
    face.clock.advance(timedelta(hours=1, seconds=1))

    answer = await face.api("GET", "clients")

    assert messages_of(answer) == (401, "Invalid token", "invalid_token")


WANTED: list[tuple[str, str, Scope]] = [
    ("GET", "clients", Scope.READ_CLIENTS),
    ("POST", "clients", Scope.CREATE_CLIENTS),
    ("GET", "clients/shop", Scope.READ_CLIENTS),
    ("PATCH", "clients/shop", Scope.UPDATE_CLIENTS),
    ("DELETE", "clients/shop", Scope.DELETE_CLIENTS),
    ("GET", "sessions/s-1", Scope.READ_SESSIONS),
    ("GET", "users/user-1/sessions", Scope.READ_SESSIONS),
    ("GET", "events", Scope.READ_EVENTS),
    ("GET", "events/evt-1", Scope.READ_EVENTS),
    ("GET", "deliveries", Scope.READ_EVENTS),
    ("GET", "deliveries/1", Scope.READ_EVENTS),
]


@pytest.mark.parametrize(("method", "path", "scope"), WANTED)
async def test_each_door_wants_its_scope(face: Face, method: str, path: str, scope: Scope) -> None:
    """With every scope but its own a door stays closed, and says which it wants."""
    await face.grant(*(other for other in Scope if other is not scope))

    answer = await face.api(method, path, {})

    message = f"Insufficient scope, expected any of: {scope.value}"
    assert messages_of(answer) == (403, message, "insufficient_scope")


@pytest.mark.parametrize(("method", "path", "scope"), WANTED)
async def test_its_scope_alone_opens_a_door(
    face: Face, method: str, path: str, scope: Scope
) -> None:
    """With its own scope and no other a door is open."""
    await face.grant(scope)

    answer = await face.api(method, path, {})

    assert answer.status_code in {200, 204, 400, 404}


async def test_any_proof_of_a_source_is_enough(face: Face) -> None:
    """Of several secrets, old and new ones and of several kinds, one is enough."""
    await face.knows(
        "many",
        SourceFormat.NATIVE,
        headers=("X-Key: one", "X-Other: two"),
        bearer_tokens=("three", "four"),
    )
    proofs = [
        {"x-key": "one"},
        {"x-other": "two"},
        {"authorization": "Bearer three"},
        {"authorization": "Bearer four", "x-key": "wrong"},
    ]
    json = {"content-type": "application/json"}

    answers = [await face.posts("many", an_event(), json | proof) for proof in proofs]

    assert [answer.status_code for answer in answers] == [202] * 4


@pytest.mark.parametrize(
    "proof",
    [{}, {"x-key": "two"}, {"x-key": ""}, {"x-key": "\xe4"}, {"other": "one"},
     {"x-keycloak-signature": "0" * 64}, {"x-key": "one", "x-keycloak-signature": "0" * 64},
     {"x-key": "one", "webhook-signature": "v1,AAAA"}],
)  # fmt: skip
async def test_a_bad_header_is_turned_away_like_an_unknown_source(
    face: Face, proof: dict[str, str]
) -> None:
    """A header that is wrong, or stands beside a signature that is, opens nothing."""
    await face.knows("key", SourceFormat.NATIVE, headers=("X-Key: one",))

    answer = await face.posts("key", an_event(), proof)
    unknown = await face.posts("nobody", an_event(), proof)

    assert (answer.status_code, unknown.status_code) == (401, 401)
    assert answer.content == unknown.content
