"""Declaring: what the operator's file names is written down at every start."""

from collections.abc import Sequence
from dataclasses import replace

from dispatcher.domain.applications import Application, ManagedBy
from dispatcher.domain.sources import Source
from dispatcher.ports import Registry


async def declare(applications: Sequence[Application], *, registry: Registry) -> Sequence[str]:
    """Create and replace *applications*; return a line for each that has left the file.

    Nothing is deleted: what left the file belongs to the management API from then on.
    """
    known = registry.applications
    for application in applications:
        if application.client_id in known:
            await registry.replace_application(application)
        else:
            await registry.create_application(application)
    named = {application.client_id for application in applications}
    left = [
        application
        for application in known.values()
        if application.managed_by is ManagedBy.FILE and application.client_id not in named
    ]
    for application in left:
        await registry.replace_application(replace(application, managed_by=ManagedBy.API))
    return [
        f"application {application.client_id} has left the declarative file: it is kept, and "
        "managed by the API from now on"
        for application in left
    ]


async def declare_sources(sources: Sequence[Source], *, registry: Registry) -> Sequence[str]:
    """Create and replace *sources*; return a line for each that has left the file.

    Nothing is deleted: what left the file may still send, which its operator should know.
    """
    known = registry.sources
    for source in sources:
        await registry.put_source(source)
    named = {source.name for source in sources}
    left = [
        source
        for source in known.values()
        if source.managed_by is ManagedBy.FILE and source.name not in named
    ]
    for source in left:
        await registry.put_source(replace(source, managed_by=ManagedBy.API))
    return [
        f"source {source.name} has left the declarative file: it is kept, and may still send events"
        for source in left
    ]
