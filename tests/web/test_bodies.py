"""Bodies: decoded strictly, without surprises."""

import contextlib
import json
import time

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from dispatcher.domain.errors import InvalidEvent
from dispatcher.web import bodies
from dispatcher.web.bodies import decode, is_storable, media_type, read_body
from dispatcher.web.problems import BodyTooSlow

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


def test_a_search_for_what_is_given_twice_costs_no_more_than_reading() -> None:
    """In an object of very many members the one that comes back is found in one pass."""
    members = [f'"{number}":0' for number in range(20_000)]
    body = ("{" + ",".join([*members, members[-1]]) + "}").encode()

    before = time.process_time()
    json.loads(body)
    reading = time.process_time() - before
    with pytest.raises(InvalidEvent) as refused:
        decode(body, error=InvalidEvent)
    refusing = time.process_time() - before - reading

    assert [fault.field for fault in refused.value.faults] == ["19999"]
    assert refusing < 20 * reading + 0.1


async def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has come of a body is not kept for longer than the body may take."""
    monkeypatch.setattr(bodies, "SECONDS", 0.05)
    pieces = [b"{", b'"sub"']

    async def receive() -> Message:
        """Hand out a piece, and keep the rest back for ever."""
        if not pieces:
            await anyio.sleep_forever()
        return {"type": "http.request", "body": pieces.pop(), "more_body": True}

    with anyio.fail_after(10), pytest.raises(BodyTooSlow):
        await read_body(Request({"type": "http", "method": "POST", "headers": []}, receive))


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
