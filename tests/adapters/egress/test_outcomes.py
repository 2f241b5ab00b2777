"""What a status means, and when a server wants to be asked again."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.adapters.egress.outcomes import outcome_of, retry_after
from dispatcher.domain.deliveries import Acknowledged, Cause, Outcome, Refused, Unreachable
from tests.adapters.egress.conftest import NOW
from tests.adapters.egress.test_answer import read
from tests.kit.rp_server import response

LATER = {408, 425, 429}


def outcome(status: int, **fields: str) -> Outcome:
    """Return what an answer with that status means."""
    return outcome_of(read(response(status, b"", **fields)), NOW)


@pytest.mark.parametrize("status", range(200, 600))
def test_every_status(status: int) -> None:
    """Sections 2.5 and 2.8: only what may be better later is tried again on the schedule."""
    told = outcome(status)

    if status < 300:
        assert told == Acknowledged(status=status, flagged=status not in {200, 204})
    elif status == 501 or (status < 500 and status not in LATER):
        assert told == Refused(status=status)
    else:
        assert told == Unreachable(cause=Cause.STATUS, status=status)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(status: int) -> None:
    """A 429 and a 503 may say when to come back."""
    told = outcome(status, retry_after="90")

    assert isinstance(told, Unreachable)
    assert told.retry_after == timedelta(seconds=90)


@pytest.mark.parametrize("status", [408, 425, 500, 502, 504])
def test_retry_after_elsewhere_is_ignored(status: int) -> None:
    """No other status may."""
    told = outcome(status, retry_after="90")

    assert isinstance(told, Unreachable)
    assert told.retry_after is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"0", 0),
        (b" 120 ", 120),
        (b"Sun, 22 Nov 2026 10:01:30 GMT", 90),
        (b"Sunday, 22-Nov-26 10:01:30 GMT", 90),
        (b"Sun Nov 22 10:01:30 2026", 90),
        (b"Sun, 22 Nov 2026 09:00:00 GMT", 0),
        (b"9" * 5000, 365 * 86400),
    ],
)
def test_both_forms_of_retry_after(value: bytes, seconds: int) -> None:
    """RFC 9110 10.2.3: seconds, or a date in one of its three forms; the past is now."""
    assert retry_after(value, NOW) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value", [b"", b"soon", b"-5", b"1.5", b"1e3", b"\xb2", b"Sun, 99 Nov 2026 10:00:00 GMT"]
)
def test_malformed_retry_after_is_ignored(value: bytes) -> None:
    """What is neither says nothing."""
    assert retry_after(value, NOW) is None


@given(st.binary(max_size=60))
def test_retry_after_never_raises_and_never_brings_nearer(value: bytes) -> None:
    """Whatever a server writes there, it is no time in the past."""
    told = retry_after(value, NOW)

    assert told is None or told >= timedelta()
