"""What is kept in memory beside the store: the registry's applications and sources.

What writes owns them: a command replaces the whole, and what is published is what was committed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from dispatcher.domain.applications import Application
from dispatcher.domain.events import ClientId, SourceName
from dispatcher.domain.sources import Source


@dataclass(frozen=True, slots=True)
class Books:
    """Immutable snapshots of the registry."""

    applications: Mapping[ClientId, Application] = field(
        default_factory=lambda: MappingProxyType({})
    )
    sources: Mapping[SourceName, Source] = field(default_factory=lambda: MappingProxyType({}))

    def with_application(self, application: Application) -> "Books":
        """Return the books with *application* added, or in the place of its older record."""
        added = {**self.applications, application.client_id: application}
        return replace(self, applications=MappingProxyType(added))

    def without_application(self, client_id: ClientId) -> "Books":
        """Return the books without that application."""
        left = {name: kept for name, kept in self.applications.items() if name != client_id}
        return replace(self, applications=MappingProxyType(left))

    def with_source(self, source: Source) -> "Books":
        """Return the books with *source* added or replaced."""
        return replace(self, sources=MappingProxyType({**self.sources, source.name: source}))

    def without_source(self, name: SourceName) -> "Books":
        """Return the books without the source *name*."""
        others = {known: source for known, source in self.sources.items() if known != name}
        return replace(self, sources=MappingProxyType(others))
