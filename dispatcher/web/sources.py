"""``/api/v2/sources``: who may send events. Secrets are written and never shown again."""

import base64
import secrets
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from dispatcher.domain.applications import ManagedBy
from dispatcher.domain.errors import Conflict, Fault, InvalidSettings, NotFound
from dispatcher.domain.events import SourceName
from dispatcher.domain.ledger import MOST_PER_PAGE
from dispatcher.domain.sources import (
    SECRET_MEMBERS,
    Source,
    SourceFormat,
    document_of,
    source_from,
)
from dispatcher.web.answers import json_answer
from dispatcher.web.bodies import read_document
from dispatcher.web.doors import Doors
from dispatcher.web.problems import InvalidBody, NotOverTheApi
from dispatcher.web.queries import Query

_DEFAULT_PAGE = 50
_PAGING = frozenset({"from", "take"})
_PLURALS: Mapping[str, str] = {name: f"{name}s" for name in SECRET_MEMBERS}
_FILE_ONLY = "jwks_uri"
"""What we would fetch from wherever it says: no tenant may point us into the network inside."""
_SIGNING = (SourceFormat.NATIVE, SourceFormat.CLOUDEVENTS)
"""Formats whose senders sign as Standard Webhooks says, with a secret that we can make."""
_SECRET_BYTES = 32
_NOT_THERE = "The source does not exist"


class Sources:
    """Reads and writes sources."""

    def __init__(self, doors: Doors) -> None:
        self._registry = doors.registry
        self._check = doors.check_source
        self._allow_http = doors.rules.allow_http

    async def page(self, request: Request) -> Response:
        """List sources, by name."""
        query = Query(request)
        query.refuse_others(_PAGING)
        after = query.text("from") or ""
        take = query.number("take", least=1, most=MOST_PER_PAGE, default=_DEFAULT_PAGE)
        query.done()

        known = self._registry.sources
        names = [name for name in sorted(known) if name > after][:take]

        following = names[-1] if len(names) == take else None
        return json_answer({"sources": [_shown(known[name]) for name in names], "next": following})

    async def show(self, request: Request) -> Response:
        """Show one source."""
        return json_answer(_shown(self._existing(request)))

    async def create(self, request: Request) -> Response:
        """Create a source; one that is given no proof and can sign gets a secret, shown once."""
        given = _patched({}, await read_document(request))
        _refuse_file_only(given)
        made = _new_secret(given)
        source = self._read({**given, **made})

        await self._registry.create_source(source)

        return json_answer(_shown(source) | made, status=201)

    async def update(self, request: Request) -> Response:
        """Replace each member that is given; null removes it.

        A kind of secret is replaced whole, so that old and new are valid together for as long as
        both are given.
        """
        patch = await read_document(request)
        _refuse_file_only(patch)

        def merge(existing: Source) -> Source:
            if patch.get("name", _writable(existing).name) != existing.name:
                raise InvalidBody([Fault("name", "can not be changed")])
            return self._read(_patched(document_of(existing), patch))

        existing = self._existing(request)
        merge(existing)  # refused here, where it can be, before anybody waits for it
        try:
            source = await self._registry.change_source(existing.name, merge)
        except NotFound:
            raise NotFound(_NOT_THERE) from None
        return json_answer(_shown(source))

    async def delete(self, request: Request) -> Response:
        """Delete a source; one that is not there is deleted already."""
        name = SourceName(request.path_params["name"])

        if name in self._registry.sources:
            await self._registry.delete_source(name, _writable)

        return Response(status_code=204)

    def _existing(self, request: Request) -> Source:
        source = self._registry.sources.get(SourceName(request.path_params["name"]))
        if source is None:
            raise NotFound(_NOT_THERE)
        return source

    def _read(self, document: Mapping[str, object]) -> Source:
        try:
            source = source_from(document, allow_http=self._allow_http, managed_by=ManagedBy.API)
        except InvalidSettings as error:
            raise InvalidBody(error.faults) from None
        if faults := self._check(source):
            raise InvalidBody(faults)
        return source


def _writable(source: Source) -> Source:
    """Return *source*; raise Conflict where it is not the API's to write."""
    if source.managed_by is ManagedBy.FILE:
        raise Conflict(
            "This source belongs to the declarative file (managed_by: file): change it there."
        )
    return source


def _refuse_file_only(given: Mapping[str, object]) -> None:
    if _FILE_ONLY in given:
        raise NotOverTheApi(f"Accepted from the declarative file only: {_FILE_ONLY}")


def _new_secret(given: Mapping[str, object]) -> dict[str, str]:
    """Make a secret for a source that was given no proof and whose sender can sign."""
    proven = any(name in given for pair in _PLURALS.items() for name in pair)
    if proven or given.get("format", SourceFormat.NATIVE) not in _SIGNING:
        return {}
    made = base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode("ascii")
    return {"secret": f"whsec_{made}"}


def _patched(document: dict[str, object], patch: Mapping[str, object]) -> dict[str, object]:
    for one, several in _PLURALS.items():
        if one in patch or several in patch:
            document.pop(several, None)
    merged = {**document, **patch}
    return {name: value for name, value in merged.items() if value is not None}


def _shown(source: Source) -> dict[str, object]:
    """Return a source without its secrets: how many there are of each kind stands for them."""
    document = document_of(source)
    held = {one: document.pop(several, ()) for one, several in _PLURALS.items()}
    counts = {one: len(kept) for one, kept in held.items() if isinstance(kept, list)}
    return {**document, "proofs": counts, "managed_by": source.managed_by.value}
