"""Bodies: read no further than is allowed, and decoded without surprises."""

import asyncio
import json
import math
import re
from collections.abc import Iterable, Mapping

from starlette.requests import Request

from dispatcher.domain.errors import Fault, Invalid, TooLarge, UnknownFormat
from dispatcher.web.problems import BodyTooSlow, InvalidBody

MOST_BYTES = 1 << 20
SECONDS = 10.0
"""How long a body may take to come: what has come of it is kept in memory meanwhile."""
DEEPEST = 64
"""How deep a stored document may be nested: far less than what could not be written again."""


async def read_body(request: Request, *, most: int = MOST_BYTES) -> bytes:
    """Read the body piece by piece; raise TooLarge as soon as it is over *most* bytes.

    Raises BodyTooSlow where it is not whole in time.
    """
    if _announced(request) > most:
        raise TooLarge(f"The body is larger than {most} bytes.")
    try:
        # Half of what anyio's own scope costs, on the way of every webhook.
        async with asyncio.timeout(SECONDS):
            return await _read(request, most)
    except TimeoutError:
        raise BodyTooSlow from None


async def _read(request: Request, most: int) -> bytes:
    read = bytearray()
    async for piece in request.stream():
        read += piece
        if len(read) > most:
            raise TooLarge(f"The body is larger than {most} bytes.")
    return bytes(read)


def _announced(request: Request) -> int:
    length = request.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() and len(length) < 20 else 0  # noqa: PLR2004 - more digits than any length has


def media_type(headers: Mapping[bytes, bytes]) -> str:
    """Return the body's media type without its parameters; empty where it is encoded or unnamed."""
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        return ""
    return headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")


def require_json(headers: Mapping[bytes, bytes]) -> None:
    """Raise UnknownFormat where the body does not say that it is plain JSON."""
    if media_type(headers) != "application/json":
        raise UnknownFormat("The body must be application/json, without a content encoding.")


async def read_document(request: Request) -> dict[str, object]:
    """Read a JSON object that is to be stored."""
    require_json(dict(request.scope["headers"]))
    document = decode(await read_body(request), error=InvalidBody)
    if not isinstance(document, dict):
        raise InvalidBody([Fault("", "must be a JSON object")])
    _refuse_unwritable(document)
    return document


class _NotJson(ValueError):
    """JSON of a kind that two readers would understand differently."""

    def __init__(self, message: str, field: str = "") -> None:
        self.field = field
        super().__init__(message)


def decode(body: bytes, *, error: type[Invalid]) -> object:
    """Decode strict JSON in UTF-8: no member twice, no NaN, no Infinity.

    Raises *error* and nothing else, whatever the bytes are.
    """
    try:
        return _DECODER.decode(body.decode("utf-8"))
    except _NotJson as refused:
        raise error([Fault(refused.field, str(refused))]) from None
    except json.JSONDecodeError as malformed:
        where = f"line {malformed.lineno}, column {malformed.colno}"
        raise error([Fault("", f"is not JSON: {malformed.msg} ({where})")]) from None
    except UnicodeDecodeError:
        raise error([Fault("", "is not UTF-8")]) from None
    except RecursionError:
        raise error([Fault("", "is nested too deeply")]) from None
    except ValueError:
        raise error([Fault("", "holds a number of too many digits")]) from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise _NotJson("is given twice in one object", _first_twice(name for name, _ in pairs))
    return document


def _first_twice(names: Iterable[str]) -> str:
    """Return the first name that has come before, looking at each name once."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return ""


def _constant(name: str) -> object:
    raise _NotJson(f"is not JSON: {name} is no number")


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _NotJson("holds a number that is too large")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)


def _refuse_unwritable(document: dict[str, object]) -> None:
    """Refuse what could be read and not be kept: deep nests, and what is no character."""
    told = {name: _fault_of_stored([name, value]) for name, value in document.items()}
    faults = [Fault(name, message) for name, message in told.items() if message]
    if faults:
        raise InvalidBody(faults)


def _fault_of_stored(value: object) -> str | None:
    level = [value]
    for _ in range(DEEPEST):
        if any(isinstance(one, str) and not is_storable(one) for one in level):
            return "holds a character that no store can keep"
        level = [child for one in level for child in _children(one)]
        if not level:
            return None
    return f"is nested deeper than {DEEPEST} levels"


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    return value if isinstance(value, list) else []


_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def is_storable(text: str) -> bool:
    """Whether every store can keep *text*: no NUL, and no half of a surrogate pair."""
    return _UNSTORABLE.search(text) is None
