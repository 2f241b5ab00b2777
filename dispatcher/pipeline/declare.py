"""Declaring: what the operator's file names is written down at every start, where it is news.

A start that changes nothing of the registry waits for nobody who is at work on it.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from dispatcher.domain.applications import Application, ManagedBy
from dispatcher.domain.errors import Conflict, NotFound
from dispatcher.domain.sources import DeclaredClient, ManagementClient, Source
from dispatcher.ports import Registry, Verifier

Declared = TypeVar("Declared", Application, Source)


async def declare(applications: Sequence[Application], *, registry: Registry) -> Sequence[str]:
    """Create and replace *applications*; return a line for each that has left the file.

    Nothing is deleted: what left the file belongs to the management API from then on.
    """
    for application in applications:
        await _declared(application, registry)
    named = {application.client_id for application in applications}
    left = [
        application
        for application in registry.applications.values()
        if application.managed_by is ManagedBy.FILE and application.client_id not in named
    ]
    for application in left:
        # As it is by now: another replica may have handed it over before, and people gone on.
        with suppress(NotFound):
            await registry.change_application(application.client_id, _handed_over)
    return [
        f"application {application.client_id} has left the declarative file: it is kept, and "
        "managed by the API from now on"
        for application in left
    ]


async def _declared(application: Application, registry: Registry) -> None:
    """Create or replace *application*: as is due, unless another replica has just done so."""
    known = registry.applications.get(application.client_id)
    if known is not None and _the_same(application, known):
        return
    create, replaced = registry.create_application, registry.replace_application
    try:
        await (replaced if known else create)(application)
    except (Conflict, NotFound):
        await (create if known else replaced)(application)


def _the_same(one: Application, other: Application) -> bool:
    """Whether both are shown alike, to the byte: in Python 1, 1.0 and True are equal."""
    return one == other and repr(one.document) == repr(other.document)


def _handed_over(kept: Declared) -> Declared:
    """Return what has left the file as the API's to write."""
    return replace(kept, managed_by=ManagedBy.API)


async def declare_sources(sources: Sequence[Source], *, registry: Registry) -> Sequence[str]:
    """Create and replace *sources*; return a line for each that has left the file.

    Nothing is deleted: what left the file may still send, which its operator should know.
    """
    for source in sources:
        if source != registry.sources.get(source.name):
            await registry.put_source(source)
    named = {source.name for source in sources}
    left = [
        source
        for source in registry.sources.values()
        if source.managed_by is ManagedBy.FILE and source.name not in named
    ]
    for source in left:
        with suppress(NotFound):
            await registry.change_source(source.name, _handed_over)
    return [
        f"source {source.name} has left the declarative file: it is kept, and may still send events"
        for source in left
    ]


async def declare_clients(
    clients: Sequence[DeclaredClient], *, registry: Registry, verifier: Verifier
) -> Sequence[str]:
    """Create and replace management *clients*; return a line for each that has left the file.

    The file is their only home: who has left it is forgotten, and its access tokens with it.
    """
    for client in clients:
        secret_hash = await verifier.secret_hash(client.secret)
        await registry.put_management_client(
            ManagementClient(
                client_id=client.client_id, secret_hash=secret_hash, scopes=client.scopes
            )
        )
    left = await registry.keep_management_clients({client.client_id for client in clients})
    return [
        f"management client {client_id} has left the declarative file: it may do nothing any more"
        for client_id in left
    ]


def without_key(applications: Iterable[Application], algorithms: Sequence[str]) -> Sequence[str]:
    """Return a line for each of *applications* whose tokens no key of *algorithms* can sign.

    They were registered when there was one; what they are owed is withheld until there is again.
    """
    return [
        f"application {application.client_id} can not be told of any logout: there is no key for "
        f"its algorithm, {application.algorithm}"
        for application in applications
        if application.urls and application.algorithm not in algorithms
    ]
