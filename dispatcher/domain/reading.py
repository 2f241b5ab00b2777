"""Reading a document that somebody else wrote, so that every fault is named by its field.

A ``Reader`` wraps one JSON object. Each method reads one member, notes a fault where the member is
not what it should be, and goes on: the writer of a bad document learns of all its faults at once.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from dispatcher.domain.errors import Fault

T = TypeVar("T")

_JSON_NAMES: Mapping[type, str] = {
    str: "a string",
    bool: "a boolean",
    list: "an array",
    dict: "an object",
    int: "a whole number",
    float: "a number",
}


class Reader:
    """One JSON object, the path that leads to it, and the faults found so far.

    ``is_object`` is False where it is none, which is noted as a fault: there is nothing to read.
    Readers made by ``member`` and ``items`` share the list of faults with the one they came from.
    """

    def __init__(self, document: object, *, path: str = "", faults: list[Fault]) -> None:
        self.path = path
        self.faults = faults
        self.document: Mapping[str, object] = {}
        self.is_object = isinstance(document, dict)
        if isinstance(document, dict):
            self.document = document
        else:
            self.faults.append(Fault(path, f"is {_named(document)}, expected an object"))

    def __contains__(self, name: str) -> bool:
        return self.document.get(name) is not None

    def fault(self, name: str, message: str) -> None:
        """Note that member *name* is faulty (the object itself, where *name* is empty)."""
        self.faults.append(Fault(self._path(name), message))

    def refuse_others(self, known: frozenset[str]) -> None:
        """Note each member that is not *known*, so that a typo can not vanish."""
        for name in sorted(self.document.keys() - known):
            self.fault(name, "is not a known member")

    def text(
        self, name: str, *, ok: Callable[[str], bool] | None = None, rule: str = ""
    ) -> str | None:
        """Read a string that satisfies *ok*, described by *rule*; None where it is absent."""
        value = self._typed(name, str)
        if value is not None and ok is not None and not ok(value):
            self.fault(name, f"must be {rule}")
            return None
        return value

    def required(
        self, name: str, *, ok: Callable[[str], bool] | None = None, rule: str = ""
    ) -> str:
        """Read a string as ``text`` does; its absence is a fault, and so is an empty one."""
        if name not in self:
            self.fault(name, "is required")
            return ""
        value = self.text(name, ok=ok, rule=rule)
        if value == "":
            self.fault(name, "must not be empty")
        return value or ""

    def boolean(self, name: str, *, default: bool = False) -> bool:
        """Read a boolean."""
        value = self._typed(name, bool)
        return default if value is None else value

    def integer(self, name: str, *, least: int, most: int) -> int | None:
        """Read a whole number from *least* to *most*."""
        value = self._typed(name, int)
        if value is None:
            return None
        if isinstance(value, bool) or not least <= value <= most:
            self.fault(name, f"must be a whole number from {least} to {most}")
            return None
        return value

    def choice(self, name: str, kind: Callable[[str], T], values: Sequence[str]) -> T | None:
        """Read one of *values*, as a *kind*."""
        value = self.text(name, ok=lambda text: text in values, rule=f"one of {', '.join(values)}")
        return None if value is None else kind(value)

    def moment(self, name: str) -> datetime | None:
        """Read an RFC 3339 date-time with its offset, as an aware datetime."""
        value = self._typed(name, str)
        if value is None:
            return None
        moment = parse_moment(value)
        if moment is None:
            self.fault(name, "must be a date and time with its offset, as 2026-11-22T10:00:00Z")
        return moment

    def duration(self, name: str, *, least: timedelta, most: timedelta) -> timedelta | None:
        """Read a duration such as ``90s``, ``15m``, ``168h`` or ``30d``."""
        value = self._typed(name, str)
        if value is None:
            return None
        duration = parse_duration(value)
        if duration is None or not least <= duration <= most:
            allowed = f"from {format_duration(least)} to {format_duration(most)}"
            self.fault(name, f"must be a duration such as 90s, 15m, 168h or 30d, {allowed}")
            return None
        return duration

    def member(self, name: str) -> "Reader | None":
        """Read an object; None where it is absent or null."""
        if name not in self:
            return None
        return Reader(self.document[name], path=self._path(name), faults=self.faults)

    def items(self, name: str) -> Iterator[tuple[str, object]]:
        """Read an array: the path and the value of each item."""
        path = self._path(name)
        for index, item in enumerate(self._typed(name, list) or ()):
            yield f"{path}[{index}]", item

    def texts(self, name: str, *, ok: Callable[[str], bool], rule: str) -> tuple[str, ...] | None:
        """Read an array of strings that each satisfy *ok*; None where it is absent."""
        if name not in self:
            return None
        read: list[str] = []
        for path, item in self.items(name):
            if isinstance(item, str) and ok(item):
                read.append(item)
            else:
                self.faults.append(Fault(path, f"must be {rule}"))
        return tuple(read)

    def unique(self, name: str, values: Sequence[object]) -> None:
        """Note it where *values*, read from *name*, hold one twice."""
        if len(set(values)) != len(values):
            self.fault(name, "must not hold the same value twice")

    def _typed(self, name: str, kind: type[T]) -> T | None:
        value = self.document.get(name)
        if value is None:
            return None
        if isinstance(value, kind):
            return value
        self.fault(name, f"is {_named(value)}, expected {_JSON_NAMES[kind]}")
        return None

    def _path(self, name: str) -> str:
        return ".".join(part for part in (self.path, name) if part)


def _named(value: object) -> str:
    if value is None:
        return "null"
    return next((name for kind, name in _JSON_NAMES.items() if type(value) is kind), "not JSON")


def is_json(value: object) -> bool:
    """Whether *value* can be written as JSON: no date of TOML's, no NaN, no half of a character."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def parse_moment(text: str) -> datetime | None:
    """Return the datetime that *text* (RFC 3339) names, in UTC; None where it names none.

    A moment that its offset carries out of the years 1 to 9999 is none.
    """
    written = text.upper()
    try:
        moment = datetime.fromisoformat(written)
        return moment.astimezone(UTC) if moment.tzinfo is not None and "T" in written else None
    except (ValueError, OverflowError):
        return None


_MOST_DIGITS = 7
_UNITS: Mapping[str, int] = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: str) -> timedelta | None:
    """Return the duration that *text* names (``90s``, ``15m``, ``168h``, ``30d``), or None."""
    digits, unit = text[:-1], text[-1:]
    if (
        unit not in _UNITS
        or not digits.isascii()
        or not digits.isdigit()
        or len(digits) > _MOST_DIGITS
    ):
        return None
    return timedelta(seconds=int(digits) * _UNITS[unit])


def format_duration(duration: timedelta) -> str:
    """Write *duration* (whole seconds) as ``parse_duration`` reads it, in its largest whole unit.

    Days are written only from 30 on, since operators speak of 168 hours and of 30 days.
    """
    seconds = int(duration.total_seconds())
    for unit, size, least in (("d", 86400, 30), ("h", 3600, 1), ("m", 60, 1)):
        if seconds % size == 0 and seconds // size >= least:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
