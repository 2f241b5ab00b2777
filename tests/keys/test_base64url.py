"""Base64url has one spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import base64url


@given(st.binary())
def test_round_trip(data: bytes) -> None:
    """What was encoded is decoded, and there is no padding."""
    text = base64url.encode(data)

    assert base64url.decode(text) == data
    assert "=" not in text


@pytest.mark.parametrize("text", ["A", "AB", "AA==", "A A", "+w", "/w", "é", "AA\n"])
def test_other_spellings_are_refused(text: str) -> None:
    """Spare bits, padding and foreign characters are refused (AB has spare bits set)."""
    with pytest.raises(ValueError, match="base64url"):
        base64url.decode(text)
