"""``/api/v2/sessions/{sid}`` and ``/api/v2/users/{sub}/sessions``: the session registry."""

from starlette.requests import Request
from starlette.responses import Response

from dispatcher.domain.errors import NotFound
from dispatcher.domain.events import Sid, Sub, is_identifier
from dispatcher.domain.ledger import MOST_PER_PAGE
from dispatcher.domain.reading import parse_moment
from dispatcher.domain.sessions import Session
from dispatcher.ports import SessionPlace
from dispatcher.web import records
from dispatcher.web.answers import json_answer, moment
from dispatcher.web.doors import Doors
from dispatcher.web.queries import Query

_DEFAULT_PAGE = 50
_PAGING = frozenset({"from", "take"})
_BETWEEN = "~"
"""No moment holds it; a sid may."""


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
        query = Query(request)
        query.refuse_others(_PAGING)
        after = _place(query)
        take = query.number("take", least=1, most=MOST_PER_PAGE, default=_DEFAULT_PAGE)
        query.done()

        known = is_identifier(sub)
        found = await self._sessions.sessions_of(sub, after=after, take=take) if known else ()

        following = _written(found[-1]) if len(found) == take else None
        return json_answer({"sessions": [*map(records.session, found)], "next": following})


def _written(session: Session) -> str:
    """Write the place of *session* in the list, which is one even when the session has gone."""
    return f"{moment(session.created_at)}{_BETWEEN}{session.sid}"


def _place(query: Query) -> SessionPlace | None:
    text = query.text("from")
    if text is None:
        return None
    written, _, sid = text.partition(_BETWEEN)
    created_at = parse_moment(written)
    if created_at is None or not is_identifier(sid):
        query.fault("from", "must be a value that next had")
        return None
    return SessionPlace(created_at, Sid(sid))
