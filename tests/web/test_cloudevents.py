"""CloudEvents in three content modes, as the project's own SDK sends them and as nobody should."""

import base64
import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from standardwebhooks.webhooks import Webhook as Signer

from dispatcher.domain.events import LogoutEvent, SessionJoined
from dispatcher.domain.sources import SourceFormat
from dispatcher.web.formats.native import MOST_EVENTS
from tests.web.builders import errors_of
from tests.web.face import SECRET, Face
from tests.web.recorded import BEARER, TOKEN

NAME = "bus"
AT = datetime(2026, 11, 22, 9, 59, 58, tzinfo=UTC)
ENDED = {"initiator": "session-revoked", "sub": "user-1", "sid": "s-1"}
JOINED = {"sid": "s-1", "sub": "user-1", "clients": [{"client_id": "shop"}]}
STRUCTURED = {"content-type": "application/cloudevents+json"}
BATCH = {"content-type": "application/cloudevents-batch+json"}


@pytest.fixture
async def bus(face: Face) -> Face:
    """Return a face that knows a source of CloudEvents."""
    await face.knows(NAME, SourceFormat.CLOUDEVENTS, bearer_tokens=(TOKEN,), secrets=(SECRET,))
    return face


def by_the_sdk(data: dict[str, Any] | None = None, **attributes: Any) -> CloudEvent:
    """Make an event with the SDK."""
    told = {
        "id": "e-1",
        "source": "https://idp.example/sessions",
        "type": "com.example.session.ended",
        "time": AT,
        "datacontenttype": "application/json",
        **attributes,
    }
    return CloudEvent(told, ENDED if data is None else data)


def by_hand(**members: Any) -> dict[str, Any]:
    """Return an event in the structured mode; a member given as None is left out."""
    event = {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/idp",
        "type": "session.ended",
        "data": ENDED,
        **members,
    }
    return {name: value for name, value in event.items() if value is not None}


async def sends(face: Face, message: HTTPMessage) -> dict[str, Any]:
    """Send what the SDK has made, and return the answer to it."""
    answer = await face.posts(NAME, message.body, BEARER | message.headers)
    assert answer.status_code == 202, answer.text
    told: dict[str, Any] = answer.json()
    return told


@pytest.mark.parametrize("write", [to_structured_event, to_binary_event])
async def test_the_sdk_is_understood(bus: Face, write: Any) -> None:
    """An event of the SDK's, structured or binary, is the native event that its data tells of."""
    told = await sends(bus, write(by_the_sdk()))

    [(event, _)] = bus.telemetry.intakes
    assert isinstance(event, LogoutEvent)
    assert told["status"] == "accepted"
    assert told["id"] == event.id == "https://idp.example/sessions e-1"
    assert (event.initiator, event.sub, event.sid) == ("session-revoked", "user-1", "s-1")
    assert event.occurred_at == AT


@pytest.mark.parametrize("write", [to_structured_event, to_binary_event])
async def test_a_join_is_understood(bus: Face, write: Any) -> None:
    """A session.joined is a join, and has the members of one."""
    event = by_the_sdk({**JOINED, "expires_at": "2026-11-23T00:00:00Z"}, type="session.joined")

    assert (await sends(bus, write(event)))["status"] == "recorded"

    [(join, _)] = bus.telemetry.intakes
    assert isinstance(join, SessionJoined)
    assert join.occurred_at == AT


@pytest.mark.parametrize("write", [to_structured_event, to_binary_event])
async def test_odd_attributes_survive_both_modes(bus: Face, write: Any) -> None:
    """Attributes are the same in either mode, however they are written in a header."""
    told = await sends(bus, write(by_the_sdk(id='a "b" 100%', source="/i d p", traceparent="x")))

    assert told["id"] == '/i d p a "b" 100%'


async def test_the_modes_are_one_event(bus: Face) -> None:
    """The same event in another mode is a repeat."""
    first = await sends(bus, to_structured_event(by_the_sdk()))
    again = await sends(bus, to_binary_event(by_the_sdk()))

    assert first == again
    assert len(await bus.stored()) == 1


async def test_source_and_id_together_are_the_event(bus: Face) -> None:
    """Two sources may give one id to two events."""
    await sends(bus, to_binary_event(by_the_sdk(source="/a")))
    await sends(bus, to_binary_event(by_the_sdk({**ENDED, "sid": "s-2"}, source="/b")))

    assert {event["id"] for event in await bus.stored()} == {"/a e-1", "/b e-1"}


@pytest.mark.parametrize(("source", "told_id"), [("/\u00fcber", "e-1"), ("/idp", "x" * 300)])
async def test_any_name_is_a_name(bus: Face, source: str, told_id: str) -> None:
    """What is no identifier here is known by its digest."""
    told = await sends(bus, to_structured_event(by_the_sdk(source=source, id=told_id)))

    assert told["id"] == f"sha256-{hashlib.sha256(f'{source} {told_id}'.encode()).hexdigest()}"


async def test_a_batch_is_accepted_in_one(bus: Face) -> None:
    """A batch is answered with an array, in its order, and what is passed over has its place."""
    batch = [
        by_hand(id="a"),
        by_hand(id="b", type="com.example.user.created", data=5),
        by_hand(id="c", type="x.session.joined", data=JOINED),
    ]

    answer = await bus.posts(NAME, batch, BEARER | BATCH)

    assert answer.status_code == 202
    assert [one["status"] for one in answer.json()] == ["accepted", "passed_over", "recorded"]
    assert answer.json()[1] == {"status": "passed_over", "reason": "ends_nothing"}
    assert bus.telemetry.passed == [(NAME, "ends_nothing")]


async def test_an_empty_batch_is_one(bus: Face) -> None:
    """A batch may be empty (JSON Batch Format section 4)."""
    answer = await bus.posts(NAME, [], BEARER | BATCH)

    assert (answer.status_code, answer.json()) == (202, [])


async def test_a_batch_has_an_end(bus: Face) -> None:
    """A batch that holds more than one commit should is refused whole."""
    batch = [by_hand(id=str(number)) for number in range(MOST_EVENTS + 1)]

    assert (await bus.posts(NAME, batch[1:], BEARER | BATCH)).status_code == 202
    answer = await bus.posts(NAME, batch, BEARER | BATCH)

    assert (answer.status_code, list(errors_of(answer))) == (400, [""])


async def test_one_fault_refuses_the_batch(bus: Face) -> None:
    """All faults of a batch are named by their place, and nothing of it is stored."""
    batch = [by_hand(id="a"), by_hand(id=None, data={"sid": 5}), 7]

    answer = await bus.posts(NAME, batch, BEARER | BATCH)

    assert answer.status_code == 400
    assert list(errors_of(answer)) == ["[1].id", "[1].data.sid", "[1].data.initiator", "[2]"]
    assert await bus.stored() == []


@pytest.mark.parametrize(
    "kind", ["session.ended", "com.example.session.ended", "a.b.c.session.ended"]
)
async def test_a_type_may_have_a_prefix(bus: Face, kind: str) -> None:
    """Whatever reversed domain name stands before it, the type's end says what happened."""
    assert (await bus.posts(NAME, by_hand(type=kind), BEARER | STRUCTURED)).status_code == 202


@pytest.mark.parametrize("kind", ["session.ended.v2", "xsession.ended", "user.deleted", "ended"])
async def test_another_type_is_passed_over(bus: Face, kind: str) -> None:
    """Whoever routes events may send more than was meant: it is answered well and counted."""
    answer = await bus.posts(NAME, by_hand(type=kind, data=None), BEARER | STRUCTURED)

    assert (answer.status_code, answer.json()["status"]) == (202, "passed_over")
    assert await bus.stored() == []


async def test_data_may_be_in_base64(bus: Face) -> None:
    """The data may be bytes that are JSON."""
    encoded = base64.b64encode(json.dumps(ENDED).encode()).decode()
    event = by_hand(data=None, data_base64=encoded, datacontenttype="application/json")

    assert (await bus.posts(NAME, event, BEARER | STRUCTURED)).status_code == 202


async def test_the_data_may_tell_when(bus: Face) -> None:
    """The time in the data is that of the end; the envelope's may be that of the envelope."""
    data = {**ENDED, "occurred_at": "2026-11-22T08:00:00Z"}

    await bus.posts(NAME, by_hand(time="2026-11-22T09:00:00Z", data=data), BEARER | STRUCTURED)

    [(event, _)] = bus.telemetry.intakes
    assert event.occurred_at == datetime(2026, 11, 22, 8, tzinfo=UTC)


FAULTS: dict[str, tuple[Any, list[str]]] = {
    "no JSON": (b"{", [""]),
    "an array": ([by_hand()], [""]),
    "no version": (by_hand(specversion=None), ["specversion"]),
    "another version": (by_hand(specversion="0.3"), ["specversion"]),
    "no attributes": ({}, ["specversion", "id", "source", "type"]),
    "attributes that are no texts": (by_hand(id=5, source={}), ["id", "source"]),
    "empty attributes": (by_hand(id="", source=""), ["id", "source"]),
    "a time that is none": (by_hand(time="now"), ["time"]),
    "no data": (by_hand(data=None), ["data"]),
    "data that is no object": (by_hand(data=[ENDED]), ["data"]),
    "data of another kind": (by_hand(datacontenttype="text/xml"), ["datacontenttype"]),
    "base64 that is none": (by_hand(data=None, data_base64="!"), ["data_base64"]),
    "base64 of no JSON": (by_hand(data=None, data_base64="AAAA"), ["data_base64"]),
    "base64 of no object": (by_hand(data=None, data_base64="NQ=="), ["data_base64"]),
    "base64 that is no text": (by_hand(data=None, data_base64=5), ["data_base64"]),
    "faulty data": (by_hand(data={"sid": "s", "seesion": 1}), ["data.seesion", "data.initiator"]),
    "data that says what the envelope says": (
        by_hand(data={**ENDED, "id": "x", "type": "session.ended"}), ["data.id", "data.type"]),
}  # fmt: skip


@pytest.mark.parametrize(("body", "fields"), FAULTS.values(), ids=FAULTS)
async def test_every_fault_is_named(bus: Face, body: object, fields: list[str]) -> None:
    """What is no CloudEvent of ours is a problem that names each field, and is not stored."""
    answer = await bus.posts(NAME, body, BEARER | STRUCTURED)

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert sorted(errors_of(answer)) == sorted(fields)
    assert await bus.stored() == []


async def test_the_headers_of_an_event_are_named(bus: Face) -> None:
    """In the binary mode an attribute is its header, and its fault is told by its name."""
    headers = BEARER | {"ce-specversion": "1.0", "ce-type": "session.ended", "ce-time": "x"}

    answer = await bus.posts(NAME, ENDED, headers)

    assert sorted(errors_of(answer)) == ["id", "source", "time"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "application/json"},
        {"content-type": "text/plain", "ce-specversion": "1.0"},
        {"content-type": "application/cloudevents+avro"},
        {"content-type": "application/cloudevents-batch+avro"},
        {"content-type": "application/cloudevents+json", "content-encoding": "gzip"},
    ],
)
async def test_another_format_is_refused(bus: Face, headers: dict[str, str]) -> None:
    """What is neither structured, batch nor binary JSON is 415."""
    proof = {"authorization": BEARER["authorization"]}

    answer = await bus.posts(NAME, by_hand(), proof | headers)

    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


async def test_standard_webhooks_prove_a_cloudevent(bus: Face) -> None:
    """A CloudEvent may be signed as any webhook; its id stays its own."""
    message, at = to_structured_event(by_the_sdk()), bus.clock.now()
    proof = {
        "webhook-id": "msg-1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Signer(SECRET).sign("msg-1", at, message.body.decode()),
    }

    answer = await bus.posts(NAME, message.body, proof | message.headers)

    assert (answer.status_code, answer.json()["id"]) == (202, "https://idp.example/sessions e-1")


async def test_a_forbidden_initiator_is_named(face: Face) -> None:
    """Who speaks our words is told which of them it may not use."""
    await face.knows(
        NAME, SourceFormat.CLOUDEVENTS, bearer_tokens=(TOKEN,), initiators=frozenset({"rp-logout"})
    )

    answer = await face.posts(NAME, by_hand(), BEARER | STRUCTURED)

    assert answer.status_code == 403
    assert "may not send session-revoked" in answer.json()["detail"]


@pytest.mark.parametrize("source", [NAME, "idp", "nobody"])
async def test_a_sender_may_ask_beforehand(bus: Face, source: str) -> None:
    """Who asks whether it may send is told so, and nobody learns from it which sources there are.

    CloudEvents, HTTP Web Hooks 1.0.2, section 4: Azure Event Grid sends nothing before.
    """
    asked = {"webhook-request-origin": "eventgrid.azure.net", "webhook-request-rate": "120"}

    answer = await bus.http.options(f"/webhooks/{source}", headers=asked)

    told = {name: answer.headers[f"webhook-allowed-{name}"] for name in ("origin", "rate")}
    assert (answer.status_code, told, answer.content) == (200, {"origin": "*", "rate": "*"}, b"")
    assert "POST" in answer.headers["allow"].split(", ")
    assert bus.telemetry.turned == []


async def test_consent_lets_nobody_in(bus: Face) -> None:
    """Who was told that it may send has to prove itself with each event all the same."""
    await bus.http.options(f"/webhooks/{NAME}", headers={"webhook-request-origin": "x.example"})

    answer = await bus.posts(NAME, by_hand(), STRUCTURED)

    assert answer.status_code == 401
