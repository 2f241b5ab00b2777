"""Security event tokens pushed as RFC 8935 says: CAEP and RISC events become logouts."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from dispatcher.domain.events import LogoutEvent
from dispatcher.domain.sources import Issuer, SourceFormat
from keys.issuer_keys import PAUSE
from tests.kit.rp_server import answers
from tests.kit.transmitter import (
    AUDIENCE,
    CAEP,
    ISSUER,
    RISC,
    SSF,
    Transmitter,
    a_key,
    a_set,
    signed,
    unsigned,
)
from tests.web.face import Face
from tests.web.recorded import TOKEN

NAME = "ssf"
PUSH = {"content-type": "application/secevent+jwt", "accept": "application/json"}
REVOKED = f"{CAEP}session-revoked"
CHANGED = f"{CAEP}credential-change"
PASSWORD = {"credential_type": "password", "change_type": "update"}
USER = {"format": "iss_sub", "iss": ISSUER, "sub": "user-1"}


class Pushing:
    """A transmitter, the face that it pushes to, and what came of it."""

    def __init__(self, face: Face, transmitter: Transmitter) -> None:
        self.face = face
        self.transmitter = transmitter

    async def knows(self, **members: Any) -> None:
        """Make the transmitter a source."""
        issuer = Issuer(issuer=ISSUER, jwks_uri=self.transmitter.uri, expected_aud=AUDIENCE)
        await self.face.knows(NAME, SourceFormat.SET, issuer=issuer, **members)

    async def push(self, token: str | bytes, **headers: str) -> httpx2.Response:
        """Push a token as it is."""
        body = token.encode() if isinstance(token, str) else token
        return await self.face.posts(NAME, body, PUSH | headers)

    async def tell(
        self, event: str, payload: dict[str, Any] | None = None, **claims: Any
    ) -> httpx2.Response:
        """Push an event, signed."""
        [key] = self.transmitter.keys
        return await self.push(signed(a_set(event, payload, **claims), key))

    def event(self) -> LogoutEvent:
        """Return the one event that was accepted."""
        [(told, _)] = self.face.telemetry.intakes
        assert isinstance(told, LogoutEvent)
        return told


@pytest.fixture
async def ssf(face: Face) -> AsyncIterator[Pushing]:
    """Return a transmitter that is a source."""
    async with Transmitter() as transmitter:
        pushing = Pushing(face, transmitter)
        await pushing.knows()
        yield pushing


SOME_SESSIONS: dict[str, dict[str, Any]] = {
    "a session without its id": {"user": USER, "session": {"format": "opaque"}},
    "a session with an empty id": {"user": USER, "session": {"format": "opaque", "id": ""}},
    "a session in a form that is unknown": {"user": USER, "session": {"format": "uri", "uri": "x"}},
    "a session that is none": {"user": USER, "session": "s-1"},
    "a device": {"user": USER, "device": {"format": "opaque", "id": "phone"}},
    "an application": {"user": USER, "application": {"format": "opaque", "id": "shop"}},
}


@pytest.mark.parametrize("subject", SOME_SESSIONS.values(), ids=SOME_SESSIONS)
async def test_what_ends_some_sessions_never_ends_all(
    ssf: Pushing, subject: dict[str, Any]
) -> None:
    """A session-revoked of one session, device or application that is unknown ends no other."""
    assert (await ssf.tell(REVOKED, sub_id=subject)).status_code == 202
    assert ssf.face.telemetry.passed == [(NAME, "no_subject")]

    await ssf.tell(CHANGED, PASSWORD, sub_id=subject)
    assert (ssf.event().initiator, ssf.event().sub) == ("password-changed", "user-1")


def refused(answer: httpx2.Response) -> tuple[int, str]:
    """Return status and code of a refusal, which must have the shape of RFC 8935 section 2.3."""
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-language"] == "en"
    told = answer.json()
    assert set(told) == {"err", "description"}
    assert told["description"]
    return answer.status_code, told["err"]


async def test_a_session_is_revoked(ssf: Pushing) -> None:
    """A session-revoked of a session ends it; the answer is 202 and empty."""
    subject = {
        "format": "complex",
        "user": {"format": "iss_sub", "iss": ISSUER, "sub": "user-1"},
        "session": {"format": "opaque", "id": "s-1"},
    }

    answer = await ssf.tell(REVOKED, sub_id=subject, toe=1795341598)

    assert (answer.status_code, answer.content) == (202, b"")
    event = ssf.event()
    assert (event.id, event.initiator) == ("set-1", "session-revoked")
    assert (event.sid, event.sub) == ("s-1", "user-1")
    assert event.occurred_at == datetime(2026, 11, 22, 9, 59, 58, tzinfo=UTC)


MAPPED: list[tuple[str, dict[str, Any], str]] = [
    (REVOKED, {}, "session-revoked"),
    (CHANGED, PASSWORD, "password-changed"),
    (CHANGED, {**PASSWORD, "change_type": "revoke"}, "password-changed"),
    (CHANGED, {**PASSWORD, "change_type": "delete"}, "password-changed"),
    (CHANGED, {"credential_type": "phone-sms", "change_type": "delete"}, "mfa-phone-unenrolled"),
    (CHANGED, {"credential_type": "phone-voice", "change_type": "revoke"}, "mfa-phone-unenrolled"),
    (f"{RISC}account-purged", {}, "account-deleted"),
    (f"{RISC}account-disabled", {"reason": "hijacking"}, "account-deactivated"),
    (f"{RISC}identifier-changed", {"new-value": "a@b.example"}, "email-identifier-changed"),
    (f"{RISC}identifier-changed", {}, "email-identifier-changed"),
    (f"{RISC}sessions-revoked", {}, "session-revoked"),
]


@pytest.mark.parametrize(("event", "payload", "initiator"), MAPPED)
async def test_an_event_of_a_user_ends_all_sessions(
    ssf: Pushing, event: str, payload: dict[str, Any], initiator: str
) -> None:
    """An event whose subject is a user ends all of that user's sessions."""
    assert (await ssf.tell(event, {**payload, "event_timestamp": 1795341598})).status_code == 202

    told = ssf.event()
    assert (told.initiator, told.sub, told.sid) == (initiator, "user-1", None)
    assert told.occurred_at == datetime(2026, 11, 22, 9, 59, 58, tzinfo=UTC)


EMAIL = {"format": "email", "email": "ann@example.com"}
OPAQUE = {"format": "opaque", "id": "x-1"}
SUBJECTS: dict[str, tuple[str, dict[str, Any], tuple[str | None, str | None]]] = {
    "an opaque session": (REVOKED, {"sub_id": OPAQUE}, (None, "x-1")),
    "an opaque user": (CHANGED, {"sub_id": OPAQUE}, ("x-1", None)),
    "a user of our own issuer": (
        CHANGED, {"sub_id": {**USER, "iss": "https://op.example/"}}, ("user-1", None)),
    "a user in a complex subject": (
        REVOKED, {"sub_id": {"format": "complex", "user": USER}}, ("user-1", None)),
    "a complex subject without its format": (
        REVOKED, {"sub_id": {"user": USER, "session": OPAQUE}}, ("user-1", "x-1")),
    "a session beside a user who is unknown": (
        REVOKED, {"sub_id": {"user": EMAIL, "session": OPAQUE}}, (None, "x-1")),
    "a session of an event of a user": (
        CHANGED, {"sub_id": {"user": USER, "session": OPAQUE}}, ("user-1", None)),
    "aliases": (
        CHANGED, {"sub_id": {"format": "aliases", "identifiers": [EMAIL, USER]}}, ("user-1", None)),
    "aliases of a user whose sessions end": (
        REVOKED, {"sub_id": {"format": "aliases", "identifiers": [OPAQUE]}}, ("x-1", None)),
    "the event's own subject": (
        REVOKED, {"sub_id": None, "events": {REVOKED: {"subject": USER}}}, ("user-1", None)),
    "an older subject": (
        f"{RISC}account-purged",
        {"sub_id": None, "events": {f"{RISC}account-purged": {
            "subject": {"subject_type": "iss-sub", "iss": ISSUER, "sub": "user-1"}}}},
        ("user-1", None)),
    "a claim": (f"{RISC}account-purged", {"sub_id": None, "sub": "user-1"}, ("user-1", None)),
}  # fmt: skip


@pytest.mark.parametrize(("event", "claims", "whom"), SUBJECTS.values(), ids=SUBJECTS)
async def test_a_subject_is_found_where_it_is(
    ssf: Pushing, event: str, claims: dict[str, Any], whom: tuple[str | None, str | None]
) -> None:
    """A subject is known by its session or by its user, in whatever form it is named."""
    payload = PASSWORD if event == CHANGED else {}

    assert (await ssf.tell(event, payload, **claims)).status_code == 202

    assert (ssf.event().sub, ssf.event().sid) == whom


UNKNOWN: dict[str, Any] = {
    "an e-mail address": EMAIL,
    "a phone number": {"format": "phone_number", "phone_number": "+1"},
    "a user of another issuer": {**USER, "iss": "https://other.example"},
    "aliases that are none of ours": {"format": "aliases", "identifiers": [EMAIL, {"x": USER}, 5]},
    "aliases in aliases": {
        "format": "aliases", "identifiers": [{"format": "aliases", "identifiers": [USER]}]},
    "aliases that are none": {"format": "aliases", "identifiers": 5},
    "a complex subject in a complex one": {"user": {"user": USER}},
    "a device": {"format": "complex", "device": OPAQUE},
    "a format of next year": {"format": "moon", "id": "x"},
    "a format that is none": {"format": ["opaque"], "id": "x"},
    "a subject that is none": "user-1",
    "an empty one": {},
}  # fmt: skip


@pytest.mark.parametrize("subject", UNKNOWN.values(), ids=UNKNOWN)
async def test_an_unknown_subject_is_no_fault_of_the_transmitter(
    ssf: Pushing, subject: Any
) -> None:
    """Whom we can not know is passed over and counted: the token is as good as any."""
    payload = {**PASSWORD, "subject": subject}

    answer = await ssf.tell(CHANGED, payload, sub_id=subject or None)

    assert (answer.status_code, answer.content) == (202, b"")
    assert ssf.face.telemetry.passed == [(NAME, "no_subject")]
    assert ssf.face.telemetry.intakes == []


OF_NO_USE: list[tuple[str, dict[str, Any], str]] = [
    (f"{SSF}verification", {"state": "x"}, "test"),
    (f"{SSF}stream-updated", {"status": "paused"}, "ends_nothing"),
    (f"{CAEP}assurance-level-change", {}, "ends_nothing"),
    (CHANGED, {**PASSWORD, "change_type": "create"}, "ends_nothing"),
    (CHANGED, {"credential_type": "fido2-roaming", "change_type": "delete"}, "ends_nothing"),
    (CHANGED, {"credential_type": "phone-sms", "change_type": "update"}, "ends_nothing"),
    (CHANGED, {"credential_type": ["password"], "change_type": {}}, "ends_nothing"),
    (f"{RISC}identifier-changed", {"new-value": "+15550100"}, "ends_nothing"),
    ("https://moon.example/landed", {}, "ends_nothing"),
]


@pytest.mark.parametrize(("event", "payload", "reason"), OF_NO_USE)
async def test_what_ends_no_session_is_accepted(
    ssf: Pushing, event: str, payload: dict[str, Any], reason: str
) -> None:
    """A verification, and whatever else ends no session, is 202 and dispatches nothing."""
    answer = await ssf.tell(event, payload, sub_id={"format": "opaque", "id": "stream-1"})

    assert (answer.status_code, answer.content) == (202, b"")
    assert ssf.face.telemetry.passed == [(NAME, reason)]
    assert await ssf.face.stored() == []


async def test_a_repeat_is_accepted_and_not_dispatched_twice(ssf: Pushing) -> None:
    """A token that came before is answered as if it had not (RFC 8935 section 2)."""
    answers_told = [(await ssf.tell(REVOKED)).status_code for _ in range(2)]

    assert answers_told == [202, 202]
    assert len(await ssf.face.stored()) == 1


async def test_another_token_of_the_same_jti_is_refused(ssf: Pushing) -> None:
    """A jti names one event."""
    await ssf.tell(REVOKED)

    assert refused(await ssf.tell(f"{RISC}account-purged")) == (400, "invalid_request")


async def test_two_events_of_one_token_are_two(ssf: Pushing) -> None:
    """Each event of a token that ends sessions is stored, under an id of its own."""
    events: dict[str, Any] = {REVOKED: {}, f"{CAEP}x": {}, f"{RISC}account-disabled": {}}

    await ssf.tell("", events=events)

    told = {event["id"]: event["initiator"] for event in await ssf.face.stored()}
    assert told == {"set-1": "session-revoked", "set-1 1": "account-deactivated"}


FAULTS: dict[str, dict[str, Any]] = {
    "no jti": {"jti": None},
    "a jti that is none": {"jti": "\x1b"},
    "a jti that is no text": {"jti": 5},
    "an iat that is none": {"iat": "now"},
    "a toe that is none": {"toe": [1]},
    "no events": {"events": None},
    "empty events": {"events": {}},
    "events that are none": {"events": [REVOKED]},
    "an event that is none": {"events": {REVOKED: 5}},
    "a user that is none": {"sub_id": {**USER, "sub": "\x1b"}},
    "a user that is no text": {"sub_id": {**USER, "sub": {}}},
    "a session that is none": {"sub_id": {"format": "opaque", "id": "\u00e4"}},
}


@pytest.mark.parametrize("claims", FAULTS.values(), ids=FAULTS)
async def test_claims_that_are_no_event_are_refused(ssf: Pushing, claims: dict[str, Any]) -> None:
    """What is not a security event is invalid_request, and nothing of it is stored."""
    assert refused(await ssf.tell(REVOKED, **claims)) == (400, "invalid_request")

    assert ssf.face.telemetry.turned == [(NAME, "invalid_event")]
    assert await ssf.face.stored() == []


async def test_a_claim_twice_is_refused(ssf: Pushing) -> None:
    """Claims that two readers would understand differently are refused, though they are signed."""
    text = json.dumps(a_set(REVOKED))[:-1] + ', "jti": "set-2"}'

    answer = await ssf.push(signed(text.encode(), ssf.transmitter.keys[0]))

    assert refused(answer) == (400, "invalid_request")


@pytest.mark.parametrize("body", ["", "x", "a.b.c", "{}", "\u00e4", unsigned({"alg": "none"}, {})])
async def test_what_is_no_token_is_refused_whoever_sends_it(ssf: Pushing, body: str) -> None:
    """A body that is no security event token is invalid_request, and no key is fetched for it."""
    known = await ssf.push(body)
    unknown = await ssf.face.posts("nobody", body.encode(), PUSH)

    assert refused(known) == refused(unknown) == (400, "invalid_request")
    assert known.content == unknown.content
    assert ssf.transmitter.fetches == 0


async def test_a_forgery_can_not_be_told_from_an_unknown_source(ssf: Pushing) -> None:
    """Whoever has not the issuer's key learns nothing, neither of the source nor of the token."""
    await ssf.face.knows("idp2", SourceFormat.NATIVE, bearer_tokens=(TOKEN,))
    stranger = a_key()
    forged = [
        await ssf.push(signed(a_set(REVOKED), stranger)),
        await ssf.push(signed(a_set(REVOKED, iss="x", aud="x"), stranger)),
        await ssf.push(unsigned({"alg": "none", "typ": "secevent+jwt"}, a_set(REVOKED))),
        await ssf.face.posts("nobody", signed(a_set(REVOKED), stranger).encode(), PUSH),
        await ssf.face.posts("idp2", signed(a_set(REVOKED), stranger).encode(), PUSH),
    ]

    assert {refused(answer) for answer in forged} == {(400, "authentication_failed")}
    assert len({answer.content for answer in forged}) == 1
    assert await ssf.face.stored() == []


async def test_another_issuer_is_named(ssf: Pushing) -> None:
    """The holder of the key who gives another issuer is told so."""
    assert refused(await ssf.tell(REVOKED, iss="https://x.example")) == (400, "invalid_issuer")


async def test_another_audience_is_named(ssf: Pushing) -> None:
    """A token for somebody else is told so."""
    assert refused(await ssf.tell(REVOKED, aud=["x"])) == (400, "invalid_audience")


async def test_a_body_that_is_too_large_is_413(ssf: Pushing) -> None:
    """What is wrong with the request keeps HTTP's status, in the shape of the others."""
    assert refused(await ssf.push(b"x" * ((1 << 20) + 1))) == (413, "invalid_request")


@pytest.mark.parametrize("kind", ["application/json", "application/jwt", ""])
async def test_a_token_of_another_media_type_is_415(ssf: Pushing, kind: str) -> None:
    """A token that is proved, and does not say what it is, is 415; a forgery is 401."""
    [key] = ssf.transmitter.keys
    headers = {"content-type": kind} if kind else {}

    good = await ssf.face.posts(NAME, signed(a_set(REVOKED), key).encode(), headers)
    forged = await ssf.face.posts(NAME, signed(a_set(REVOKED), a_key()).encode(), headers)
    garbage = await ssf.face.posts(NAME, b"x", headers)

    assert (good.status_code, forged.status_code, garbage.status_code) == (415, 401, 401)
    assert await ssf.face.stored() == []


async def test_a_secret_may_be_asked_for_besides(ssf: Pushing) -> None:
    """A stream's authorization_header must come with each push, where the source has one."""
    await ssf.knows(bearer_tokens=(TOKEN,))
    [key] = ssf.transmitter.keys
    token = signed(a_set(REVOKED), key)

    without, wrong, right = (
        await ssf.push(token),
        await ssf.push(token, authorization="Bearer wrong"),
        await ssf.push(token, authorization=f"Bearer {TOKEN}"),
    )

    assert refused(without) == refused(wrong) == (400, "authentication_failed")
    assert right.status_code == 202


async def test_a_secret_alone_is_no_proof(ssf: Pushing) -> None:
    """The secret of a source does not stand in for its issuer's signature."""
    await ssf.knows(bearer_tokens=(TOKEN,))

    answer = await ssf.push(signed(a_set(REVOKED), a_key()), authorization=f"Bearer {TOKEN}")

    assert refused(answer) == (400, "authentication_failed")


async def test_keys_that_can_not_be_had_are_a_fault_of_ours(ssf: Pushing) -> None:
    """While the issuer does not give its keys an event is not refused: it is to come again."""
    ssf.transmitter.script = answers(503)

    down = await ssf.tell(REVOKED)
    ssf.transmitter.script = ssf.transmitter.publishes
    ssf.face.clock.advance(PAUSE)
    up = await ssf.tell(REVOKED)

    assert (down.status_code, down.json()["code"]) == (503, "issuer_unavailable")
    assert int(down.headers["retry-after"]) > PAUSE.total_seconds()
    assert up.status_code == 202


async def test_new_keys_are_taken_up(ssf: Pushing) -> None:
    """An issuer may change its keys at any time: the first token under a new one makes us look."""
    await ssf.tell(REVOKED)
    ssf.transmitter.keys = [a_key(kid="key-2")]
    ssf.face.clock.advance(timedelta(minutes=1))

    assert (await ssf.tell(REVOKED, jti="set-2")).status_code == 202
    assert ssf.transmitter.fetches == 2


async def test_forged_kids_do_not_hammer_the_issuer(ssf: Pushing) -> None:
    """However many keys are made up, the issuer is asked once a pause; its own tokens go on."""
    await ssf.tell(REVOKED)
    ssf.face.clock.advance(PAUSE)
    forged = [await ssf.push(signed(a_set(REVOKED), a_key(kid=f"k{n}"))) for n in range(20)]

    assert {answer.status_code for answer in forged} <= {400, 503}
    assert ssf.transmitter.fetches == 2
    assert (await ssf.tell(REVOKED, jti="set-2")).status_code == 202


async def test_a_store_that_is_gone_is_a_fault_of_ours(ssf: Pushing) -> None:
    """What can not be stored is to come again, never wrong."""
    await ssf.face.close_store()

    answer = await ssf.tell(REVOKED)

    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")


async def test_an_initiator_that_may_not_be_sent_is_passed_over(ssf: Pushing) -> None:
    """What a transmitter is not meant to tell of is accepted, counted and not dispatched."""
    await ssf.knows(initiators=frozenset({"account-deleted"}))

    answer = await ssf.tell(REVOKED)

    assert answer.status_code == 202
    assert ssf.face.telemetry.passed == [(NAME, "not_allowed")]
