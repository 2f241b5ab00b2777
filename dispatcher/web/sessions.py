"""``/api/v2/sessions/{sid}`` and ``/api/v2/users/{sub}/sessions``: the session registry."""

from starlette.requests import Request
from starlette.responses import Response

from dispatcher.domain.errors import NotFound
from dispatcher.domain.events import Sid, Sub, is_identifier
from dispatcher.web import records
from dispatcher.web.answers import json_answer
from dispatcher.web.doors import Doors


class SessionViews:
    """Shows sessions."""

    def __init__(self, doors: Doors) -> None:
        self._sessions = doors.sessions

    async def show(self, request: Request) -> Response:
        """Show one session."""
        sid = Sid(request.path_params["sid"])

        found = await self._sessions.session(sid) if is_identifier(sid) else None

        if found is None:
            raise NotFound("The session does not exist")
        return json_answer(records.session(found))

    async def of_user(self, request: Request) -> Response:
        """List the sessions of one user, newest first; none where the user is unknown."""
        sub = Sub(request.path_params["sub"])

        found = await self._sessions.sessions_of(sub) if is_identifier(sub) else ()

        return json_answer({"sessions": [*map(records.session, found)], "next": None})
