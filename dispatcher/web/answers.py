"""JSON answers, and how moments are written in them."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from starlette.responses import Response

NO_STORE: Mapping[str, str] = {"cache-control": "no-store"}

_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def json_answer(
    content: object,
    *,
    status: int = 200,
    headers: Mapping[str, str] = NO_STORE,
    media_type: str = "application/json",
) -> Response:
    """Answer with *content*; ASCII only, so that what was escaped in a request stays writable."""
    body = _ENCODER.encode(content).encode("ascii")
    return Response(body, status_code=status, headers=headers, media_type=media_type)


def moment(value: datetime) -> str:
    """Write a moment as RFC 3339 in UTC."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def moment_or_none(value: datetime | None) -> str | None:
    """Write a moment, or null where there is none."""
    return None if value is None else moment(value)
