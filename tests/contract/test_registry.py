"""The registry: applications, sources, management clients and their access tokens."""

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
from dispatcher.domain.events import Audience, ClientId, SourceName
from dispatcher.domain.sources import (
    Access,
    Issuer,
    ManagementClient,
    Scope,
    Source,
    SourceFormat,
)
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

SOURCE = Source(
    name=SourceName("op"),
    secrets=("whsec_a", "whsec_b"),
    bearer_tokens=("token",),
    audience=Audience.SUBSCRIBERS,
    initiators=frozenset({"rp-logout"}),
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
    await store.create_source(SOURCE)
    before, sources = store.applications, store.sources

    def refuse(_: object) -> Never:
        raise Conflict

    for changed in (
        store.change_application(ClientId("shop"), refuse),
        store.delete_application(ClientId("shop"), refuse),
        store.change_source(SOURCE.name, refuse),
        store.delete_source(SOURCE.name, refuse),
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
    assert store.sources == after.sources == sources


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


async def test_a_management_client_is_kept(store: Store) -> None:
    """A management client is found by its name, as it was put last."""
    client = ManagementClient(
        client_id=ClientId("ops"), secret_hash="hash", scopes=frozenset({Scope.READ_CLIENTS})
    )
    await store.put_management_client(replace(client, secret_hash="older"))
    await store.put_management_client(client)

    found = await store.management_client(client.client_id)

    assert found == client
    assert await store.management_client(ClientId("nobody")) is None


READ, ROTATE = Scope.READ_EVENTS, Scope.ROTATE_KEYS


def a_client(*scopes: Scope, client_id: str = "ops", secret_hash: str = "hash") -> ManagementClient:
    """Return a management client that may do so much."""
    return ManagementClient(
        client_id=ClientId(client_id), secret_hash=secret_hash, scopes=frozenset(scopes)
    )


def an_access(clock: FakeClock, *scopes: Scope, client_id: str = "ops") -> Access:
    """Return what a token allows for an hour."""
    return Access(
        client_id=ClientId(client_id),
        scopes=frozenset(scopes),
        expires_at=clock.now() + timedelta(hours=1),
    )


async def test_an_access_token_is_known_until_it_expires(store: Store, clock: FakeClock) -> None:
    """What a token allows is known by its hash, up to its end."""
    access = an_access(clock, READ, ROTATE)
    await store.put_management_client(a_client(READ, ROTATE))
    await store.grant("hash", access)

    before = await store.access("hash")
    clock.advance(hours=1)

    assert before == access
    assert await store.access("hash") is None
    assert await store.access("another") is None


async def test_a_revoked_token_is_forgotten(store: Store, clock: FakeClock) -> None:
    """A revoked token allows nothing; to revoke an unknown one is no error."""
    await store.put_management_client(a_client(READ))
    await store.grant("hash", an_access(clock, READ))
    before = await store.access("hash")

    await store.revoke("hash")
    await store.revoke("hash")

    assert before is not None
    assert await store.access("hash") is None


async def test_a_token_of_nobody_opens_nothing(store: Store, clock: FakeClock) -> None:
    """A token whose client is not there allows nothing, nor once there is one of that name."""
    await store.grant("hash", an_access(clock, READ))
    before = await store.access("hash")

    await store.put_management_client(a_client(READ))

    assert before is None
    assert await store.access("hash") is None


async def test_a_token_allows_no_more_than_its_client_may(store: Store, clock: FakeClock) -> None:
    """What a token was granted beyond its client's scopes it does not allow."""
    await store.put_management_client(a_client(READ))

    await store.grant("hash", an_access(clock, READ, ROTATE))

    assert await store.access("hash") == an_access(clock, READ)


async def test_scopes_that_are_taken_away_take_the_tokens_along(
    store: Store, clock: FakeClock
) -> None:
    """A client whose scopes were changed asks for a new token; the others' are left alone."""
    for name in ("ops", "audit"):
        await store.put_management_client(a_client(READ, ROTATE, client_id=name))
        await store.grant(name, an_access(clock, READ, ROTATE, client_id=name))

    await store.put_management_client(a_client(READ))
    await store.put_management_client(a_client(READ, ROTATE))

    assert await store.access("ops") is None
    assert await store.access("audit") == an_access(clock, READ, ROTATE, client_id="audit")


async def test_a_secret_that_is_hashed_anew_takes_no_token(store: Store, clock: FakeClock) -> None:
    """One and the same secret has another hash at each start: tokens outlive a restart."""
    await store.put_management_client(a_client(READ, secret_hash="salted"))
    await store.grant("hash", an_access(clock, READ))

    await store.put_management_client(a_client(READ, secret_hash="salted otherwise"))

    assert await store.access("hash") == an_access(clock, READ)


async def test_management_clients_that_are_not_kept_are_gone_with_their_tokens(
    store: Store, clock: FakeClock, reopen: Reopen
) -> None:
    """Who is not named can do nothing any more, even where a client of that name comes back."""
    for name in ("ops", "audit", "left"):
        await store.put_management_client(a_client(READ, client_id=name))
        await store.grant(name, an_access(clock, READ, client_id=name))

    gone = await store.keep_management_clients([ClientId("audit"), ClientId("unheard-of")])
    again = await store.keep_management_clients({ClientId("audit")})
    await store.put_management_client(a_client(READ, client_id="left"))

    after = await reopen()
    assert (list(gone), list(again)) == ([ClientId("left"), ClientId("ops")], [])
    assert await after.management_client(ClientId("ops")) is None
    assert await after.access("left") is None
    assert await after.access("audit") == an_access(clock, READ, client_id="audit")


async def test_where_none_is_named_none_is_kept(store: Store) -> None:
    """A file without management clients leaves none."""
    await store.put_management_client(a_client(READ))

    assert list(await store.keep_management_clients(())) == [ClientId("ops")]
    assert await store.management_client(ClientId("ops")) is None


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
