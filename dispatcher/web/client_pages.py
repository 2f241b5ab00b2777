"""Pages of ``/api/v2/clients``, in each of the forms that Auth0's SDKs ask for.

Without ``include_totals`` a page is a bare array; with it, or by ``from`` and ``take``, an object.
A page beyond the end is empty, for SDKs read on until they meet one.
"""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from dispatcher.domain.applications import Application
from dispatcher.domain.ledger import MOST_PER_PAGE
from dispatcher.ports import Registry
from dispatcher.web.answers import json_answer
from dispatcher.web.queries import Query

_LAST_PAGE = 10_000_000
_DEFAULT_PAGE = 50


class ClientPages:
    """Lists applications."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def page(self, request: Request) -> Response:
        """Answer one page, in the form that was asked for."""
        query = Query(request)
        found = self._found(query)
        fields = _Fields(query)
        answer = (
            _by_cursor(query, found, fields)
            if "from" in query or "take" in query
            else _by_number(query, found, fields)
        )
        query.done()
        return json_answer(answer)

    def one(self, request: Request, application: Application) -> Response:
        """Answer one application."""
        query = Query(request)
        fields = _Fields(query)
        query.done()
        return json_answer(fields.of(application))

    def _found(self, query: Query) -> list[Application]:
        """Return the applications that pass the filters which Auth0's own tools use.

        None of ours is Auth0's global client; other filters are not refused, as Auth0 refuses none.
        """
        is_global, first_party = query.flag("is_global"), query.flag("is_first_party")
        app_types = query.names("app_type")
        return [
            application
            for application in self._registry.applications.values()
            if not is_global
            and (first_party is None or _first_party(application) is first_party)
            and (app_types is None or application.document.get("app_type") in app_types)
        ]


def shown(application: Application) -> dict[str, object]:
    """Return the client object as it is shown."""
    return {
        "client_id": application.client_id,
        "name": application.name,
        **application.document,
        "managed_by": application.managed_by.value,
    }


def _first_party(application: Application) -> bool:
    return application.document.get("is_first_party", True) is True


class _Fields:
    """Which members of a client object are asked for."""

    def __init__(self, query: Query) -> None:
        self._names = query.names("fields")
        self._included = query.flag("include_fields") is not False

    def of(self, application: Application) -> dict[str, object]:
        """Return the members of *application* that are asked for."""
        document = shown(application)
        if self._names is None:
            return document
        return {
            name: value
            for name, value in document.items()
            if (name in self._names) is self._included
        }


def _by_number(query: Query, found: Sequence[Application], fields: _Fields) -> object:
    page = query.number("page", least=0, most=_LAST_PAGE, default=0)
    limit = query.number("per_page", least=0, most=MOST_PER_PAGE, default=_DEFAULT_PAGE)
    start = page * limit
    clients = [fields.of(application) for application in found[start : start + limit]]
    if not query.flag("include_totals"):
        return clients
    return {"total": len(found), "start": start, "limit": limit, "clients": clients}


def _by_cursor(query: Query, found: Sequence[Application], fields: _Fields) -> object:
    take = query.number("take", least=1, most=MOST_PER_PAGE, default=_DEFAULT_PAGE)
    start = _start(query, found)
    clients = [fields.of(application) for application in found[start : start + take]]
    end = start + len(clients)
    following = f"{end}.{found[end - 1].client_id}" if end < len(found) else None
    return {"clients": clients, "next": following}


def _start(query: Query, found: Sequence[Application]) -> int:
    """Return where the page starts: after the client that the cursor names.

    Where that one has been deleted meanwhile, its place is taken from the cursor.
    """
    cursor = query.text("from", ok=_is_cursor, rule="a value that next had") or "0."
    place, _, client_id = cursor.partition(".")
    places = (index for index, one in enumerate(found, 1) if one.client_id == client_id)
    return next(places, min(int(place), len(found)))


def _is_cursor(text: str) -> bool:
    place = text.partition(".")[0]
    return place.isascii() and place.isdigit() and len(place) <= len(str(_LAST_PAGE))
