"""Bodies: decoded strictly, without surprises."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.domain.errors import InvalidEvent
from dispatcher.web.bodies import decode, is_storable, media_type

REFUSED: list[tuple[str, bytes, str]] = [
    ("nothing", b"", "is not JSON: Expecting value (line 1, column 1)"),
    ("half an object", b'{"id":', "is not JSON: Expecting value (line 1, column 7)"),
    ("two documents", b"{} {}", "is not JSON: Extra data (line 1, column 4)"),
    ("NaN", b'{"a":NaN}', "is not JSON: NaN is no number"),
    ("Infinity", b'{"a":-Infinity}', "is not JSON: -Infinity is no number"),
    ("infinity by another name", b'{"a":1e999}', "holds a number that is too large"),
    ("very many digits", b'{"a":' + b"1" * 5000 + b"}", "holds a number of too many digits"),
    ("a deep nest", b"[" * 100_000, "is nested too deeply"),
    ("Latin-1", b'{"a":"\xe4"}', "is not UTF-8"),
    ("UTF-16", '{"a":1}'.encode("utf-16"), "is not UTF-8"),
]


@pytest.mark.parametrize(
    ("body", "message"), [one[1:] for one in REFUSED], ids=[one[0] for one in REFUSED]
)
def test_what_is_no_strict_json_is_refused(body: bytes, message: str) -> None:
    """What two readers could understand differently is refused, saying why."""
    with pytest.raises(InvalidEvent) as refused:
        decode(body, error=InvalidEvent)

    assert [(fault.field, fault.message) for fault in refused.value.faults] == [("", message)]


def test_a_member_that_is_given_twice_is_named() -> None:
    """Of two members with one name none is quietly dropped."""
    with pytest.raises(InvalidEvent) as refused:
        decode(b'[{"sub":"u1"},{"sid":"s","sub":"u1","sub":"u2"}]', error=InvalidEvent)

    (fault,) = refused.value.faults
    assert (fault.field, fault.message) == ("sub", "is given twice in one object")


def test_large_numbers_are_no_trouble() -> None:
    """A whole number of many digits is read exactly."""
    assert decode(b'{"a":' + b"9" * 400 + b"}", error=InvalidEvent) == {"a": 10**400 - 1}


@given(st.binary())
def test_any_bytes_are_json_or_refused(body: bytes) -> None:
    """No bytes make the decoder raise anything but the error that was asked for."""
    with contextlib.suppress(InvalidEvent):
        decode(body, error=InvalidEvent)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({b"content-type": b"application/json"}, "application/json"),
        ({b"content-type": b"Application/JSON ; charset=utf-8"}, "application/json"),
        ({b"content-type": b"text/plain"}, "text/plain"),
        ({}, ""),
        ({b"content-type": b"application/json", b"content-encoding": b"gzip"}, ""),
    ],
)
def test_a_media_type_is_read_without_its_parameters(
    headers: dict[bytes, bytes], expected: str
) -> None:
    """Parameters and case do not matter; what is encoded has no type that is understood."""
    assert media_type(headers) == expected


def test_what_no_store_can_keep_is_known() -> None:
    """NUL and halves of surrogate pairs are what stores stumble over; nothing else is."""
    assert [is_storable(text) for text in ("", "ä\U0001f600\x01", "\0", "a\udc00")] == [
        True,
        True,
        False,
        False,
    ]
