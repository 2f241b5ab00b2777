"""Replicas share one ring: whoever comes first changes it, and the others take it up."""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta

import anyio
import pytest

from dispatcher.adapters.postgres import PostgresStore
from keys import NextKeyTooNew, Place, Seal, Vault
from keys.vault import NEXT_IS_KNOWN_AFTER, PREVIOUS_IS_KEPT
from tests.adapters.postgres.conftest import Open
from tests.keys.conftest import read_token
from tests.kit.clock import NOON

ALGORITHMS = ("ES256", "EdDSA")
DAY = timedelta(days=1)

Vaults = Sequence[Vault]


class OpenVault:
    """Opens the vault of one more replica, on a store of its own."""

    def __init__(self, opens: Open, at_the_end: AsyncExitStack, seal: Seal) -> None:
        self._opens = opens
        self._at_the_end = at_the_end
        self._seal = seal

    async def __call__(self, *algorithms: str, seal: Seal | None = None) -> Vault:
        """Open it, for other *algorithms* or under another *seal* where these are given."""
        vault = await Vault.open(
            store=await self._opens(seal=seal),
            seal=seal or self._seal,
            algorithms=algorithms or ALGORITHMS,
            now=NOON,
            threads=0,
        )
        self._at_the_end.callback(vault.close)
        return vault


@pytest.fixture
async def open_vault(opens: Open, seal: Seal) -> AsyncIterator[OpenVault]:
    """Return how to open the vault of one more replica."""
    async with AsyncExitStack() as at_the_end:
        yield OpenVault(opens, at_the_end, seal)


@pytest.fixture
async def vaults(open_vault: OpenVault) -> Vaults:
    """Return the vaults of two replicas."""
    return [await open_vault(), await open_vault()]


async def at_once(vaults: Vaults, step: Callable[[Vault], Coroutine[None, None, None]]) -> None:
    """Have every vault take a *step* at the same moment."""
    async with anyio.create_task_group() as replicas:
        for vault in vaults:
            replicas.start_soon(step, vault)


async def verified_by_all(signer: Vault, vaults: Vaults) -> bool:
    """Have *signer* sign with each algorithm; whoever fetches any replica's keys can verify it."""
    for alg in signer.algorithms:
        signed = await signer.sign({"sub": "a"}, alg=alg, typ=None)
        for vault in vaults:
            read_token(signed.token, vault.jwks(), alg)
    return True


def current(vault: Vault) -> set[str]:
    """Return the keys that sign."""
    listed = vault.keys()
    return {key.kid for key in listed if key.place is Place.CURRENT}


async def stored_versions(store: PostgresStore) -> int:
    """Return how often the stored ring has changed."""
    ring = await store.load()
    return 0 if ring is None else ring.version


async def test_replicas_that_first_start_at_once_make_one_ring(
    open_vault: OpenVault, store: PostgresStore
) -> None:
    """However many replicas meet an empty store at one moment, one ring is sealed, once."""
    vaults: list[Vault] = []

    async def start() -> None:
        vaults.append(await open_vault())

    async with anyio.create_task_group() as replicas:
        for _ in range(4):
            replicas.start_soon(start)

    first, *others = (vault.keys() for vault in vaults)
    assert len(first) == 2 * len(ALGORITHMS)
    assert all(keys == first for keys in others)
    assert await stored_versions(store) == 1


async def test_a_rotation_is_taken_up(vaults: Vaults, store: PostgresStore) -> None:
    """One rotates, the other takes it up; before, meanwhile and afterwards both verify by both."""
    one, other = vaults
    before = current(one)

    await one.rotate(NOON + DAY)
    between = [await verified_by_all(vault, vaults) for vault in vaults]
    behind = current(other)
    await other.tend(NOON + DAY)

    assert between == [True, True]
    assert behind == before
    assert current(other) == current(one) != before
    assert other.jwks() == one.jwks()
    assert [await verified_by_all(vault, vaults) for vault in vaults] == [True, True]
    assert await stored_versions(store) == 2


async def test_replicas_that_rotate_at_once_rotate_once(
    vaults: Vaults, store: PostgresStore
) -> None:
    """Of many who rotate at one moment one does; whoever comes a little later is told so."""
    too_late: list[Vault] = []

    async def rotate(vault: Vault) -> None:
        try:
            await vault.rotate(NOON + DAY)
        except NextKeyTooNew:
            too_late.append(vault)

    before = current(vaults[0])
    await at_once([*vaults, *vaults], rotate)

    assert len(too_late) < 4
    assert current(vaults[0]) == current(vaults[1]) != before
    assert await stored_versions(store) == 2


async def test_no_key_signs_that_another_replica_does_not_publish(vaults: Vaults) -> None:
    """A second rotation waits until the other replicas, and caches, can know the next key."""
    one, other = vaults
    await one.rotate(NOON + DAY)
    soon = NOON + DAY + NEXT_IS_KNOWN_AFTER - timedelta(seconds=1)

    with pytest.raises(NextKeyTooNew):
        await one.rotate(soon)

    assert await verified_by_all(one, vaults)
    await other.tend(soon)
    await one.rotate(NOON + DAY + NEXT_IS_KNOWN_AFTER)
    assert await verified_by_all(one, vaults)


async def test_replicas_that_tend_at_once_forget_once(vaults: Vaults, store: PostgresStore) -> None:
    """A key that nobody meets any more goes once, whoever looks; then nobody changes anything."""
    later = NOON + DAY
    await vaults[0].rotate(later)
    over = later + PREVIOUS_IS_KEPT

    for _ in range(3):
        await at_once([*vaults, *vaults], lambda vault: vault.tend(over))

    assert await stored_versions(store) == 3
    assert vaults[0].keys() == vaults[1].keys()
    left = vaults[0].keys()
    assert {key.place for key in left} == {Place.CURRENT, Place.NEXT}


async def test_a_revoked_key_is_revoked_everywhere(vaults: Vaults) -> None:
    """What one replica revokes signs nothing at the other one, and is not published, once it looks.

    The key that signs in its place was published by both before.
    """
    one, other = vaults
    revoked = (await one.sign({}, alg="ES256", typ=None)).kid

    await one.revoke(revoked, NOON + DAY)
    meanwhile = await verified_by_all(one, vaults)
    await other.tend(NOON + DAY)

    assert meanwhile
    assert (await other.sign({}, alg="ES256", typ=None)).kid != revoked
    assert revoked not in {key["kid"] for key in other.jwks()["keys"]}


async def test_an_algorithm_of_a_new_release_is_published_by_all(open_vault: OpenVault) -> None:
    """Keys that a replica with more algorithms made are published by those that do not sign so."""
    less = await open_vault("ES256")
    more = await open_vault("ES256", "EdDSA")

    await less.tend(NOON)

    assert less.algorithms == ("ES256",)
    assert await verified_by_all(more, [less, more])


async def test_a_change_of_the_master_key_comes_to_rest(
    open_vault: OpenVault, store: PostgresStore
) -> None:
    """While replicas with the two master keys in either order run, none seals again and again."""
    old, new = b"k" * 32, b"n" * 32
    before = await open_vault(seal=Seal([old, new]))
    after = await open_vault(seal=Seal([new, old]))
    version = await stored_versions(store)

    for vault in (before, after) * 2:
        await vault.tend(NOON)

    assert await stored_versions(store) == version
    assert before.keys() == after.keys()
