"""OpenID Connect Back-Channel Logout 1.0 section 2.8: what an RP's answer means to the OP."""

from typing import Any

import pytest

from tests.spec.stage import Stage, unique
from tests.spec.wire import Script, replies

BODIES = {
    "none": b"",
    "invalid-request": b'{"error": "invalid_request", "error_description": "no such session"}',
    "temporary": b'{"error": "temporarily_unavailable"}',
    "says-success": b'{"status": "ok", "error": null}',
    "says-retry": b'{"error": "slow_down", "retry": true, "retry_after": 1}',
    "cut-off": b'{"error": "inv',
    "not-text": bytes(range(256)),
    "deep": b"[" * 5000,
}


@pytest.mark.parametrize("status", [200, 204])
def test_success(stage: Stage, status: int) -> None:
    """2.8: 200 is success, and the OP is prepared for 204 as success too."""
    sid = unique("sid")
    stage.rp.answers(sid, replies(status))
    event_id = stage.ends("plain", sid=sid)

    delivery = stage.delivery(event_id)

    assert delivery["state"] == "delivered"
    assert _attempts(delivery) == [("acknowledged", status)]


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_body_of_a_success_does_not_steer(stage: Stage, body: bytes) -> None:
    """2.8: a 200 is success, whatever error its body tells of."""
    sid = unique("sid")
    stage.rp.answers(sid, replies(200, body, content_type="application/json"))
    event_id = stage.ends("plain", sid=sid)

    delivery = stage.delivery(event_id)

    assert delivery["state"] == "delivered"
    assert _attempts(delivery) == [("acknowledged", 200)]


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_body_of_a_refusal_does_not_steer(stage: Stage, body: bytes) -> None:
    """2.8: a 400 means that the request or the logout failed; its JSON changes nothing."""
    sid, client_id = unique("sid"), stage.registers()
    stage.rp.answers(sid, replies(400, body, content_type="application/json"))
    event_id = stage.ends(client_id, sid=sid)

    delivery = stage.waiting_delivery(event_id, attempts=1)

    assert _attempts(delivery) == [("refused", 400)]
    assert delivery["reason"] is None


HEADERS: dict[str, Script] = {
    "no-store": replies(400, cache_control="no-store"),
    "cacheable": replies(400, cache_control="public, max-age=600"),
    "retry-after": replies(400, retry_after="1"),
    "cookie": replies(400, set_cookie="a=b"),
}


@pytest.mark.parametrize("script", HEADERS.values(), ids=HEADERS)
def test_header_of_a_refusal_does_not_steer(stage: Stage, script: Script) -> None:
    """2.8: a 400 is a refusal, cacheable or not, and whenever it would like to be asked again."""
    sid, client_id = unique("sid"), stage.registers()
    stage.rp.answers(sid, script)
    event_id = stage.ends(client_id, sid=sid)

    delivery = stage.waiting_delivery(event_id, attempts=1)

    assert _attempts(delivery) == [("refused", 400)]
    assert len(stage.rp.about(sid)) == 1


def test_cookies_of_an_answer_do_not_come_back(stage: Stage) -> None:
    """2.8: nothing of an answer is sent with the next request."""
    first, second = unique("sid"), unique("sid")
    stage.rp.answers(first, replies(200, set_cookie="rp=1; Path=/"))
    stage.delivery(stage.ends("plain", sid=first))
    stage.ends("plain", sid=second)

    capture = stage.told(second)

    assert capture.values("cookie") == []


def test_a_refusal_of_one_is_none_of_anothers(stage: Stage) -> None:
    """2.8: each RP answers for itself: one that refuses changes nothing for the others."""
    sid, refusing = unique("sid"), stage.registers(stage.rp.uri("/refusing"))
    stage.rp.answers(sid, replies(400))
    event_id = stage.ends(refusing, sid=sid)
    stage.waiting_delivery(event_id, attempts=1)
    later = unique("sid")

    delivery = stage.delivery(stage.ends("wiki", sid=later))

    assert delivery["state"] == "delivered"


def _attempts(delivery: dict[str, Any]) -> list[tuple[str, int]]:
    """Return the outcome and the status of each attempt."""
    return [(one["outcome"], one["status"]) for one in delivery["attempts"]]
