"""A source proves that an event is its own, as Standard Webhooks 1.0.0 says."""

import base64
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from keys import UnusableSecret
from keys.webhook_signature import Verdict, parse_secret, sign, verify

SECRET = bytes(range(24))
OTHER = bytes(range(32))
NOW = datetime(2026, 1, 1, tzinfo=UTC)
STAMP = str(int(NOW.timestamp()))
BODY = '{"type":"session.ended","é":1}'.encode()
SENT = sign(SECRET, webhook_id="msg_1", timestamp=NOW, body=BODY)


def judge(
    *,
    webhook_id: str = "msg_1",
    timestamp: str = STAMP,
    signature: str = SENT["webhook-signature"],
    body: bytes = BODY,
    now: datetime = NOW,
    secrets: tuple[bytes, ...] = (SECRET,),
) -> Verdict:
    """Judge a message that differs from a good one in what is given."""
    return verify(
        secrets,
        webhook_id=webhook_id,
        timestamp=timestamp,
        signature=signature,
        body=body,
        now=now,
        tolerance=timedelta(seconds=300),
    )


def signed(webhook_id: str, timestamp: str, body: bytes = BODY) -> str:
    """Sign any header text, as a sender would that knows no rules."""
    text = f"{webhook_id}.{timestamp}.".encode("utf-8", "surrogatepass") + body
    return "v1," + base64.b64encode(hmac.digest(SECRET, text, "sha256")).decode()


@given(st.binary(min_size=24, max_size=64), st.text("abc_-123", min_size=1), st.text())
def test_reference_library_is_understood(secret: bytes, webhook_id: str, body: str) -> None:
    """What the reference library signs is accepted, and we sign the same."""
    body = body.encode("utf-8", "replace").decode()
    text = "whsec_" + base64.b64encode(secret).decode()

    theirs = Webhook(text).sign(webhook_id, NOW, body)

    assert parse_secret(text) == secret
    ours = sign(secret, webhook_id=webhook_id, timestamp=NOW, body=body.encode())
    assert ours == {
        "webhook-id": webhook_id,
        "webhook-timestamp": STAMP,
        "webhook-signature": theirs,
    }
    assert (
        judge(webhook_id=webhook_id, signature=theirs, body=body.encode(), secrets=(secret,))
        is Verdict.OK
    )


@given(st.text(), st.text(), st.text(), st.binary())
def test_any_text_gets_a_verdict(one: str, two: str, three: str, body: bytes) -> None:
    """Whatever stands in the headers, the answer is a verdict that lets nothing in."""
    for signature in (three, f"v1,{three}"):
        verdict = judge(webhook_id=one, timestamp=two, signature=signature, body=body)
        assert verdict in {Verdict.MALFORMED, Verdict.MISMATCH}
    assert judge(signature=f"v1,{three}") is Verdict.MISMATCH


@given(st.data())
def test_any_changed_byte_fails(data: st.DataObject) -> None:
    """One changed character of id, time, signature or body is never accepted."""
    name = data.draw(st.sampled_from(["webhook_id", "timestamp", "signature"]))
    good = {"webhook_id": "msg_1", "timestamp": STAMP, "signature": SENT["webhook-signature"]}
    text = good[name]
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(max_codepoint=255).filter(lambda c: c != text[at]))
    flip = data.draw(st.integers(1, 255))
    place = data.draw(st.integers(0, len(BODY) - 1))
    body = BODY[:place] + bytes([BODY[place] ^ flip]) + BODY[place + 1 :]

    changed = good | {name: text[:at] + other + text[at + 1 :]}

    verdict = judge(
        webhook_id=changed["webhook_id"],
        timestamp=changed["timestamp"],
        signature=changed["signature"],
    )
    assert verdict in {Verdict.MALFORMED, Verdict.MISMATCH}
    assert judge(body=body) is Verdict.MISMATCH


@pytest.mark.parametrize(
    "timestamp",
    ["", f"{STAMP}.9", f"+{STAMP}", f"-{STAMP}", f" {STAMP}", f"{STAMP}\n", "1e9", "1" * 13, "١٢٣",
     "1_0"],
)  # fmt: skip
def test_timestamp_is_a_plain_integer(timestamp: str) -> None:
    """A timestamp that is not one to twelve digits is malformed, even if it was signed."""
    assert judge(timestamp=timestamp, signature=signed("msg_1", timestamp)) is Verdict.MALFORMED


@pytest.mark.parametrize("webhook_id", ["", "a.b", "a b", "é", "a\n", "\ud800"])
def test_id_is_printable_without_dots(webhook_id: str) -> None:
    """An id that could be read as more than an id is malformed, even if it was signed."""
    assert judge(webhook_id=webhook_id, signature=signed(webhook_id, STAMP)) is Verdict.MALFORMED


def test_message_can_not_be_read_as_another() -> None:
    """A signed body that begins like a timestamp can not become the timestamp."""
    moved = signed("msg_1", STAMP, f"{STAMP}.x".encode())

    assert judge(webhook_id=f"msg_1.{STAMP}", body=b"x", signature=moved) is Verdict.MALFORMED


@pytest.mark.parametrize("signature", ["", "v1", "v1a,AAAA", "v2,AAAA", " ", "V1,AAAA"])
def test_no_signature_that_we_read_is_malformed(signature: str) -> None:
    """Without a `v1` signature there is nothing to compare."""
    assert judge(signature=signature) is Verdict.MALFORMED


def test_every_secret_is_tried_on_every_signature() -> None:
    """Both sides may be changing their secret: one fitting pair is enough, in any order."""
    good = SENT["webhook-signature"]
    wrong = sign(OTHER, webhook_id="x", timestamp=NOW, body=b"")["webhook-signature"]

    for signature in (good, f"v1a,x {wrong} {good}", f"{good} {wrong} v1,"):
        for secrets in ((SECRET,), (OTHER, SECRET), (SECRET, OTHER)):
            assert judge(signature=signature, secrets=secrets) is Verdict.OK
    assert judge(secrets=(OTHER,)) is Verdict.MISMATCH
    assert judge(secrets=()) is Verdict.MISMATCH
    assert judge(signature="v1,\ud800") is Verdict.MISMATCH


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [(-301, Verdict.STALE), (-300, Verdict.OK), (300, Verdict.OK), (301, Verdict.STALE)],
)
def test_tolerance_holds_on_both_sides(seconds: int, verdict: Verdict) -> None:
    """A message is stale beyond the tolerance, before and after."""
    assert judge(now=NOW + timedelta(seconds=seconds)) is verdict


def test_only_the_holder_of_the_secret_hears_of_staleness() -> None:
    """An old message with a wrong signature is a mismatch; the far future does not raise."""
    late = NOW + timedelta(days=1)

    assert judge(now=late) is Verdict.STALE
    assert judge(now=late, body=b"x") is Verdict.MISMATCH
    assert judge(timestamp="9" * 12, signature=signed("msg_1", "9" * 12)) is Verdict.STALE


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "starts with"),
        ("whsk_AAAA", "starts with"),
        ("whsec_!!!!", "base64"),
        ("whsec_ä", "base64"),
        ("whsec_A", "base64"),
        ("whsec_" + base64.b64encode(bytes(23)).decode(), "has 23"),
        ("whsec_" + base64.b64encode(bytes(65)).decode(), "has 65"),
    ],
)
def test_faulty_secrets_are_refused(text: str, fault: str) -> None:
    """A secret that is not `whsec_` and base64 of 24 to 64 bytes is refused, without quoting it."""
    with pytest.raises(UnusableSecret, match=fault) as caught:
        parse_secret(text)

    assert not text or text not in str(caught.value)


def test_padding_of_a_secret_may_be_missing() -> None:
    """A secret is read with and without its padding, as the reference library does."""
    text = "whsec_" + base64.b64encode(OTHER).decode()

    assert parse_secret(text) == parse_secret(text.rstrip("=")) == OTHER
