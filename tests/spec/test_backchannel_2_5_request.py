"""OpenID Connect Back-Channel Logout 1.0 section 2.5: the request, and sending it again."""

import re
from datetime import datetime, timedelta

import pytest

from tests.spec.stage import Stage, unique
from tests.spec.wire import Capture, Script, hangs_up, replies


@pytest.fixture(scope="module")
def capture(stage: Stage) -> Capture:
    """One request, as it came in."""
    sid = unique("sid")
    stage.ends("plain", sid=sid, sub=unique("sub"))
    return stage.told(sid)


def test_method_is_post(capture: Capture) -> None:
    """2.5: the request is an HTTP POST."""
    line = capture.request_line

    assert line == "POST /logout HTTP/1.1"


def test_body_is_form_encoded(capture: Capture) -> None:
    """2.5: the body is application/x-www-form-urlencoded, as its one Content-Type field says."""
    content_types = capture.values("content-type")

    assert content_types == ["application/x-www-form-urlencoded"]


def test_body_is_nothing_but_the_token(capture: Capture) -> None:
    """2.5: the body is the parameter logout_token, and no other."""
    body = capture.body

    assert re.fullmatch(rb"logout_token=[\w-]+\.[\w-]+\.[\w-]+", body)
    assert [name for name, _ in capture.form] == ["logout_token"]


def test_body_has_a_length(capture: Capture) -> None:
    """2.5: the body is sent with its length, never chunked, as simple servers understand it."""
    lengths = capture.values("content-length")

    assert lengths == [str(len(capture.body))]
    assert capture.values("transfer-encoding") == []
    assert capture.values("expect") == []


def test_request_carries_nobody_elses_secrets(capture: Capture) -> None:
    """2.5: the token is what authenticates the request: no cookie, no credentials, no referrer."""
    names = ("cookie", "authorization", "referer", "origin", "proxy-authorization")

    sent = [name for name in names if capture.values(name)]

    assert sent == []


@pytest.mark.parametrize("status", [200, 204])
def test_success_is_not_sent_again(stage: Stage, status: int) -> None:
    """2.5: what has succeeded is not retransmitted."""
    sid, later = unique("sid"), unique("sid")
    stage.rp.answers(sid, replies(status))
    event_id = stage.ends("plain", sid=sid)
    delivery = stage.delivery(event_id)
    stage.ends("plain", sid=later)
    stage.told(later)

    assert (delivery["state"], delivery["attempt_count"]) == ("delivered", 1)
    assert delivery["next_attempt_at"] is None
    assert len(stage.rp.about(sid)) == 1


RECOVERABLE = {
    "503": replies(503),
    "500": replies(500),
    "429": replies(429),
    "lost-connection": hangs_up,
}


@pytest.fixture(params=RECOVERABLE.values(), ids=list(RECOVERABLE))
def recoverable(request: pytest.FixtureRequest) -> Script:
    """Each way to fail for a while."""
    script: Script = request.param
    return script


def test_recoverable_failure_is_sent_again(stage: Stage, recoverable: Script) -> None:
    """2.5: what may have failed for a while is sent again, after a delay, as a fresh token."""
    sid, client_id = unique("sid"), stage.registers()
    stage.rp.answers(sid, recoverable, replies(200))
    event_id = stage.ends(client_id, sid=sid)

    first, second = stage.rp.receives(sid, count=2)
    delivery = stage.delivery(event_id)

    one, other = stage.verified(first).claims, stage.verified(second).claims
    assert one["jti"] != other["jti"]
    assert one["iat"] < other["iat"] <= second.at
    assert second.at - first.at >= 0.99
    assert (delivery["state"], delivery["attempt_count"]) == ("delivered", 2)


def test_token_is_fresh_even_where_a_kept_connection_breaks(stage: Stage) -> None:
    """2.5: a token is fresh even if what was lost is a connection that had served before."""
    before, sid, client_id = unique("sid"), unique("sid"), stage.registers()
    stage.delivery(stage.ends(client_id, sid=before))
    stage.rp.answers(sid, hangs_up, replies(200))
    event_id = stage.ends(client_id, sid=sid)

    first, second = stage.rp.receives(sid, count=2)
    stage.delivery(event_id)

    assert stage.told(before).connection == first.connection
    assert first.unverified_claims["jti"] != second.unverified_claims["jti"]


def test_attempts_are_told_apart_in_the_log(stage: Stage) -> None:
    """2.5: each attempt is recorded with the `jti` and the `kid` that went over the wire."""
    sid, client_id = unique("sid"), stage.registers()
    stage.rp.answers(sid, replies(503), replies(204))
    event_id = stage.ends(client_id, sid=sid)

    tokens = [stage.verified(one) for one in stage.rp.receives(sid, count=2)]
    attempts = stage.delivery(event_id)["attempts"]

    assert [one["jti"] for one in attempts] == [token.claims["jti"] for token in tokens]
    assert [one["kid"] for one in attempts] == [token.header["kid"] for token in tokens]
    assert [one["status"] for one in attempts] == [503, 204]


def test_delays_grow(stage: Stage) -> None:
    """2.5: an RP that goes on failing is asked at growing intervals, so as not to overwhelm it."""
    sid, client_id = unique("sid"), stage.registers()
    stage.rp.answers(sid, replies(503))
    event_id = stage.ends(client_id, sid=sid)

    delivery = stage.waiting_delivery(event_id, attempts=2)

    first, second = (datetime.fromisoformat(one["started_at"]) for one in delivery["attempts"])
    third = datetime.fromisoformat(delivery["next_attempt_at"])
    assert third - second >= timedelta(seconds=4.9) > second - first


def test_the_rps_own_wish_is_respected(stage: Stage) -> None:
    """2.5: a Retry-After makes the delay longer (RFC 9110 section 10.2.3)."""
    sid, client_id = unique("sid"), stage.registers()
    stage.rp.answers(sid, replies(503, retry_after="120"))
    event_id = stage.ends(client_id, sid=sid)

    delivery = stage.waiting_delivery(event_id, attempts=1)

    attempted = datetime.fromisoformat(delivery["attempts"][0]["started_at"])
    again = datetime.fromisoformat(delivery["next_attempt_at"])
    assert again - attempted >= timedelta(seconds=119)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(stage: Stage, status: int) -> None:
    """2.5: the token goes to the registered URI alone; a redirect is no answer to it."""
    sid, client_id = unique("sid"), stage.registers(stage.rp.uri("/moved"))
    stage.rp.answers(sid, replies(status, location=stage.rp.uri("/elsewhere")))
    event_id = stage.ends(client_id, sid=sid)

    delivery = stage.waiting_delivery(event_id, attempts=1)

    assert delivery["attempts"][0]["outcome"] == "refused"
    assert [capture.path for capture in stage.rp.about(sid)] == ["/moved"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422, 501])
def test_other_failures_are_not_hammered(stage: Stage, status: int) -> None:
    """2.5: a refusal is not sent again, but for one second look a minute later."""
    sid, client_id = unique("sid"), stage.registers()
    stage.rp.answers(sid, replies(status))
    event_id = stage.ends(client_id, sid=sid)

    delivery = stage.waiting_delivery(event_id, attempts=1)

    attempted = datetime.fromisoformat(delivery["attempts"][0]["started_at"])
    again = datetime.fromisoformat(delivery["next_attempt_at"])
    assert again - attempted >= timedelta(seconds=59.9)
    assert delivery["attempts"][0]["outcome"] == "refused"
