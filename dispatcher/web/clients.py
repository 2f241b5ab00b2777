"""``/api/v2/clients``: applications, as Auth0's Management API keeps its clients.

Of a ``client_secret`` only the hash is kept. It is shown once, when it is made.
"""

import dataclasses
import secrets
import string
from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response

from dispatcher.domain.applications import (
    FILE_ONLY,
    Application,
    ManagedBy,
    application_from,
    patched,
)
from dispatcher.domain.errors import Conflict, Fault, InvalidApplication, NotFound
from dispatcher.domain.events import IDENTIFIER_RULE, ClientId, is_identifier
from dispatcher.web.answers import json_answer
from dispatcher.web.bodies import read_document
from dispatcher.web.client_pages import ClientPages, shown
from dispatcher.web.doors import Doors
from dispatcher.web.problems import InexistentClient, NotOverTheApi

_ALPHABET = string.ascii_letters + string.digits
_ID_LENGTH, _SECRET_LENGTH = 32, 64
_NOT_KEPT = frozenset({"managed_by", "client_secret"})
"""Members that are not the writer's to set, or of which only the hash is kept."""


class Clients:
    """Reads and writes applications."""

    def __init__(self, doors: Doors) -> None:
        self._registry = doors.registry
        self._verifier = doors.verifier
        self._check = doors.check_application
        self._rules = dataclasses.replace(doors.rules, managed_by=ManagedBy.API)
        self._pages = ClientPages(doors.registry)

    async def page(self, request: Request) -> Response:
        """List applications."""
        return self._pages.page(request)

    async def show(self, request: Request) -> Response:
        """Show one application."""
        return self._pages.one(request, self._existing(request))

    async def create(self, request: Request) -> Response:
        """Create an application; its client_id and client_secret are made here unless given."""
        given = await read_document(request)
        document = patched({}, _kept(given))
        _refuse_file_only(document)
        document.setdefault("client_id", _random(_ID_LENGTH))
        application = self._read(document)
        secret = _secret_in(given) or _random(_SECRET_LENGTH)

        secret_hash = await self._verifier.secret_hash(secret)
        application = dataclasses.replace(application, secret_hash=secret_hash)
        await self._registry.create_application(application)

        return json_answer(shown(application) | {"client_secret": secret}, status=201)

    async def update(self, request: Request) -> Response:
        """Replace each root member that is given."""
        given = await read_document(request)
        patch = _kept(given)
        _refuse_file_only(patch)
        secret = _secret_in(given)
        # Refused here, where it can be, before a secret is hashed or anybody waits for it.
        self._patched(_writable(self._existing(request)), patch)
        secret_hash = None if secret is None else await self._verifier.secret_hash(secret)

        def merge(existing: Application) -> Application:
            kept = secret_hash if "client_secret" in given else existing.secret_hash
            return dataclasses.replace(self._patched(existing, patch), secret_hash=kept)

        return json_answer(shown(await self._change(request, merge)))

    async def rotate_secret(self, request: Request) -> Response:
        """Make another client_secret; the one before is worth nothing from then on."""
        secret = _random(_SECRET_LENGTH)
        _writable(self._existing(request))
        secret_hash = await self._verifier.secret_hash(secret)

        application = await self._change(
            request, lambda existing: dataclasses.replace(existing, secret_hash=secret_hash)
        )

        return json_answer(shown(application) | {"client_secret": secret})

    async def delete(self, request: Request) -> Response:
        """Delete an application; one that is not there is deleted already."""
        client_id = ClientId(request.path_params["client_id"])

        if client_id in self._registry.applications:
            await self._registry.delete_application(client_id, _writable)

        return Response(status_code=204)

    async def _change(
        self, request: Request, change: Callable[[Application], Application]
    ) -> Application:
        """Write what *change* makes of the application as it is: others may write meanwhile."""
        client_id = ClientId(request.path_params["client_id"])
        try:
            return await self._registry.change_application(
                client_id, lambda existing: change(_writable(existing))
            )
        except NotFound:
            raise InexistentClient from None

    def _existing(self, request: Request) -> Application:
        client_id = ClientId(request.path_params["client_id"])
        application = self._registry.applications.get(client_id)
        if application is None:
            raise InexistentClient
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


def _writable(application: Application) -> Application:
    """Return *application*; raise Conflict where it is not the API's to write."""
    if application.managed_by is ManagedBy.FILE:
        raise Conflict(
            "This client belongs to the declarative file (managed_by: file): change it there."
        )
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


def _secret_in(given: Mapping[str, object]) -> str | None:
    """Return the client_secret that the writer wants; None where it leaves it to us, or removes it.

    Raises InvalidApplication where it is none, never quoting it.
    """
    secret = given.get("client_secret")
    if secret is None or (isinstance(secret, str) and is_identifier(secret)):
        return secret
    raise InvalidApplication([Fault("client_secret", f"must be {IDENTIFIER_RULE}")])


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
