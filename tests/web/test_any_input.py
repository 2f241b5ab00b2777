"""Whatever is sent, the answer is one that a client can act upon."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispatcher.domain.sources import Scope
from tests.web.builders import a_client, a_join, an_event
from tests.web.face import Face, as_bytes

# One face serves all examples: what an earlier one stored must not trouble a later one.
ON_ONE_FACE = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

TEXTS = st.text(st.characters(exclude_categories=()), max_size=20)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
MEMBERS = st.dictionaries(
    st.sampled_from(["id", "type", "initiator", "sub", "sid", "clients", "audience", "else"])
    | st.sampled_from(["except_sids", "session_metadata", "occurred_at", "expires_at"]),
    ANYTHING | st.just([{"client_id": "shop"}]) | st.datetimes().map(lambda t: f"{t.isoformat()}Z"),
    max_size=4,
)
NEARLY_EVENTS = st.builds(
    lambda told, members: told | members, st.sampled_from([an_event(), a_join()]), MEMBERS
)
BODIES = ANYTHING | NEARLY_EVENTS | st.lists(NEARLY_EVENTS, max_size=3)


@ON_ONE_FACE
@given(body=BODIES)
async def test_any_json_is_an_event_or_is_told_why_not(face: Face, body: object) -> None:
    """Any JSON value is accepted, or refused by a 4xx that names what is wrong; never 500."""
    answer = await face.webhook(json.dumps(body).encode())

    assert answer.status_code in {202, 400, 409}
    if answer.status_code == 400:
        assert all(set(error) == {"field", "message"} for error in answer.json()["errors"])
    assert face.telemetry.failures == []


@ON_ONE_FACE
@given(body=st.binary(max_size=200) | TEXTS.map(lambda text: text.encode(errors="surrogatepass")))
async def test_any_bytes_are_an_event_or_are_told_why_not(face: Face, body: bytes) -> None:
    """Any bytes at all are answered by a 4xx that names what is wrong; never 500."""
    answer = await face.webhook(body)

    assert answer.status_code == 400
    assert answer.json()["errors"]
    assert face.telemetry.failures == []


CLIENT_MEMBERS = st.dictionaries(
    st.sampled_from(["name", "oidc_logout", "oidc_backchannel_logout", "logout_delivery"])
    | st.sampled_from(["jwt_configuration", "client_id", "managed_by"])
    | TEXTS,
    ANYTHING,
    max_size=4,
)


@ON_ONE_FACE
@given(members=CLIENT_MEMBERS, method=st.sampled_from(["POST", "PATCH"]))
async def test_any_object_is_a_client_or_is_told_why_not(
    face: Face, members: dict[str, object], method: str
) -> None:
    """Any JSON object can be written, or is refused by a 4xx; what is written can be read."""
    await face.grant(*Scope)
    await face.api("POST", "clients", a_client())

    path = "clients" if method == "POST" else "clients/shop"
    answer = await face.api(method, path, members)
    listed = await face.api("GET", "clients")

    assert answer.status_code in {200, 201, 400, 403, 409}
    assert listed.status_code == 200
    assert face.telemetry.failures == []


@ON_ONE_FACE
@given(
    headers=st.dictionaries(
        st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature", "authorization"])
        | st.sampled_from(["content-type", "content-encoding"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40)
        | st.just("Bearer x")
        | st.just("Basic Og=="),
    ),
    path=st.sampled_from(["/webhooks/idp", "/webhooks/crm", "/oauth/token", "/api/v2/events"]),
)
async def test_any_headers_are_answered(face: Face, headers: dict[str, str], path: str) -> None:
    """Any headers are answered by a 4xx; never 500."""
    method = "GET" if path.startswith("/api") else "POST"

    answer = await face.http.request(method, path, headers=as_bytes(headers), content=b"{}")

    assert 400 <= answer.status_code < 500
    assert face.telemetry.failures == []


@ON_ONE_FACE
@given(st.lists(st.sampled_from(["a", "/", "%2f", "%00", "%1F", "%", "..", "\xe4"]), max_size=8))
async def test_any_path_is_answered(face: Face, parts: list[str]) -> None:
    """Any path is answered; never 500."""
    await face.grant(*Scope)

    answer = await face.api("GET", "sessions/" + "".join(parts))

    assert answer.status_code in {200, 404}
    assert face.telemetry.failures == []
