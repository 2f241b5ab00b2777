"""``/api/v2/clients``: applications, as Auth0's Management API keeps its clients."""

import dataclasses
import secrets
import string
from collections.abc import Mapping

import anyio
from starlette.requests import Request
from starlette.responses import Response

from dispatcher.domain.applications import (
    FILE_ONLY,
    Application,
    ManagedBy,
    application_from,
    patched,
)
from dispatcher.domain.errors import Conflict, Fault, InvalidApplication
from dispatcher.domain.events import ClientId
from dispatcher.web.answers import json_answer
from dispatcher.web.bodies import read_document
from dispatcher.web.client_pages import ClientPages, shown
from dispatcher.web.doors import Doors
from dispatcher.web.problems import InexistentClient, NotOverTheApi

_ALPHABET = string.ascii_letters + string.digits
_ID_LENGTH = 32
_NOT_KEPT = frozenset({"managed_by", "client_secret"})
"""Members of an answer or of Auth0's that are not the writer's to set, or not ours to keep."""


class Clients:
    """Reads and writes applications."""

    def __init__(self, doors: Doors) -> None:
        self._registry = doors.registry
        self._check = doors.check_application
        self._rules = dataclasses.replace(doors.rules, managed_by=ManagedBy.API)
        self._pages = ClientPages(doors.registry)
        # What is read here is written back whole: two writers at once would undo each other.
        self._writing = anyio.Lock()

    async def page(self, request: Request) -> Response:
        """List applications."""
        return self._pages.page(request)

    async def show(self, request: Request) -> Response:
        """Show one application."""
        return self._pages.one(request, self._existing(request))

    async def create(self, request: Request) -> Response:
        """Create an application; its client_id is made here unless it is given."""
        document = _kept(await read_document(request))
        _refuse_file_only(document)
        if document.get("client_id") is None:
            document["client_id"] = _new_client_id()
        application = self._read(document)

        await self._registry.create_application(application)

        return json_answer(shown(application), status=201)

    async def update(self, request: Request) -> Response:
        """Replace each root member that is given."""
        patch = _kept(await read_document(request))
        _refuse_file_only(patch)

        async with self._writing:
            application = self._patched(self._writable(request), patch)
            await self._registry.replace_application(application)

        return json_answer(shown(application))

    async def delete(self, request: Request) -> Response:
        """Delete an application; one that is not there is deleted already."""
        client_id = ClientId(request.path_params["client_id"])

        async with self._writing:
            if client_id in self._registry.applications:
                self._writable(request)
                await self._registry.delete_application(client_id)

        return Response(status_code=204)

    def _existing(self, request: Request) -> Application:
        client_id = ClientId(request.path_params["client_id"])
        application = self._registry.applications.get(client_id)
        if application is None:
            raise InexistentClient
        return application

    def _writable(self, request: Request) -> Application:
        application = self._existing(request)
        if application.managed_by is ManagedBy.FILE:
            raise Conflict(
                "This client belongs to the declarative file (managed_by: file): change it there."
            )
        return application

    def _patched(self, existing: Application, patch: Mapping[str, object]) -> Application:
        if patch.get("client_id", existing.client_id) != existing.client_id:
            raise InvalidApplication([Fault("client_id", "can not be changed")])
        merged = patched(existing.document, patch)
        delivery = merged.get("logout_delivery")
        if (
            "logout_delivery" not in patch
            and existing.client_key_pem
            and isinstance(delivery, dict)
        ):
            # The key is not part of the document; a write that does not speak of it leaves it be.
            merged["logout_delivery"] = {**delivery, "client_key_pem": existing.client_key_pem}
        return self._read(merged)

    def _read(self, document: Mapping[str, object]) -> Application:
        application = application_from(document, self._rules)
        faults = self._check(application)
        if faults:
            raise InvalidApplication(faults)
        return application


def _kept(document: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in document.items() if name not in _NOT_KEPT}


def _refuse_file_only(document: Mapping[str, object]) -> None:
    """Refuse what opens the disk or the network inside: no tenant may write it."""
    delivery = document.get("logout_delivery")
    named = [name for name in FILE_ONLY if isinstance(delivery, dict) and name in delivery]
    if named:
        names = ", ".join(f"logout_delivery.{name}" for name in named)
        raise NotOverTheApi(f"Accepted from the declarative file only: {names}")


def _new_client_id() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(_ID_LENGTH))
