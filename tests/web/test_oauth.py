"""Access tokens: granted to who proves to be a management client, and taken back."""

import base64
import json
import time
from collections.abc import Mapping
from datetime import timedelta

import httpx2
import pytest

from dispatcher.domain.events import ClientId
from dispatcher.domain.sources import ManagementClient, Scope
from keys import hash_secret
from tests.web.face import Face

OPS_SECRET = "s3cret+with/plus%20and:colon"
SCOPES = frozenset({Scope.READ_CLIENTS, Scope.READ_EVENTS})
GRANT = {"grant_type": "client_credentials"}
IN_BODY = {"client_id": "ops", "client_secret": OPS_SECRET}


@pytest.fixture(scope="session")
def secret_hash() -> str:
    """Hash the secret once; that is slow by design."""
    return hash_secret(OPS_SECRET)


@pytest.fixture
async def oauth(face: Face, secret_hash: str) -> Face:
    """Let there be two management clients."""
    for name in ("ops", "auditor"):
        client = ManagementClient(client_id=ClientId(name), secret_hash=secret_hash, scopes=SCOPES)
        await face.store.put_management_client(client)
    return face


async def ask(
    face: Face, parameters: Mapping[str, str], *, basic: str | None = None
) -> httpx2.Response:
    """Ask for a token by form; *basic* goes into the header Authorization."""
    headers = {}
    if basic is not None:
        headers["authorization"] = "Basic " + base64.b64encode(basic.encode()).decode()
    return await face.http.post("/oauth/token", data=dict(parameters), headers=headers)


def refusal(answer: httpx2.Response) -> tuple[int, str]:
    """Return the status and the error of a refusal, as RFC 6749 section 5.2 has it."""
    told = answer.json()
    assert set(told) == {"error", "error_description"}
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, told["error"]


async def test_a_client_gets_a_token_that_opens_the_api(oauth: Face) -> None:
    """A grant has RFC 6749's members, all of the client's scopes, and is never cached."""
    answer = await ask(oauth, GRANT | IN_BODY)

    told = answer.json()
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert told == {
        "access_token": told["access_token"],
        "token_type": "Bearer",
        "expires_in": 86400,
        "scope": "read:clients read:events",
    }
    oauth.token = told["access_token"]
    assert (await oauth.api("GET", "clients")).status_code == 200


async def test_a_token_lasts_a_day(oauth: Face) -> None:
    """A token is good for as long as it was said to be."""
    oauth.token = (await ask(oauth, GRANT | IN_BODY)).json()["access_token"]

    oauth.clock.advance(timedelta(seconds=86399))
    last = await oauth.api("GET", "clients")
    oauth.clock.advance(timedelta(seconds=2))
    late = await oauth.api("GET", "clients")

    assert (last.status_code, late.status_code) == (200, 401)


async def test_json_will_do(oauth: Face) -> None:
    """Auth0's clients may send JSON instead of a form."""
    answer = await oauth.http.post("/oauth/token", json=GRANT | IN_BODY)

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "basic",
    [f"ops:{OPS_SECRET}", "ops:s3cret%2Bwith%2Fplus%2520and%3Acolon"],
    ids=["plain", "form-encoded"],
)
async def test_basic_will_do(oauth: Face, basic: str) -> None:
    """HTTP Basic is read form-encoded, as RFC 6749 section 2.3.1 says, and plain, as many send."""
    answer = await ask(oauth, GRANT, basic=basic)

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("requested", "granted"),
    [("read:events", "read:events"), ("read:events read:clients", "read:clients read:events")],
)
async def test_a_part_of_the_scopes_may_be_asked_for(
    oauth: Face, requested: str, granted: str
) -> None:
    """The token allows what was asked for and no more."""
    answer = await ask(oauth, GRANT | IN_BODY | {"scope": requested})

    assert answer.json()["scope"] == granted


@pytest.mark.parametrize("scope", ["rotate:keys", "no:such", "no:such rotate:keys"])
async def test_nothing_of_what_was_asked_for_is_refused(oauth: Face, scope: str) -> None:
    """Where the client has none of the scopes that it asks for it is granted nothing."""
    answer = await ask(oauth, GRANT | IN_BODY | {"scope": scope})

    assert refusal(answer) == (400, "invalid_scope")


async def test_more_than_the_clients_scopes_is_cut(oauth: Face) -> None:
    """What the client may not do it is not granted, and the answer says what it is."""
    answer = await ask(oauth, GRANT | IN_BODY | {"scope": "read:clients rotate:keys no:such"})

    oauth.token = answer.json()["access_token"]
    assert answer.json()["scope"] == "read:clients"
    assert (await oauth.api("GET", "events")).status_code == 403


@pytest.mark.parametrize(
    "audience",
    ["https://dispatcher.example/api/v2/", "http://Dispatcher.example/api/v2/", ""],
)
async def test_the_audience_may_be_named(oauth: Face, audience: str) -> None:
    """The audience is this API's address, whose scheme does not matter."""
    answer = await ask(oauth, GRANT | IN_BODY | {"audience": audience})

    assert answer.status_code == 200


@pytest.mark.parametrize("audience", ["https://other.example/api/v2/", "https://[", "shop"])
async def test_another_audience_is_refused(oauth: Face, audience: str) -> None:
    """A token for somebody else's API is not ours to give."""
    answer = await ask(oauth, GRANT | IN_BODY | {"audience": audience})

    assert refusal(answer) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("parameters", "basic"),
    [
        (IN_BODY | {"client_secret": "wrong"}, None),
        (IN_BODY | {"client_id": "nobody"}, None),
        ({"client_id": "ops"}, None),
        ({}, None),
        ({}, "ops:wrong"),
        ({}, "ops"),
        ({}, "nobody:" + OPS_SECRET),
    ],
)
async def test_who_is_not_proven_gets_nothing(
    oauth: Face, parameters: dict[str, str], basic: str | None
) -> None:
    """A wrong secret and an unknown client get the same refusal."""
    answer = await ask(oauth, GRANT | parameters, basic=basic)

    assert refusal(answer) == (401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize("header", ["Basic ***", "Basic", "Basic /////w=="])
async def test_a_basic_header_that_can_not_be_read_proves_nothing(oauth: Face, header: str) -> None:
    """Bad base64 and bad UTF-8 are a failed authentication, not a failure."""
    answer = await oauth.http.post("/oauth/token", data=GRANT, headers={"authorization": header})

    assert refusal(answer) == (401, "invalid_client")


@pytest.mark.parametrize("name", ["\ud800", "\0", "a\nb", "\N{SNOWMAN}", "a" * 50_000])
async def test_what_is_nobodys_name_is_unknown(oauth: Face, name: str) -> None:
    """A name that no client can have, and no store could look for, is refused as any other."""
    asked = GRANT | {"client_id": name, "client_secret": "\ud800"}
    body = json.dumps(asked).encode()

    answer = await oauth.http.post(
        "/oauth/token", content=body, headers={"content-type": "application/json"}
    )

    assert refusal(answer) == (401, "invalid_client")
    assert oauth.telemetry.failures == []


async def test_an_unknown_client_takes_as_long(oauth: Face) -> None:
    """For an unknown client a hash is computed too: far more than a refusal would cost."""
    await ask(oauth, GRANT | {"client_id": "nobody", "client_secret": "wrong"})

    before = time.process_time()
    await ask(oauth, GRANT | {"client_id": "nobody", "client_secret": "wrong"})

    assert time.process_time() - before > 0.01


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"client_id=ops", (400, "invalid_request")),
        (b"grant_type=password&client_id=ops", (400, "unsupported_grant_type")),
        (b"grant_type=client_credentials&client_id=a&client_id=b", (400, "invalid_request")),
        (b"grant_type=%ff", (400, "invalid_request")),
        (b"\xff", (400, "invalid_request")),
    ],
)
async def test_a_bad_form_is_refused(oauth: Face, body: bytes, expected: tuple[int, str]) -> None:
    """A request that is none is refused in the words of RFC 6749."""
    headers = {"content-type": "application/x-www-form-urlencoded"}

    answer = await oauth.http.post("/oauth/token", content=body, headers=headers)

    assert refusal(answer) == expected


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"grant_type":1}'])
async def test_bad_json_is_refused(oauth: Face, body: bytes) -> None:
    """JSON that is no object of strings is refused in the same words."""
    headers = {"content-type": "application/json"}

    answer = await oauth.http.post("/oauth/token", content=body, headers=headers)

    assert refusal(answer) == (400, "invalid_request")


async def test_two_ways_to_authenticate_are_one_too_many(oauth: Face) -> None:
    """A client must not use more than one method (RFC 6749 section 2.3)."""
    answer = await ask(oauth, GRANT | IN_BODY, basic=f"ops:{OPS_SECRET}")

    assert refusal(answer) == (400, "invalid_request")


async def test_another_media_type_is_refused(oauth: Face) -> None:
    """Neither form nor JSON is invalid_request (RFC 6749 section 5.2)."""
    answer = await oauth.http.post("/oauth/token", content=b"a=b")

    assert refusal(answer) == (400, "invalid_request")


async def revoke(face: Face, token: str, *, client_id: str = "ops") -> httpx2.Response:
    """Take a token back."""
    credentials = IN_BODY | {"client_id": client_id}
    return await face.http.post("/oauth/revoke", data={"token": token, **credentials})


async def test_a_token_can_be_taken_back(oauth: Face) -> None:
    """A revoked token opens nothing; to revoke it again, or none, is no error (RFC 7009)."""
    oauth.token = (await ask(oauth, GRANT | IN_BODY)).json()["access_token"]

    answers = [await revoke(oauth, token) for token in (oauth.token, oauth.token, "never-was")]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert (await oauth.api("GET", "clients")).status_code == 401


async def test_a_token_of_another_client_is_left_alone(oauth: Face) -> None:
    """A client can take back only what was granted to it (RFC 7009 section 2.1)."""
    oauth.token = (await ask(oauth, GRANT | IN_BODY)).json()["access_token"]

    answer = await revoke(oauth, oauth.token, client_id="auditor")

    assert refusal(answer) == (400, "unauthorized_client")
    assert (await oauth.api("GET", "clients")).status_code == 200


async def test_who_is_not_proven_takes_nothing_back(oauth: Face) -> None:
    """Revoking wants the client's secret, and a token."""
    wrong = await oauth.http.post(
        "/oauth/revoke", data={"token": "t", "client_id": "ops", "client_secret": "wrong"}
    )
    nothing = await oauth.http.post("/oauth/revoke", data=IN_BODY)

    assert refusal(wrong) == (401, "invalid_client")
    assert refusal(nothing) == (400, "invalid_request")
