"""RFC 6749: the token endpoint, for the client credentials grant (section 4.4)."""

import base64
import re
from collections.abc import Mapping
from typing import Any

import httpx2
import pytest

from tests.spec.stage import Stage

GRANT = {"grant_type": "client_credentials"}
FORM = "application/x-www-form-urlencoded"
# Section 5.2: error and error_description are made of these.
ERROR_TEXT = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")


def ask(stage: Stage, form: Mapping[str, Any] | None = None, **options: Any) -> httpx2.Response:
    """Ask for an access token; authenticated by HTTP Basic unless *options* say otherwise."""
    options.setdefault("auth", ("ops", stage.service.client_secret))
    if form is not None:
        options["data"] = form
    return stage.http.post(f"{stage.service.url}/oauth/token", **options)


def assert_refused(answer: httpx2.Response, error: str, *, status: int = 400) -> None:
    """Check that *answer* is an error as section 5.2 has it."""
    told = answer.json()
    assert (answer.status_code, told["error"]) == (status, error)
    assert set(told) == {"error", "error_description"}
    assert ERROR_TEXT.fullmatch(told["error_description"])
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["cache-control"] == "no-store"


def test_token_is_granted(stage: Stage) -> None:
    """5.1: a successful answer is 200 with access_token, token_type, expires_in and scope."""
    answer = ask(stage, GRANT)

    granted = answer.json()
    assert answer.status_code == 200
    assert set(granted) == {"access_token", "token_type", "expires_in", "scope"}
    assert (granted["token_type"], granted["expires_in"]) == ("Bearer", 86400)
    assert re.fullmatch(r"[\x20-\x7e]+", granted["access_token"])


def test_token_is_not_stored_on_the_way(stage: Stage) -> None:
    """5.1: an answer with a token has Cache-Control: no-store."""
    answer = ask(stage, GRANT)

    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"].startswith("application/json")


def test_token_is_not_stored_by_old_caches_either(stage: Stage) -> None:
    """5.1: an answer with a token has Pragma: no-cache."""
    answer = ask(stage, GRANT)

    assert answer.headers["pragma"] == "no-cache"


def test_no_refresh_token_is_granted(stage: Stage) -> None:
    """4.4.3: a refresh token is not included."""
    granted = ask(stage, GRANT).json()

    assert "refresh_token" not in granted


def test_token_opens_the_api(stage: Stage) -> None:
    """7: the token is what authenticates a request to the API (RFC 6750 section 2.1)."""
    token = ask(stage, GRANT).json()["access_token"]
    path = f"{stage.service.url}/api/v2/events"

    with_it = stage.http.get(path, headers={"authorization": f"Bearer {token}"})
    without, forged = stage.http.get(path), stage.http.get(
        path, headers={"authorization": f"Bearer {token}x"}
    )  # fmt: skip

    assert [one.status_code for one in (with_it, without, forged)] == [200, 401, 401]


def test_tokens_differ(stage: Stage) -> None:
    """10.10: tokens can not be guessed from each other."""
    tokens = {ask(stage, GRANT).json()["access_token"] for _ in range(3)}

    assert len(tokens) == 3


def test_client_authenticates_in_the_body(stage: Stage) -> None:
    """2.3.1: client_id and client_secret may be in the body instead."""
    credentials = {"client_id": "ops", "client_secret": stage.service.client_secret}

    answer = ask(stage, {**GRANT, **credentials}, auth=None)

    assert answer.status_code == 200


def test_basic_credentials_are_form_encoded(stage: Stage) -> None:
    """2.3.1: in HTTP Basic, id and secret are form-encoded first."""
    encoded = "".join(f"%{ord(one):02x}" for one in stage.service.client_secret)
    basic = base64.b64encode(f"%6fps:{encoded}".encode()).decode()

    answer = ask(stage, GRANT, auth=None, headers={"authorization": f"Basic {basic}"})

    assert answer.status_code == 200


def test_credentials_in_the_query_do_not_count(stage: Stage) -> None:
    """2.3.1: credentials are never taken from the URI."""
    query = {"client_id": "ops", "client_secret": stage.service.client_secret}

    answer = ask(stage, GRANT, auth=None, params=query)

    assert_refused(answer, "invalid_client", status=401)


@pytest.mark.parametrize("client_id", ["ops", "nobody", ""])
def test_wrong_credentials_are_invalid_client(stage: Stage, client_id: str) -> None:
    """5.2: a client that fails to authenticate gets 401 and the challenge of the way it tried."""
    answer = ask(stage, GRANT, auth=(client_id, "wrong"))

    assert_refused(answer, "invalid_client", status=401)
    assert answer.headers["www-authenticate"].startswith("Basic ")


def test_no_credentials_are_invalid_client(stage: Stage) -> None:
    """3.2.1: a confidential client must authenticate."""
    answer = ask(stage, GRANT, auth=None)

    assert_refused(answer, "invalid_client", status=401)


def test_two_ways_to_authenticate_are_one_too_many(stage: Stage) -> None:
    """2.3: a client uses one way to authenticate in a request."""
    answer = ask(stage, {**GRANT, "client_secret": stage.service.client_secret})

    assert_refused(answer, "invalid_request")


def test_grant_type_is_required(stage: Stage) -> None:
    """4.4.2: grant_type is required; an empty one is none (section 3.2)."""
    answers = [ask(stage, {"scope": "read:events"}), ask(stage, {"grant_type": ""})]

    for answer in answers:
        assert_refused(answer, "invalid_request")


@pytest.mark.parametrize("grant_type", ["password", "authorization_code", "refresh_token", "x"])
def test_other_grants_are_unsupported(stage: Stage, grant_type: str) -> None:
    """5.2: any other grant is unsupported_grant_type."""
    answer = ask(stage, {"grant_type": grant_type})

    assert_refused(answer, "unsupported_grant_type")


def test_scope_can_be_narrowed(stage: Stage) -> None:
    """3.3: a client may ask for less than it has, and is told what it got."""
    granted = ask(stage, {**GRANT, "scope": "read:events read:clients"}).json()

    assert set(granted["scope"].split(" ")) == {"read:events", "read:clients"}


def test_narrow_scope_opens_no_more(stage: Stage) -> None:
    """3.3: a token does not open what its scope leaves out."""
    token = ask(stage, {**GRANT, "scope": "read:events"}).json()["access_token"]

    answer = stage.http.get(
        f"{stage.service.url}/api/v2/clients", headers={"authorization": f"Bearer {token}"}
    )

    assert answer.status_code == 403


@pytest.mark.parametrize("scope", ["rotate:keys", "READ:EVENTS", "admin rotate:keys"])
def test_scope_can_not_be_widened(stage: Stage, scope: str) -> None:
    """5.2: where the client has none of the scopes that it asks for, that is invalid_scope."""
    answer = ask(stage, {**GRANT, "scope": scope})

    assert_refused(answer, "invalid_scope")


def test_scope_is_cut_to_what_is_granted(stage: Stage) -> None:
    """3.3: a token may have less than was asked for, and the answer says what it has."""
    answer = ask(stage, {**GRANT, "scope": "read:events rotate:keys admin"})

    assert answer.json()["scope"] == "read:events"


def test_unknown_parameters_are_ignored(stage: Stage) -> None:
    """3.2: parameters that nobody knows are ignored."""
    answer = ask(stage, {**GRANT, "made_up": "1"})

    assert answer.status_code == 200


def test_repeated_parameter_is_refused(stage: Stage) -> None:
    """3.2: no parameter may be there more than once."""
    body = b"grant_type=client_credentials&grant_type=client_credentials"

    answer = ask(stage, content=body, headers={"content-type": FORM})

    assert_refused(answer, "invalid_request")


def test_method_is_post(stage: Stage) -> None:
    """3.2: the client must use POST."""
    answer = stage.http.get(f"{stage.service.url}/oauth/token", params=GRANT)

    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("body", [b"\xff=\xfe", b"%ff=1", b"", b"grant_type"])
def test_what_is_no_form_is_an_invalid_request(stage: Stage, body: bytes) -> None:
    """5.2: a malformed request is invalid_request, and breaks nothing."""
    answer = ask(stage, content=body, headers={"content-type": FORM})

    assert_refused(answer, "invalid_request")


def test_other_media_types_are_an_invalid_request(stage: Stage) -> None:
    """5.2: a body that is no form is answered in the words of this endpoint too."""
    answer = ask(stage, content=b"grant_type=x", headers={"content-type": "text/plain"})

    assert answer.status_code == 400
    assert answer.headers["cache-control"] == "no-store"
