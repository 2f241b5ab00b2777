"""The wrapper around the routes, where an answer breaks off, and where there is no request."""

from collections.abc import MutableMapping
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from dispatcher.web.envelope import Envelope
from tests.kit.telemetry import RecordingTelemetry

START = {"type": "http.response.start", "status": 200, "headers": []}


async def receive() -> MutableMapping[str, Any]:
    """Receive nothing."""
    return {"type": "http.disconnect"}


async def test_an_answer_that_breaks_off_is_not_mended() -> None:
    """Once the status has gone out the error goes on to the server, which hangs up."""
    telemetry, sent = RecordingTelemetry(), []

    async def half(_: Scope, __: Receive, send: Send) -> None:
        await send(dict(START))
        raise ValueError("half")

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message["type"])

    with pytest.raises(ValueError, match="half"):
        await Envelope(half, telemetry=telemetry)({"type": "http", "path": "/"}, receive, send)
    assert sent == ["http.response.start"]
    assert [worker for worker, _ in telemetry.failures] == ["web"]


async def test_what_is_no_request_passes_untouched() -> None:
    """A lifespan or a websocket is the routes' own business."""
    seen: list[str] = []

    async def inner(scope: Scope, _: Receive, __: Send) -> None:
        seen.append(scope["type"])

    async def send(_: MutableMapping[str, Any]) -> None:
        """Send nothing."""

    await Envelope(inner, telemetry=RecordingTelemetry())({"type": "websocket"}, receive, send)

    assert seen == ["websocket"]
