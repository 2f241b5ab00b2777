"""Declaring: the operator's file has the last word on what it names, and deletes nothing."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from dispatcher.domain.applications import Application, ManagedBy
from dispatcher.domain.events import ClientId, SourceName
from dispatcher.domain.sources import Source
from dispatcher.pipeline.declare import declare, declare_sources, without_key
from dispatcher.ports import Registry
from tests.kit.builders import an_application
from tests.pipeline.stage import Stage


def filed(client_id: str, *urls: str) -> Application:
    """Return an application as the file names it."""
    urls = urls or (f"https://{client_id}.example/out",)
    return an_application(client_id, urls=urls, managed_by=ManagedBy.FILE)


def a_source(name: str) -> Source:
    """Return a source as the file names it."""
    return Source(name=SourceName(name), bearer_tokens=("a-token",))


async def test_what_the_file_names_is_created(stage: Stage) -> None:
    """At the first start each application of the file is there, in its order, owned by it."""
    told = await declare([filed("shop"), filed("crm")], registry=stage.store)

    assert told == []
    assert list(stage.store.applications) == ["shop", "crm"]
    assert {one.managed_by for one in stage.store.applications.values()} == {ManagedBy.FILE}


async def test_what_the_file_changes_is_replaced(stage: Stage) -> None:
    """At the next start an application is as the file says now, and what it is owed follows."""
    await declare([filed("shop", "https://shop.example/old")], registry=stage.store)
    await stage.owe(stage.store.applications[ClientId("shop")])

    told = await declare([filed("shop", "https://shop.example/new")], registry=stage.store)

    assert told == []
    assert stage.store.applications[ClientId("shop")].urls == ("https://shop.example/new",)
    assert [record.uri for record in await stage.records()] == ["https://shop.example/new"]


async def test_what_is_as_it_was_is_not_written(stage: Stage) -> None:
    """At a start with the same file nothing is written of what it names."""
    applications, sources = [filed("shop"), filed("crm")], [a_source("idp")]
    await declare(applications, registry=stage.store)
    await declare_sources(sources, registry=stage.store)
    before = stage.store.applications, stage.store.sources

    await declare([filed("shop"), filed("crm")], registry=stage.store)
    await declare_sources([a_source("idp")], registry=stage.store)

    assert stage.store.applications is before[0]
    assert stage.store.sources is before[1]


@pytest.mark.parametrize(("before", "now"), [(1, True), (1, 1.0), ([0], [False])])
async def test_what_is_shown_otherwise_is_written(
    stage: Stage, before: object, now: object
) -> None:
    """A member that is another in JSON is news, though Python calls both equal."""
    await declare([_with(before)], registry=stage.store)

    await declare([_with(now)], registry=stage.store)

    shown = stage.store.applications[ClientId("shop")].document["client_metadata"]
    assert repr(shown) == repr(now)


def _with(member: object) -> Application:
    application = filed("shop")
    return replace(application, document={**application.document, "client_metadata": member})


async def test_the_file_takes_over_what_the_api_made(stage: Stage) -> None:
    """An application that the management API made belongs to the file once that names it."""
    await stage.store.create_application(an_application("shop"))

    await declare([filed("shop")], registry=stage.store)

    assert stage.store.applications[ClientId("shop")] == filed("shop")


async def test_what_left_the_file_is_kept_and_handed_over(stage: Stage) -> None:
    """What the file no longer names is the API's from then on, unchanged, and it is said once."""
    await declare([filed("shop"), filed("crm")], registry=stage.store)

    told = await declare([filed("crm")], registry=stage.store)
    told_again = await declare([filed("crm")], registry=stage.store)

    (line,) = told
    assert line.startswith("application shop has left the declarative file")
    assert told_again == []
    kept = stage.store.applications[ClientId("shop")]
    assert kept == replace(filed("shop"), managed_by=ManagedBy.API)


async def test_what_others_do_meanwhile_is_not_undone(stage: Stage) -> None:
    """What another start has handed over, and people have changed or deleted since, stays so."""

    class Between:
        """The registry, in which others are at work between a look and a write."""

        def __getattr__(self, name: str) -> Any:
            """Return whatever else the registry has."""
            return getattr(stage.store, name)

        async def change_application(
            self, client_id: ClientId, change: Callable[[Application], Application]
        ) -> Application:
            """Change it after somebody has been there before."""
            if client_id == "gone":
                await stage.store.delete_application(client_id)
            else:
                await stage.store.replace_application(an_application("shop", max_in_flight=7))
            return await stage.store.change_application(client_id, change)

    await declare([filed("shop"), filed("gone")], registry=stage.store)

    await declare([], registry=cast("Registry", Between()))

    assert dict(stage.store.applications) == {"shop": an_application("shop", max_in_flight=7)}


async def test_what_was_never_in_the_file_is_left_alone(stage: Stage) -> None:
    """An application of the API is no concern of a file that does not name it."""
    await stage.store.create_application(an_application("crm"))

    told = await declare([], registry=stage.store)

    assert told == []
    assert stage.store.applications[ClientId("crm")] == an_application("crm")


async def test_sources_are_created_and_replaced(stage: Stage) -> None:
    """Each source is as the file says now."""
    await declare_sources([a_source("idp")], registry=stage.store)
    changed = replace(a_source("idp"), bearer_tokens=("another",))

    told = await declare_sources([changed, a_source("crm")], registry=stage.store)

    assert told == []
    assert stage.store.sources == {"idp": changed, "crm": a_source("crm")}


async def test_a_source_that_left_the_file_is_told_of(stage: Stage) -> None:
    """That a source which left the file may still send is said, once, and never its secrets."""
    await declare_sources([a_source("idp"), a_source("crm")], registry=stage.store)

    told = await declare_sources([a_source("crm")], registry=stage.store)
    told_again = await declare_sources([a_source("crm")], registry=stage.store)

    (line,) = told
    assert line.startswith("source idp has left the declarative file")
    assert "a-token" not in line
    assert told_again == []
    kept = stage.store.sources[SourceName("idp")]
    assert kept == replace(a_source("idp"), managed_by=ManagedBy.API)


def test_whose_key_is_gone_is_told() -> None:
    """An application that is to be told, and for whose algorithm there is no key, is named."""
    silent = an_application("silent", urls=(), algorithm="PS256")
    applications = [filed("shop"), replace(filed("crm"), algorithm="PS256"), silent]

    told = without_key(applications, ["RS256", "ES256"])

    assert [line.split()[1] for line in told] == ["crm"]
    assert "PS256" in told[0]
