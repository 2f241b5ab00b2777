"""How values of the domain lie in the store: times as microseconds, ids as row numbers."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MOST_DIGITS = 18
# Made once, where ``json.dumps`` would make one for each value.
_encode = json.JSONEncoder(separators=(",", ":")).encode
_encode_plainly = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
ALWAYS = (1 << 63) - 1
"""Later than any time that is stored."""


def micros(moment: datetime) -> int:
    """Return *moment* as microseconds since the epoch."""
    return (moment - _EPOCH) // _MICROSECOND


def maybe_micros(moment: datetime | None) -> int | None:
    """Return *moment* as microseconds since the epoch, where there is one."""
    return None if moment is None else micros(moment)


def moment(stored: int) -> datetime:
    """Return the moment that ``micros`` stored."""
    return _EPOCH + timedelta(microseconds=stored)


def maybe_moment(stored: int | None) -> datetime | None:
    """Return the moment that ``maybe_micros`` stored."""
    return None if stored is None else moment(stored)


def micros_of(duration: timedelta) -> int:
    """Return *duration* in microseconds."""
    return duration // _MICROSECOND


def span(stored: int) -> timedelta:
    """Return the duration of *stored* microseconds."""
    return timedelta(microseconds=stored)


def number_of(text: str, prefix: str) -> int | None:
    """Return the row number in an id such as ``ev_12``; None where it has not that form."""
    digits = text.removeprefix(prefix)
    if digits is text or len(digits) > _MOST_DIGITS or digits.startswith("0"):
        return None
    return int(digits) if digits.isascii() and digits.isdigit() else None


def packed(value: object) -> str:
    """Return *value* as JSON, in ASCII: a store takes a character of any kind so."""
    return _encode(value)


def packed_plainly(value: object) -> str:
    """Return *value* as JSON that escapes no more than it must.

    For text that SQL takes out of it again: half a surrogate is refused when the whole is bound
    (UnicodeEncodeError), where its escape would come to lie in the store, and never be read again.
    """
    return _encode_plainly(value)


def packed_texts(texts: Mapping[str, str]) -> str | None:
    """Return a mapping as JSON; None where it is empty."""
    return packed(dict(texts)) if texts else None


def unpacked(text: str | None, default: Any) -> Any:
    """Return what ``packed`` packed, or *default* where nothing was stored."""
    return default if text is None else json.loads(text)


def printable(text: str) -> str:
    """Return *text* without what a store's text can not hold: NUL and half surrogates."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
