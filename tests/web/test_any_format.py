"""Whatever a source of any format sends, it is stored, passed over, or told what is wrong."""

import copy
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.domain.sources import Issuer, SourceFormat
from tests.kit.transmitter import AUDIENCE, CAEP, ISSUER, RISC, Transmitter, a_set, signed
from tests.web.face import Face
from tests.web.recorded import (
    BEARER,
    TOKEN,
    auth0_event,
    auth0_log,
    keycloak_access,
    keycloak_admin,
    keycloak_headers,
    lines,
)
from tests.web.test_any_input import ANYTHING, ON_ONE_FACE, TEXTS

USER = {"format": "iss_sub", "iss": ISSUER, "sub": "user-1"}
ENVELOPE = {"specversion": "1.0", "id": "e-1", "source": "/idp", "type": "session.ended"}
SAMPLES: dict[SourceFormat, list[dict[str, Any]]] = {
    SourceFormat.CLOUDEVENTS: [
        {**ENVELOPE, "time": "2026-11-22T10:00:00Z", "data": {"initiator": "x", "sid": "s"}},
        {**ENVELOPE, "data_base64": "e30="},
    ],
    SourceFormat.SET: [
        a_set(f"{CAEP}session-revoked", sub_id={"user": USER, "session": {"format": "opaque"}}),
        a_set(f"{CAEP}credential-change", {"credential_type": "password", "change_type": "update"}),
        a_set(f"{RISC}identifier-changed", sub_id={"format": "aliases", "identifiers": [USER]}),
    ],
    SourceFormat.AUTH0_EVENT_STREAM: [
        auth0_event("user.deleted"),
        auth0_event("user.updated", {"blocked": True, "email": "b"}, {"email": "a"}),
    ],
    SourceFormat.AUTH0_LOG_STREAM: [
        auth0_log("s"),
        auth0_log("slo", details={"session_id": "s", "session_metadata": {"a": "b"}}),
        auth0_log("gd_unenroll", details={"authenticator": {"type": "sms"}}),
    ],
    SourceFormat.KEYCLOAK: [
        keycloak_access("LOGIN"),
        keycloak_access("UPDATE_CREDENTIAL", details={"credential_type": "password"}),
        keycloak_admin("USER-UPDATE", "users/u", representation='{"enabled": false}'),
    ],
}
ANY_SOURCE = pytest.mark.parametrize("kind", SAMPLES)


def places(document: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """List the path of everything in a document."""
    yield path
    pairs = document.items() if isinstance(document, dict) else ()
    for name, value in list(pairs) or (enumerate(document) if isinstance(document, list) else ()):
        yield from places(value, (*path, name))


def changed(document: dict[str, Any], path: tuple[Any, ...], value: object) -> object:
    """Return the document with something else at one place."""
    if not path:
        return value
    copied: Any = copy.deepcopy(document)
    at = copied
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = value
    return copied


def nearly(*kinds: SourceFormat) -> st.SearchStrategy[tuple[SourceFormat, object]]:
    """Make documents of these formats in which something is another thing."""
    spots = [
        (kind, sample, path)
        for kind in kinds
        for sample in SAMPLES[kind]
        for path in places(sample)
    ]
    return st.builds(
        lambda spot, value: (spot[0], changed(spot[1], spot[2], value)),
        st.sampled_from(spots),
        ANYTHING,
    )


@pytest.fixture
async def sources(face: Face) -> AsyncIterator[Transmitter]:
    """Make a source of each format known, under the format's name."""
    async with Transmitter() as transmitter:
        issuer = Issuer(issuer=ISSUER, jwks_uri=transmitter.uri, expected_aud=AUDIENCE)
        for kind in SAMPLES:
            if kind is SourceFormat.SET:
                await face.knows(kind, kind, issuer=issuer)
            elif kind is SourceFormat.KEYCLOAK:
                await face.knows(kind, kind, hmac_secrets=(TOKEN,))
            else:
                await face.knows(kind, kind, bearer_tokens=(TOKEN,))
        yield transmitter


async def send(face: Face, sources: Transmitter, kind: SourceFormat, body: bytes) -> None:
    """Send a body as its source would, and find the answer to be one of those that there are."""
    headers = dict(BEARER)
    match kind:
        case SourceFormat.SET:
            body = signed(body, sources.keys[0]).encode()
            headers = {"content-type": "application/secevent+jwt"}
        case SourceFormat.KEYCLOAK:
            headers = keycloak_headers(body)
        case SourceFormat.CLOUDEVENTS:
            headers["content-type"] = "application/cloudevents+json"

    answer = await face.posts(kind, body, headers)

    assert answer.status_code in {202, 204, 400, 409}, answer.text
    if answer.status_code == 400:
        members = {"err", "description"} if kind is SourceFormat.SET else {"errors", "detail"}
        assert members <= set(answer.json())
    assert face.telemetry.failures == []


ON_ONE_STAGE = settings(ON_ONE_FACE, max_examples=150)


@settings(ON_ONE_FACE, max_examples=600)
@given(told=nearly(*SAMPLES))
async def test_any_document_is_read_or_refused(
    face: Face, sources: Transmitter, told: tuple[SourceFormat, object]
) -> None:
    """A document in which anything is anything else is answered well or by a 4xx; never 500."""
    kind, document = told

    await send(face, sources, kind, json.dumps(document).encode())


@ANY_SOURCE
@ON_ONE_STAGE
@given(body=st.binary(max_size=200) | TEXTS.map(lambda text: text.encode(errors="surrogatepass")))
async def test_any_bytes_are_read_or_refused(
    face: Face, sources: Transmitter, kind: SourceFormat, body: bytes
) -> None:
    """Any bytes at all, proved by their source, are answered by a 4xx; never 500."""
    await send(face, sources, kind, body)


@ON_ONE_STAGE
@given(body=st.binary(max_size=200) | st.text("eyJ0.-_=", max_size=60).map(str.encode))
async def test_any_bytes_are_no_token(face: Face, sources: Transmitter, body: bytes) -> None:
    """Any bytes that are pushed as a token are refused as RFC 8935 says."""
    headers = {"content-type": "application/secevent+jwt"}

    answer = await face.posts(SourceFormat.SET, body, headers)

    assert (answer.status_code, answer.json()["err"]) == (400, "invalid_request")
    assert sources.fetches == 0


@ON_ONE_STAGE
@given(told=st.lists(nearly(SourceFormat.AUTH0_LOG_STREAM), max_size=4), cut=st.integers(0, 200))
async def test_any_lines_are_read_or_refused(
    face: Face, sources: Transmitter, told: list[tuple[SourceFormat, Any]], cut: int
) -> None:
    """Lines of anything, cut anywhere, are answered well or by a 4xx; never 500."""
    body = lines(*(entry for _, entry in told))

    await send(face, sources, SourceFormat.AUTH0_LOG_STREAM, body[: len(body) - cut])


ATTRIBUTES = st.dictionaries(
    st.sampled_from(["id", "source", "type", "time", "specversion", "datacontenttype", "x"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30)
    | st.sampled_from(["1.0", "session.ended", "%ff%00", "2026-11-22T10:00:00Z"]),
)


@ON_ONE_STAGE
@given(attributes=ATTRIBUTES, document=ANYTHING)
async def test_any_headers_are_read_or_refused(
    face: Face, sources: Transmitter, attributes: dict[str, str], document: object
) -> None:
    """Attributes of any kind are answered well or by a 4xx; never 500."""
    known = {"ce-specversion": "1.0", "ce-id": "e-1", "ce-source": "/", "ce-type": "session.ended"}
    headers = BEARER | known | {f"ce-{name}": value for name, value in attributes.items()}

    answer = await face.posts(SourceFormat.CLOUDEVENTS, document, headers)

    assert answer.status_code in {202, 400, 409}, answer.text
    assert face.telemetry.failures == []
    assert sources.fetches == 0
