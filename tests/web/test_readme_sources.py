"""The README's table of sources: each line is tried, as it stands."""

import json
import re
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from dispatcher.adapters.vault import faults_of_source
from dispatcher.domain.events import Sid
from dispatcher.domain.sources import SourceFormat, source_from
from tests.kit.transmitter import AUDIENCE, CAEP, ISSUER, Transmitter, a_set, signed
from tests.web.face import SECRET, Face
from tests.web.recorded import (
    BEARER,
    CLIENT,
    JSON,
    SESSION,
    TOKEN,
    auth0_event,
    auth0_log,
    keycloak_access,
    keycloak_headers,
    lines,
)

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
TABLE = README.partition("### Where events come from")[2].partition("\n### ")[0]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TABLE.splitlines()
    if line.startswith("|") and 'format = "' in line
]
NAME = "sender"
VALUES = {
    "secret": SECRET,
    "bearer_token": TOKEN,
    "hmac_secret": TOKEN,
    "header": f"Authorization: {TOKEN}",
    "issuer": ISSUER,
    "expected_aud": AUDIENCE,
}
ENDED = {"id": "e-1", "initiator": "rp-logout", "sid": SESSION, "clients": [{"client_id": CLIENT}]}


def members_of(row: list[str], jwks_uri: str) -> dict[str, object]:
    """Return the source that a line describes, with values for what it only names."""
    members: dict[str, object] = {"name": NAME}
    for span in re.findall(r"`([^`]+)`", row[1]):
        known = VALUES | {"jwks_uri": jwks_uri}
        members |= tomllib.loads(span) if "=" in span else {span: known[span]}
    return members


async def native(face: Face, _: Transmitter) -> list[int]:
    """Send as code of one's own does, with the reference library."""
    body, at = json.dumps(ENDED), face.clock.now()
    headers = JSON | {
        "webhook-id": "msg-1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("msg-1", at, body),
    }
    return [(await face.posts(NAME, body.encode(), headers)).status_code]


async def cloudevents(face: Face, _: Transmitter) -> list[int]:
    """Send as an event bus does, in the binary mode."""
    headers = BEARER | {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/bus"}
    headers |= {"ce-type": "com.example.session.ended"}
    data = {name: value for name, value in ENDED.items() if name != "id"}
    return [(await face.posts(NAME, data, headers)).status_code]


async def pushed(face: Face, transmitter: Transmitter) -> list[int]:
    """Send as a transmitter of security events does."""
    token = signed(a_set(f"{CAEP}session-revoked"), transmitter.keys[0])
    headers = {"content-type": "application/secevent+jwt"}
    return [(await face.posts(NAME, token.encode(), headers)).status_code]


async def logged(face: Face, _: Transmitter) -> list[int]:
    """Send as an Auth0 log stream does, with the value of its Authorization header."""
    body = lines(auth0_log("s", "log-1"), auth0_log("slo", "log-2"))
    return [(await face.posts(NAME, body, {"authorization": TOKEN})).status_code]


async def streamed(face: Face, _: Transmitter) -> list[int]:
    """Send as an Auth0 event stream does."""
    return [(await face.posts(NAME, auth0_event("user.deleted"), BEARER)).status_code]


async def listened(face: Face, _: Transmitter) -> list[int]:
    """Send as Keycloak's listener does."""
    events = [keycloak_access("LOGIN", id="1"), keycloak_access("LOGOUT", id="2")]
    bodies = [json.dumps(event).encode() for event in events]
    return [(await face.posts(NAME, body, keycloak_headers(body))).status_code for body in bodies]


SENDERS: dict[SourceFormat, Callable[[Face, Transmitter], Awaitable[list[int]]]] = {
    SourceFormat.NATIVE: native,
    SourceFormat.CLOUDEVENTS: cloudevents,
    SourceFormat.SET: pushed,
    SourceFormat.AUTH0_LOG_STREAM: logged,
    SourceFormat.AUTH0_EVENT_STREAM: streamed,
    SourceFormat.KEYCLOAK: listened,
}


@pytest.fixture
async def transmitter() -> AsyncIterator[Transmitter]:
    """Return a transmitter whose keys can be fetched."""
    async with Transmitter() as transmitter:
        yield transmitter


def test_every_format_has_its_line() -> None:
    """The README has a line for each format that a source may have."""
    assert {str(members_of(row, "")["format"]) for row in ROWS} == set(SourceFormat)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
async def test_a_line_is_true(face: Face, transmitter: Transmitter, row: list[str]) -> None:
    """A source as a line has it lets its sender in, and who is told is known as the line says."""
    await face.registers(CLIENT, "wiki")
    source = source_from(members_of(row, transmitter.uri), allow_http=True)
    assert faults_of_source(source) == []
    await face.store.put_source(source)

    answers = await SENDERS[source.format](face, transmitter)

    assert set(answers) == {202}
    told = {client_id for client_id, _ in await face.tells()}
    known = await face.store.session(Sid(SESSION))
    match re.match(r"\*\*(\w+)\*\*", row[3]):
        case re.Match() as way if way[1] == "clients":
            assert (told, known) == ({CLIENT}, None)
        case re.Match() as way if way[1] == "registry":
            assert known is not None
            assert told == {CLIENT}
        case re.Match() as way if way[1] == "audience":
            assert (told, known) == ({CLIENT, "wiki"}, None)
        case _:
            pytest.fail(f"{row[3]} does not begin with the way in which it is known who is told")
