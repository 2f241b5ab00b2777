"""Sources in the registry: kept with their secrets and proofs, and changed in turn."""

from dataclasses import replace
from typing import Never

import anyio
import pytest

from dispatcher.domain.errors import Conflict, NotFound
from dispatcher.domain.events import Audience, SourceName
from dispatcher.domain.sources import (
    Issuer,
    Source,
    SourceFormat,
)
from tests.contract.stores import Reopen, Store

SOURCE = Source(
    name=SourceName("op"),
    secrets=("whsec_a", "whsec_b"),
    bearer_tokens=("token",),
    audience=Audience.SUBSCRIBERS,
    initiators=frozenset({"rp-logout"}),
)


async def test_a_source_is_kept_with_its_secrets(store: Store, reopen: Reopen) -> None:
    """A source is there at once and after a restart; putting it again replaces it."""
    await store.put_source(SOURCE)
    at_once = store.sources[SOURCE.name]
    renewed = replace(SOURCE, secrets=("whsec_c",), initiators=None)
    await store.put_source(renewed)

    after = await reopen()

    assert at_once == SOURCE
    assert dict(after.sources) == {SOURCE.name: renewed}


async def test_a_name_of_a_source_is_taken_once(store: Store) -> None:
    """A second source of the same name is a conflict."""
    await store.create_source(SOURCE)

    with pytest.raises(Conflict):
        await store.create_source(replace(SOURCE, secrets=("whsec_c",)))

    assert store.sources[SOURCE.name] == SOURCE


async def test_changes_of_a_source_undo_nothing(store: Store, reopen: Reopen) -> None:
    """Each change is given the source as the one before left it; one that is not there has none."""
    await store.create_source(replace(SOURCE, secrets=()))

    def one_more(source: Source) -> Source:
        return replace(source, secrets=(*source.secrets, f"whsec_{len(source.secrets)}"))

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(store.change_source, SOURCE.name, one_more)
    with pytest.raises(NotFound):
        await store.change_source(SourceName("nobody"), one_more)
    after = await reopen()

    assert after.sources[SOURCE.name].secrets == tuple(f"whsec_{number}" for number in range(5))
    assert list(after.sources) == [SOURCE.name]


async def test_a_source_is_kept_with_every_proof(store: Store, reopen: Reopen) -> None:
    """Of whatever format a source is and however it proves itself, it comes back as it was."""
    kinds = [
        Source(
            name=SourceName(kind),
            format=kind,
            headers=("X-Key: one", "X-Key: two"),
            hmac_secrets=("one", "two"),
            issuer=Issuer(issuer="https://a", jwks_uri="https://a/jwks", expected_aud="b"),
        )
        for kind in SourceFormat
    ]
    for source in kinds:
        await store.put_source(source)

    after = await reopen()

    assert list(after.sources.values()) == sorted(kinds, key=lambda one: one.name)


async def test_a_change_of_a_source_that_raises_changes_nothing(
    store: Store, reopen: Reopen
) -> None:
    """What the change raises is raised, and so is what keeps a source from being deleted."""
    await store.create_source(SOURCE)

    def refuse(_: object) -> Never:
        raise Conflict

    for changed in (
        store.change_source(SOURCE.name, refuse),
        store.delete_source(SOURCE.name, refuse),
    ):
        with pytest.raises(Conflict):
            await changed
    after = await reopen()

    assert store.sources == after.sources == {SOURCE.name: SOURCE}


async def test_a_source_that_is_deleted_is_forgotten(store: Store, reopen: Reopen) -> None:
    """What is deleted does not come back with the next start; an unknown name is no error."""
    source = Source(name=SourceName("hr"), secrets=("whsec_x",))
    await store.put_source(source)
    await store.delete_source(SourceName("hr"))
    await store.delete_source(SourceName("nobody"))
    gone = "hr" not in store.sources

    again = await reopen()

    assert gone
    assert "hr" not in again.sources
