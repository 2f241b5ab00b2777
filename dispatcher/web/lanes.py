"""``/api/v2/lanes``: how each application's deliveries go, and an operator's hand on them."""

from starlette.requests import Request
from starlette.responses import Response

from dispatcher.domain.errors import NotFound
from dispatcher.domain.events import IDENTIFIER_RULE, ClientId, is_identifier
from dispatcher.domain.ledger import MOST_PER_PAGE
from dispatcher.web import records
from dispatcher.web.answers import json_answer
from dispatcher.web.doors import Doors
from dispatcher.web.queries import Query

_DEFAULT_PAGE = 50
_PAGING = frozenset({"from", "take"})


class Lanes:
    """Shows lanes, and pauses and resumes them."""

    def __init__(self, doors: Doors) -> None:
        self._ledger = doors.ledger
        self._registry = doors.registry
        self._queue = doors.queue

    async def page(self, request: Request) -> Response:
        """List lanes, by client_id."""
        query = Query(request)
        query.refuse_others(_PAGING)
        after = query.text("from", ok=is_identifier, rule=IDENTIFIER_RULE)
        take = query.number("take", least=1, most=MOST_PER_PAGE, default=_DEFAULT_PAGE)
        query.done()

        found = await self._ledger.lanes(None if after is None else ClientId(after), take)

        following = found[-1].client_id if len(found) == take else None
        return json_answer({"lanes": [*map(records.lane, found)], "next": following})

    async def pause(self, request: Request) -> Response:
        """Start nothing more for an application."""
        client_id = self._client_id(request)

        await self._queue.pause(client_id)

        return Response(status_code=204)

    async def resume(self, request: Request) -> Response:
        """Let a paused application's deliveries go on."""
        client_id = self._client_id(request)

        await self._queue.resume(client_id)

        return Response(status_code=204)

    def _client_id(self, request: Request) -> ClientId:
        client_id = ClientId(request.path_params["client_id"])
        if client_id not in self._registry.applications:
            raise NotFound("The client does not exist")
        return client_id
