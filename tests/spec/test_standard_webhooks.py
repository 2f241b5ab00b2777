"""Standard Webhooks 1.0.0: events are accepted from whom the reference library signs for alone."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook

from tests.spec.stage import Stage, unique

STRANGERS_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYq="


def an_event() -> bytes:
    """Return an event that concerns nobody, without an id of its own."""
    event = {"initiator": "session-revoked", "sid": unique("sid"), "clients": []}
    return json.dumps(event).encode()


def test_reference_library_is_understood(stage: Stage) -> None:
    """What the reference library has signed is accepted."""
    answer = stage.posts(an_event())

    assert answer.status_code == 202
    assert answer.json()["status"] == "accepted"


def test_webhook_id_identifies_the_event(stage: Stage) -> None:
    """The header webhook-id is the event's id: a retry with a new timestamp is the same event."""
    body, webhook_id = an_event(), unique("msg")
    earlier = datetime.now(UTC) - timedelta(seconds=60)

    first = stage.posts(body, webhook_id=webhook_id, at=earlier)
    second = stage.posts(body, webhook_id=webhook_id)

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] == webhook_id
    assert first.json() == second.json()


def test_another_event_under_the_same_id_is_refused(stage: Stage) -> None:
    """A webhook-id names one event: other content under it is a conflict."""
    webhook_id = unique("msg")
    stage.posts(an_event(), webhook_id=webhook_id)

    answer = stage.posts(an_event(), webhook_id=webhook_id)

    assert answer.status_code == 409


def test_one_right_signature_is_enough(stage: Stage) -> None:
    """A sender that is changing its secret signs with both, and is accepted in any order."""
    body, moment = an_event(), datetime.now(UTC)
    signed = stage.signed(body, webhook_id="msg_rotating", at=moment)
    right, wrong = signed["webhook-signature"], f"v1,{'A' * 43}="
    many = (f"{wrong} {right}", f"{right} {wrong}", f"v1a,{'B' * 86}== v2,x {wrong} {right}")

    answers = [
        stage.posts(
            body,
            webhook_id="msg_rotating",
            at=moment,
            headers={"webhook-signature": offered},
        )
        for offered in many
    ]

    assert {answer.status_code for answer in answers} == {202}


@pytest.mark.parametrize("seconds", [-290, 290])
def test_clocks_may_differ_a_little(stage: Stage, seconds: int) -> None:
    """A timestamp within five minutes of our time is accepted."""
    moment = datetime.now(UTC) + timedelta(seconds=seconds)

    answer = stage.posts(an_event(), at=moment)

    assert answer.status_code == 202


@pytest.mark.parametrize("seconds", [-310, 310, -86400 * 365])
def test_stale_timestamp_is_refused(stage: Stage, seconds: int) -> None:
    """A timestamp more than five minutes old, or ahead, is refused."""
    moment = datetime.now(UTC) + timedelta(seconds=seconds)

    answer = stage.posts(an_event(), at=moment)

    assert answer.status_code == 401


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_each_header_is_required(stage: Stage, name: str) -> None:
    """A webhook without one of the three headers is refused."""
    answer = stage.posts(an_event(), headers={name: None})

    assert answer.status_code == 401


FORGERIES = {
    "another-secret": Webhook(STRANGERS_SECRET).sign("msg_1", datetime.now(UTC), "{}"),
    "no-version": "K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    "unknown-version": "v2,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    "asymmetric-version": f"v1a,{'A' * 86}==",
    "no-signature": "v1,",
    "nothing": "",
    "not-base64": "v1,%%%",
    "not-a-list": "v1",
    "many": " ".join(["v1,AAAA"] * 200),
}


@pytest.mark.parametrize("signature", FORGERIES.values(), ids=FORGERIES)
def test_forged_signature_is_refused(stage: Stage, signature: str) -> None:
    """Whatever is no signature of ours is refused, and never breaks anything."""
    answer = stage.posts(an_event(), headers={"webhook-signature": signature})

    assert answer.status_code == 401


@pytest.mark.parametrize("timestamp", ["0", "-1", "1674087231.9", "now", "", "9" * 40])
def test_forged_timestamp_is_refused(stage: Stage, timestamp: str) -> None:
    """A timestamp is a whole number of seconds, and is part of what is signed."""
    answer = stage.posts(an_event(), headers={"webhook-timestamp": timestamp})

    assert answer.status_code == 401


def test_forged_id_is_refused(stage: Stage) -> None:
    """The webhook-id is part of what is signed."""
    answer = stage.posts(an_event(), headers={"webhook-id": "msg_other"})

    assert answer.status_code == 401


def test_changed_body_is_refused(stage: Stage) -> None:
    """The body is signed byte for byte: a blank more, and it is another."""
    body = an_event()
    headers = stage.signed(body, webhook_id="msg_1")

    answer = stage.http.post(stage.service.webhook_url, content=body + b" ", headers=headers)

    assert answer.status_code == 401


def test_body_that_is_no_text_is_refused(stage: Stage) -> None:
    """Bytes that are no UTF-8 are refused for their signature, like any others."""
    headers = stage.signed(b"{}", webhook_id="msg_1")

    answer = stage.http.post(stage.service.webhook_url, content=b"\xff\xfe", headers=headers)

    assert answer.status_code == 401


def test_unknown_source_is_refused_alike(stage: Stage) -> None:
    """Nobody learns from the answer which sources there are."""
    headers = {"content-type": "application/json", "webhook-signature": "v1,AAAA"}
    headers |= {"webhook-id": "msg_1", "webhook-timestamp": "1"}

    known, unknown = (
        stage.http.post(f"{stage.service.url}/webhooks/{name}", content=b"{}", headers=headers)
        for name in ("idp", "nobody")
    )

    assert (known.status_code, unknown.status_code) == (401, 401)
    assert known.json() == unknown.json()


def test_what_is_refused_is_not_kept(stage: Stage) -> None:
    """A webhook that is refused leaves no event, and its id is free for the true one."""
    body, webhook_id = an_event(), unique("msg")
    stage.posts(body, webhook_id=webhook_id, headers={"webhook-signature": "v1,AAAA"})
    other = an_event()

    answer = stage.posts(other, webhook_id=webhook_id)

    assert answer.status_code == 202
