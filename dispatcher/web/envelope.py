"""The only wrapper around the routes: what every answer has, and what no answer shows."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dispatcher.ports import Telemetry
from dispatcher.web.problems import render
from dispatcher.web.segments import keep_slashes

_ON_EVERY_ANSWER = [(b"x-content-type-options", b"nosniff")]


class Envelope:
    """Adds the headers that every answer has, and turns a stray exception into a plain 500."""

    def __init__(self, app: ASGIApp, *, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def sealed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message["headers"], *_ON_EVERY_ANSWER]
            await send(message)

        try:
            await self._app(keep_slashes(scope), receive, sealed)
        except Exception as error:
            self._telemetry.worker_failed("web", error)
            if started:
                # The server closes the connection, so that nobody takes half an answer for whole.
                raise
            await render(error, path=scope["path"])(scope, receive, sealed)
