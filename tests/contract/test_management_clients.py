"""Management clients, and what their access tokens allow."""

from dataclasses import replace
from datetime import timedelta

from dispatcher.domain.events import ClientId
from dispatcher.domain.sources import (
    Access,
    ManagementClient,
    Scope,
)
from tests.contract.stores import Reopen, Store
from tests.kit.clock import FakeClock


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
