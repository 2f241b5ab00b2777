"""The only wrapper around the routes: what every answer has, and what becomes of every error."""

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dispatcher.ports import Telemetry
from dispatcher.web.oauth import OAuthError, render_oauth_error
from dispatcher.web.problems import is_internal, render
from dispatcher.web.segments import keep_slashes

_ON_EVERY_ANSWER = [(b"x-content-type-options", b"nosniff")]


class Envelope:
    """Adds the headers that every answer has, and answers with what is raised.

    The web framework has wrappers of its own for that, four around each request: they took some
    7 % of the event loop's time for a webhook and the five tokens that it led to.
    """

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
            response = self._answer(error, scope["path"])
            if started:
                # The server closes the connection, so that nobody takes half an answer for whole.
                raise
            await response(scope, receive, sealed)

    def _answer(self, error: Exception, path: str) -> Response:
        if isinstance(error, ClientDisconnect):
            return Response(status_code=400)  # nobody listens any more
        if isinstance(error, OAuthError):
            return render_oauth_error(error)
        if is_internal(error):
            self._telemetry.worker_failed("web", error)
        return render(error, path=path)
