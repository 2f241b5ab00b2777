"""``POST /webhooks/{source}``: what is let in is on disk, and of what is not nothing is."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from dispatcher.domain.events import Audience, LogoutEvent, SessionJoined, Sid
from tests.web.builders import a_join, an_event, errors_of
from tests.web.face import BEARER, Face


async def test_an_event_is_accepted(face: Face) -> None:
    """An event is answered with 202 and where to see it, and is there to be seen."""
    answer = await face.webhook(an_event(sub="user-1"))

    told = answer.json()
    assert answer.status_code == 202
    assert told == {
        "id": "evt-1",
        "event_id": told["event_id"],
        "status": "accepted",
        "href": f"/api/v2/events/{told['event_id']}",
    }
    assert [event["event_id"] for event in await face.stored()] == [told["event_id"]]


async def test_an_array_is_accepted_in_one(face: Face) -> None:
    """An array is answered with an array, in its order."""
    answer = await face.webhook([an_event(), a_join(), an_event(id="evt-2")])

    told = answer.json()
    assert answer.status_code == 202
    assert [(one["id"], one["status"]) for one in told] == [
        ("evt-1", "accepted"),
        ("join-1", "recorded"),
        ("evt-2", "accepted"),
    ]


async def test_a_join_is_recorded_and_is_no_event(face: Face) -> None:
    """A join goes to the session registry, and is not listed among the events."""
    answer = await face.webhook(a_join())

    assert (answer.status_code, answer.json()["status"]) == (202, "recorded")
    assert "href" not in answer.json()
    assert await face.stored() == []
    session = await face.store.session(Sid("s-1"))
    assert session is not None
    assert [joined.client_id for joined in session.clients] == ["shop"]


async def test_a_repeat_gets_the_answer_of_the_first(face: Face) -> None:
    """The same event told again is the same event; only when it occurred may differ."""
    first = await face.webhook(an_event())
    again = await face.webhook(an_event(occurred_at="2026-11-22T09:00:00Z"))

    assert (again.status_code, again.json()) == (202, first.json())
    assert len(await face.stored()) == 1
    assert [repeated for _, repeated in face.telemetry.intakes] == [False, True]


async def test_an_id_that_comes_back_with_other_content_is_a_conflict(face: Face) -> None:
    """One id names one event: another content is refused, and so is the array around it."""
    await face.webhook(an_event())

    answer = await face.webhook([an_event(id="evt-0"), an_event(sid="s-2")])

    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert answer.json()["detail"].startswith("[1]")
    assert [event["id"] for event in await face.stored()] == ["evt-1"]


async def test_the_webhook_id_names_an_event_without_id(face: Face) -> None:
    """Standard Webhooks' own id is the event's where the body has none."""
    answer = await face.webhook(an_event(id=None), webhook_id="msg-7")

    assert answer.json()["id"] == "msg-7"


async def test_an_unknown_initiator_is_accepted_with_a_warning(face: Face) -> None:
    """The set of initiators is open: a new one reaches the applications in mode all."""
    answer = await face.webhook(an_event(initiator="badge-returned"))

    assert (answer.status_code, answer.json()["warnings"]) == (202, ["unknown_initiator"])


async def test_a_bearer_token_lets_a_source_in(face: Face) -> None:
    """A source that can not sign proves itself with a bearer token."""
    answer = await face.http.post(
        "/webhooks/crm", json=an_event(), headers={"authorization": f"bearer {BEARER}"}
    )

    assert answer.status_code == 202
    (intake, _), *_ = face.telemetry.intakes
    assert isinstance(intake, LogoutEvent)
    assert intake.default_audience is Audience.SUBSCRIBERS


async def test_what_was_accepted_was_received_now(face: Face) -> None:
    """The time of receipt is our clock's, whatever the source says."""
    await face.webhook([an_event(occurred_at="2020-01-01T00:00:00Z"), a_join()])

    received = {intake.received_at for intake, _ in face.telemetry.intakes}
    assert received == {face.clock.now()}
    assert isinstance(face.telemetry.intakes[1][0], SessionJoined)


BAD_BODIES: list[tuple[str, object, str]] = [
    ("no JSON", b'{"id":', ""),
    ("nothing", b"", ""),
    ("half a character", b'"\xff"', ""),
    ("a deep nest", b"[" * 50_000, ""),
    ("a member twice", b'{"id":"a","id":"b"}', "id"),
    ("a string", "evt", ""),
    ("an empty array", [], ""),
    ("no initiator", an_event(initiator=None), "initiator"),
    ("neither sub nor sid", an_event(sid=None), "sub"),
    ("a sid with a control character", an_event(sid="s\x1b1"), "sid"),
    ("a sid of the wrong type", an_event(sid=["s-1"]), "sid"),
    ("an unknown member", an_event(seesion="s"), "seesion"),
    ("one bad event of two", [an_event(), an_event(id="evt-2", sid="")], "[1].sid"),
    ("an id with half a character", an_event(id="\udc00"), "id"),
]


@pytest.mark.parametrize(
    ("body", "field"), [one[1:] for one in BAD_BODIES], ids=[one[0] for one in BAD_BODIES]
)
async def test_what_is_no_event_is_refused_and_not_stored(
    face: Face, body: object, field: str
) -> None:
    """A bad body is a problem that names the field, and nothing of it is stored."""
    answer = await face.webhook(body)

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert list(errors_of(answer)) == [field]
    assert face.telemetry.turned == [("idp", "invalid_event")]
    assert await face.stored() == []


async def test_a_body_that_announces_too_much_is_not_read(face: Face) -> None:
    """A body over 1 MiB is refused by its Content-Length alone."""

    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    answer = await face.http.post(
        "/webhooks/idp",
        content=never(),
        headers={"content-length": str((1 << 20) + 1), "content-type": "application/json"},
    )

    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_a_body_that_does_not_end_is_cut_short(face: Face) -> None:
    """A body without a length is read to 1 MiB and no further, whoever sends it."""
    sent: list[int] = []

    async def too_long() -> AsyncIterator[bytes]:
        for number in range(100):
            sent.append(number)
            yield b" " * (1 << 16)

    answer = await face.http.post("/webhooks/nobody", content=too_long())

    assert answer.status_code == 413
    assert len(sent) == 17


async def test_a_body_of_just_one_mebibyte_is_read(face: Face) -> None:
    """The largest body that is allowed is accepted."""
    body = b'{"id":"evt-1","initiator":"rp-logout","sid":"s-1"}'

    answer = await face.webhook(body.ljust(1 << 20))

    assert answer.status_code == 202


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/jsonlines"},
        {"content-encoding": "gzip"},
    ],
)
async def test_another_format_is_refused(face: Face, headers: dict[str, str]) -> None:
    """What is not plain JSON is 415, and not stored."""
    answer = await face.webhook(an_event(), headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert await face.stored() == []


async def test_a_media_type_may_have_parameters(face: Face) -> None:
    """A charset beside the media type changes nothing."""
    headers = {"content-type": "application/json; charset=utf-8"}

    answer = await face.webhook(an_event(), headers=headers)

    assert answer.status_code == 202


async def test_a_forbidden_initiator_is_named(face: Face) -> None:
    """A source that may send some initiators may not send another, and its array goes with it."""
    told = [an_event(initiator="rp-logout"), an_event(id="evt-2", initiator="account-deleted")]

    answer = await face.webhook(told, source="kiosk")

    assert answer.status_code == 403
    assert answer.json()["detail"] == "[1].initiator: this source may not send account-deleted."
    assert await face.stored() == []


async def test_a_forbidden_initiator_is_named_as_it_came(face: Face) -> None:
    """An array of one is an array: what is wrong in it has its index, which one event has not."""
    forbidden = an_event(initiator="account-deleted")
    told = (forbidden, [forbidden])

    details = [(await face.webhook(one, source="kiosk")).json()["detail"] for one in told]

    assert [detail.partition(":")[0] for detail in details] == ["initiator", "[0].initiator"]


async def test_an_allowed_initiator_is_let_in(face: Face) -> None:
    """A source may send the initiators that it is allowed, and joins, which have none."""
    answer = await face.webhook([an_event(initiator="rp-logout"), a_join()], source="kiosk")

    assert answer.status_code == 202


async def test_a_store_that_is_gone_is_a_fault_of_ours(face: Face) -> None:
    """Where nothing can be stored the source is told to come again, never that it is wrong."""
    await face.close_store()

    answer = await face.webhook(an_event())

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0


async def test_a_redirect_is_never_an_answer(face: Face) -> None:
    """A trailing slash is 404: a webhook that is redirected is lost."""
    answer = await face.http.post("/webhooks/idp/", json=an_event())

    assert answer.status_code == 404


async def test_nothing_but_post_is_allowed(face: Face) -> None:
    """Another method is 405 and says which is allowed."""
    answer: httpx2.Response = await face.http.get("/webhooks/idp")

    allowed = set(answer.headers["allow"].split(", "))
    assert (answer.status_code, allowed) == (405, {"OPTIONS", "POST"})
    assert answer.json()["code"] == "method_not_allowed"
