"""Applications in the registry: kept as given, changed in turn, followed by what they are owed."""

from dataclasses import replace
from datetime import timedelta
from typing import Never

import anyio
import pytest

from dispatcher.domain.applications import (
    Application,
    LogoutDelivery,
    ManagedBy,
    Mode,
    RegistrationRules,
    Subject,
    TokenType,
    application_from,
)
from dispatcher.domain.deliveries import DeliveryState, Reason
from dispatcher.domain.errors import Conflict, NotFound
from dispatcher.domain.events import ClientId
from tests.contract.steps import claim, owe, records, register
from tests.contract.stores import Reopen, Store
from tests.kit.builders import acknowledged, an_application, called_off, gave_up, put_off
from tests.kit.clock import FakeClock

OLD, NEW, OTHER = ("https://shop.example/old", "https://shop.example/new", "https://shop.example/x")

FULL = Application(
    client_id=ClientId("full"),
    name="Füll \ud800",
    document={"client_id": "full", "zzz": [1, {"b": None, "a": 0.5}], "name": "Füll"},
    urls=("https://full.example/bcl", "http://full.internal/bcl?x=1"),
    mode=Mode.CUSTOM,
    include_session_metadata=True,
    algorithm="ES256",
    session_required=True,
    delivery=LogoutDelivery(
        token_type=TokenType.JWT,
        subject=Subject.SID,
        timeout=timedelta(seconds=3),
        max_in_flight=4,
        horizon=timedelta(hours=2),
        allow_addresses=("10.0.0.0/8",),
        ca_file="/ca.pem",
        client_certificate_pem="CERTIFICATE",
    ),
    managed_by=ManagedBy.FILE,
    client_key_pem="-----BEGIN PRIVATE KEY-----",
    secret_hash="scrypt$salt$hash",
)


async def test_an_application_is_kept_word_for_word(store: Store, reopen: Reopen) -> None:
    """Everything of an application is there at once, and after a restart."""
    await store.create_application(FULL)
    at_once = store.applications[FULL.client_id]

    after = await reopen()

    assert at_once == FULL
    assert after.applications[FULL.client_id] == FULL
    assert list(after.applications[FULL.client_id].document) == list(FULL.document)


async def test_what_is_published_can_not_be_changed(store: Store) -> None:
    """A document that its giver changes later is not changed in the registry."""
    document: dict[str, object] = {"client_id": "shop"}
    await store.create_application(replace(an_application("shop"), document=document))

    document["name"] = "changed"

    assert store.applications[ClientId("shop")].document == {"client_id": "shop"}


async def test_rules_that_were_tightened_keep_no_store_from_loading(
    store: Store, reopen: Reopen
) -> None:
    """An application that today's rules would refuse is still known after a restart."""
    document = {
        "client_id": "shop",
        "name": "Shop",
        "oidc_logout": {"backchannel_logout_urls": ["http://shop.internal/bcl"]},
        "jwt_configuration": {"alg": "XS999"},
    }
    loose = RegistrationRules(allow_http=True, algorithms=("XS999",))
    await store.create_application(application_from(document, loose))

    after = await reopen()

    assert after.applications[ClientId("shop")].urls == ("http://shop.internal/bcl",)


async def test_applications_are_listed_oldest_first(store: Store, reopen: Reopen) -> None:
    """The order is that of creation, whatever is replaced, and outlives a restart."""
    await register(store, *map(an_application, ("wiki", "shop", "mail")))
    await store.replace_application(an_application("wiki", max_in_flight=3))

    after = await reopen()

    assert list(store.applications) == list(after.applications) == ["wiki", "shop", "mail"]


async def test_a_snapshot_does_not_change(store: Store) -> None:
    """Who holds a snapshot sees the registry as it was."""
    await store.create_application(an_application("shop"))
    snapshot = store.applications

    await store.create_application(an_application("mail"))

    assert list(snapshot) == ["shop"]
    assert list(store.applications) == ["shop", "mail"]


async def test_a_client_id_is_taken_once(store: Store) -> None:
    """A second application of the same client_id is a conflict."""
    await store.create_application(an_application("shop", max_in_flight=1))

    with pytest.raises(Conflict):
        await store.create_application(an_application("shop", max_in_flight=2))

    assert store.applications[ClientId("shop")].delivery.max_in_flight == 1


async def test_only_what_is_there_can_be_replaced(store: Store) -> None:
    """Replacing an unknown application is refused, and creates none."""
    with pytest.raises(NotFound):
        await store.replace_application(an_application("shop"))

    assert not store.applications


async def test_changes_at_one_moment_undo_nothing(store: Store, reopen: Reopen) -> None:
    """Each change is given the application as the one before left it, and returns what it made."""
    await store.create_application(an_application("shop", max_in_flight=1))

    def once_more(application: Application) -> Application:
        most = application.delivery.max_in_flight + 1
        return replace(application, delivery=replace(application.delivery, max_in_flight=most))

    returned: list[int] = []

    async def change() -> None:
        changed = await store.change_application(ClientId("shop"), once_more)
        returned.append(changed.delivery.max_in_flight)

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(change)
    after = await reopen()

    assert sorted(returned) == [*range(2, 7)]
    assert after.applications[ClientId("shop")].delivery.max_in_flight == 6


async def test_a_change_that_raises_changes_nothing(store: Store, reopen: Reopen) -> None:
    """What the change raises is raised; neither the application nor the next write suffers."""
    await store.create_application(an_application("shop"))
    before = store.applications

    def refuse(_: object) -> Never:
        raise Conflict

    for changed in (
        store.change_application(ClientId("shop"), refuse),
        store.delete_application(ClientId("shop"), refuse),
    ):
        with pytest.raises(Conflict):
            await changed
    with pytest.raises(NotFound):
        await store.change_application(ClientId("mail"), refuse)
    with pytest.raises(TypeError):
        await store.change_application(
            ClientId("shop"), lambda shop: replace(shop, document={"unwritable": object()})
        )
    after = await reopen()

    assert store.applications == after.applications == before


async def test_a_deleted_application_is_gone(store: Store, reopen: Reopen) -> None:
    """A deleted application is unknown; to delete it again is no error."""
    await store.create_application(an_application("shop"))
    await store.delete_application(ClientId("shop"))
    await store.delete_application(ClientId("shop"))

    after = await reopen()

    assert not store.applications
    assert not after.applications


async def test_pending_deliveries_follow_a_replaced_uri(store: Store) -> None:
    """What was owed to a URI that is taken away goes to the one that the same write adds."""
    await register(store, an_application("shop", urls=[OLD]))
    await owe(store, "shop")

    await store.replace_application(an_application("shop", urls=[NEW]))

    assert [delivery.uri for delivery in await claim(store)] == [NEW]


async def test_a_uri_that_stays_keeps_its_deliveries(store: Store) -> None:
    """Only what was owed to the URI that is taken away is moved."""
    await register(store, an_application("shop", urls=[OTHER, OLD]))
    await owe(store, "shop")

    await store.replace_application(an_application("shop", urls=[OTHER, NEW]))

    assert sorted(delivery.uri for delivery in await claim(store)) == [NEW, OTHER]


async def test_nothing_moves_where_nothing_is_added(store: Store) -> None:
    """A URI that is only taken away leaves its deliveries to be called off when they are sent."""
    await register(store, an_application("shop", urls=[OTHER, OLD]))
    await owe(store, "shop")

    await store.replace_application(an_application("shop", urls=[OTHER]))

    assert sorted(delivery.uri for delivery in await claim(store)) == [OLD, OTHER]


async def test_two_uris_replaced_by_one_do_not_collide(store: Store) -> None:
    """Where the new URI is owed the same event already, the second one stays where it is."""
    await register(store, an_application("shop", urls=[OLD, OTHER]))
    await owe(store, "shop")

    await store.replace_application(an_application("shop", urls=[NEW]))

    assert len(await records(store)) == 2
    assert NEW in {record.uri for record in await records(store)}


async def test_settled_deliveries_stay_where_they_went(store: Store) -> None:
    """History is not rewritten."""
    await register(store, an_application("shop", urls=[OLD]))
    await owe(store, "shop")
    await store.settle([acknowledged(one) for one in await claim(store)])

    await store.replace_application(an_application("shop", urls=[NEW]))

    assert [record.uri for record in await records(store)] == [OLD]


async def test_a_delivery_in_flight_follows_too(store: Store, clock: FakeClock) -> None:
    """What is in flight when its URI is replaced is tried next at the new one."""
    await register(store, an_application("shop", urls=[OLD]))
    await owe(store, "shop")
    (delivery,) = await claim(store)
    await store.replace_application(an_application("shop", urls=[NEW]))

    await store.settle([put_off(delivery, until=clock.steady())])

    assert [delivery.uri for delivery in await claim(store)] == [NEW]


@pytest.mark.parametrize("refused", [True, False])
async def test_the_old_uris_failure_is_not_the_new_ones(
    store: Store,
    refused: bool,  # noqa: FBT001 - a parameter of the test's table
) -> None:
    """What ended a delivery at a URI that was replaced meanwhile leaves the new one to be told."""
    await register(store, an_application("shop", urls=[OLD]))
    await owe(store, "shop")
    (delivery,) = await claim(store)
    await store.replace_application(an_application("shop", urls=[NEW]))

    held = await store.settle(
        [gave_up(delivery) if refused else called_off(delivery, Reason.NO_URI)]
    )

    assert held == [True]
    assert [record.state for record in await records(store)] == [DeliveryState.PENDING]
    assert [again.uri for again in await claim(store)] == [NEW]


async def test_an_acknowledgement_by_the_old_uri_counts(store: Store) -> None:
    """An application that acknowledged was told, whatever its URI is by now."""
    await register(store, an_application("shop", urls=[OLD]))
    await owe(store, "shop")
    (delivery,) = await claim(store)
    await store.replace_application(an_application("shop", urls=[NEW]))

    await store.settle([acknowledged(delivery)])

    assert [record.state for record in await records(store)] == [DeliveryState.DELIVERED]
