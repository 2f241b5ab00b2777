"""The vault signs, publishes, and keeps one ring with all its replicas."""

import json
import os
import threading
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import anyio
import pytest

from keys import (
    KeysAreImported,
    KeyUnavailable,
    NextKeyTooNew,
    Place,
    RingContended,
    Seal,
    SealBroken,
    SealedRing,
    SigningKey,
    UnknownKey,
    UnknownMasterKey,
    Vault,
)
from keys.vault import NEXT_IS_KNOWN_AFTER, PREVIOUS_IS_KEPT
from tests.keys.conftest import NOW, Shelf, read_token

LATER = NOW + timedelta(hours=1)
QUICK = ("EdDSA", "ES256")


async def open_vault(shelf: Shelf, seal: Seal, algorithms: Sequence[str] = QUICK) -> Vault:
    """Open a vault that has no threads."""
    return await Vault.open(store=shelf, seal=seal, algorithms=algorithms, now=NOW, threads=0)


@pytest.fixture
async def vault(shelf: Shelf, seal: Seal) -> AsyncIterator[Vault]:
    """Open a vault for its first start."""
    opened = await open_vault(shelf, seal)
    yield opened
    opened.close()


def kids(vault: Vault, place: Place, alg: str = "EdDSA") -> list[str]:
    """Return the kids in a place."""
    listed = vault.keys()
    return [key.kid for key in listed if key.place is place and key.alg == alg]


def published(vault: Vault) -> list[str]:
    """Return the kids of the JWKS."""
    return [jwk["kid"] for jwk in vault.jwks()["keys"]]


async def test_first_start_makes_and_stores_keys(vault: Vault, shelf: Shelf, seal: Seal) -> None:
    """At the first start each algorithm gets a current and a next key; a second finds them."""
    again = await open_vault(shelf, seal)

    assert vault.algorithms == QUICK
    assert [len(kids(vault, place, alg)) for place in Place for alg in QUICK] == [
        1,
        1,
        1,
        1,
        0,
        0,
        0,
        0,
    ]
    assert again.keys() == vault.keys()
    assert shelf.swaps == 1


async def test_quick_signatures_of_one_moment_are_made_in_a_row(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is given a token goes on when those who asked with it have theirs as well."""
    seen: list[str] = []
    sign = SigningKey.signature

    def noted(key: SigningKey, signing_input: bytes) -> bytes:
        seen.append("signs")
        return sign(key, signing_input)

    async def ask() -> None:
        await vault.sign({}, alg="ES256", typ=None)
        seen.append("goes on")

    monkeypatch.setattr(SigningKey, "signature", noted)
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(ask)

    assert seen == ["signs"] * 3 + ["goes on"] * 3


async def test_rs256_is_the_default_and_threads_sign(shelf: Shelf, seal: Seal) -> None:
    """With nothing said RS256 signs, on threads; another library verifies by our JWKS."""
    vault = await Vault.open(store=shelf, seal=seal, now=NOW)

    signed = await vault.sign({"sub": "a"}, alg="RS256", typ="logout+jwt")

    read = read_token(signed.token, vault.jwks(), "RS256")
    assert read.headers() == {"alg": "RS256", "kid": signed.kid, "typ": "logout+jwt"}
    assert json.loads(read.payload) == {"sub": "a"}
    assert signed.token not in repr(signed)
    await vault.self_check()
    vault.close()


@pytest.mark.parametrize("alg", QUICK)
async def test_current_key_signs(vault: Vault, alg: str) -> None:
    """A token is signed by the current key of its algorithm, and typ may be left out."""
    signed = await vault.sign({"sub": "a"}, alg=alg, typ=None)

    read = read_token(signed.token, vault.jwks(), alg)
    assert read.headers() == {"alg": alg, "kid": signed.kid}
    assert [signed.kid] == kids(vault, Place.CURRENT, alg)


@pytest.mark.parametrize("alg", ["RS256", "none", "HS256"])
async def test_algorithms_without_a_key_are_refused(vault: Vault, alg: str) -> None:
    """An algorithm that is not enabled, or never could be, signs nothing."""
    with pytest.raises(KeyUnavailable, match=alg):
        await vault.sign({}, alg=alg, typ=None)


async def test_unknown_algorithms_stop_the_start(shelf: Shelf, seal: Seal) -> None:
    """A setting that enables `none`, or nothing, stops the start."""
    for algorithms in (("none",), ()):
        with pytest.raises(KeyUnavailable):
            await open_vault(shelf, seal, algorithms)


async def test_algorithm_enabled_later_gets_keys(vault: Vault, shelf: Shelf, seal: Seal) -> None:
    """A new algorithm gets keys at the next start, and the old ones keep theirs."""
    less = await open_vault(Shelf(), seal, ["EdDSA"])
    shelf_of_less = Shelf()
    shelf_of_less.ring = await _sealed(less)
    more = await open_vault(shelf_of_less, seal)

    assert kids(more, Place.CURRENT) == kids(less, Place.CURRENT)
    assert kids(more, Place.NEXT, "ES256")
    assert (await open_vault(shelf, seal, ["ES256"])).algorithms == ("ES256",)
    assert vault.algorithms == QUICK


async def _sealed(vault: Vault) -> SealedRing:
    """Return the ring as it lies in the store."""
    ring = await vault._store.load()
    assert ring is not None
    return ring


async def test_loser_of_the_first_start_takes_the_winners_ring(shelf: Shelf, seal: Seal) -> None:
    """Of two replicas that start at once, both end up with one ring."""
    other = Shelf()
    winner = await open_vault(other, seal)
    shelf.before_swap.append(lambda: setattr(shelf, "ring", other.ring))

    loser = await open_vault(shelf, seal)

    assert loser.keys() == winner.keys()


async def test_rotation_announces_signs_and_keeps(vault: Vault) -> None:
    """After a rotation the announced key signs, and the one before is still published."""
    current, following = kids(vault, Place.CURRENT), kids(vault, Place.NEXT)

    await vault.rotate(LATER)

    assert (await vault.sign({}, alg="EdDSA", typ=None)).kid == following[0]
    assert kids(vault, Place.PREVIOUS) == current
    assert {*current, *following, *kids(vault, Place.NEXT)} <= set(published(vault))


async def test_replicas_that_rotate_at_once_rotate_once(
    vault: Vault, shelf: Shelf, seal: Seal
) -> None:
    """A replica that loses the race to rotate takes the winner's ring and does not rotate again."""
    other = Shelf()
    other.ring = shelf.ring
    winner = await open_vault(other, seal)
    await winner.rotate(LATER)
    shelf.before_swap.append(lambda: setattr(shelf, "ring", other.ring))

    await vault.rotate(LATER)

    assert vault.keys() == winner.keys()


async def test_next_key_signs_once_it_is_known(vault: Vault) -> None:
    """The next key that a rotation made may not sign before everybody can have met it."""
    await vault.rotate(LATER)
    announced = kids(vault, Place.NEXT)
    known = LATER + NEXT_IS_KNOWN_AFTER

    with pytest.raises(NextKeyTooNew):
        await vault.rotate(known - timedelta(seconds=1))
    assert kids(vault, Place.NEXT) == announced
    await vault.rotate(known)

    assert kids(vault, Place.CURRENT) == announced


async def test_stale_replica_rotates_what_is_stored(vault: Vault, shelf: Shelf, seal: Seal) -> None:
    """A replica that missed a rotation still rotates when it is asked to, from the newest ring."""
    other = await open_vault(shelf, seal)
    await other.rotate(LATER)

    await vault.rotate(LATER + timedelta(days=9))

    assert kids(vault, Place.PREVIOUS)[-1] == kids(other, Place.CURRENT)[0]


async def test_revoked_key_is_gone_for_all(vault: Vault, shelf: Shelf, seal: Seal) -> None:
    """A revoked key signs nothing and is published nowhere, once the replicas have tended."""
    other = await open_vault(shelf, seal)
    [gone] = kids(vault, Place.CURRENT)

    await vault.revoke(gone, LATER)
    await other.tend(LATER)

    assert gone not in published(vault)
    assert other.keys() == vault.keys()
    assert (await other.sign({}, alg="EdDSA", typ=None)).kid != gone
    with pytest.raises(UnknownKey):
        await vault.revoke("nobody", LATER)


async def test_stale_replica_revokes_what_is_stored(vault: Vault, shelf: Shelf, seal: Seal) -> None:
    """A replica revokes a key that it has not seen yet."""
    other = await open_vault(shelf, seal)
    await other.rotate(LATER)
    [gone] = kids(other, Place.NEXT)

    await vault.revoke(gone, LATER)

    assert kids(vault, Place.REVOKED) == [gone]


async def test_tending_an_unchanged_ring_changes_nothing(vault: Vault, shelf: Shelf) -> None:
    """With nothing to do, nothing is stored and the loaded keys stay the same objects."""
    before = vault._ring

    await vault.tend(LATER)

    assert vault._ring is before
    assert shelf.swaps == 1


async def test_failed_start_leaves_no_threads(vault: Vault, shelf: Shelf) -> None:
    """A start that fails ends the signing threads that it began."""
    foreign = Seal([os.urandom(32)])

    with pytest.raises(UnknownMasterKey):
        await Vault.open(store=shelf, seal=foreign, algorithms=QUICK, now=NOW, threads=1)

    assert vault.algorithms == QUICK
    assert not [t for t in threading.enumerate() if t.name.startswith("signing-")]


async def test_revocation_survives_a_lost_race(vault: Vault, shelf: Shelf, seal: Seal) -> None:
    """A revocation is done on the newest ring, even if a rotation came between."""
    [gone] = kids(vault, Place.CURRENT)
    other = Shelf()
    other.ring = shelf.ring
    await (await open_vault(other, seal)).rotate(LATER)
    shelf.before_swap.append(lambda: setattr(shelf, "ring", other.ring))

    await vault.revoke(gone, LATER)

    assert kids(vault, Place.REVOKED) == [gone]
    assert vault.version == 3


async def test_endless_contention_is_an_error(vault: Vault, shelf: Shelf) -> None:
    """A change that loses every race gives up with an error; the ring in force stays."""
    ring = shelf.ring
    assert ring is not None

    def faster() -> None:
        """Store another version, now and before each swap to come."""
        shelf.ring = SealedRing((shelf.ring or ring).version + 1, ring.document)
        shelf.before_swap.append(faster)

    faster()

    with pytest.raises(RingContended):
        await vault.revoke(kids(vault, Place.NEXT)[0], LATER)
    await vault.self_check()


async def test_old_keys_are_forgotten(vault: Vault) -> None:
    """Tending forgets a previous key when its margin is over, not before."""
    await vault.rotate(NOW)

    await vault.tend(NOW + PREVIOUS_IS_KEPT - timedelta(seconds=1))
    assert kids(vault, Place.PREVIOUS)
    await vault.tend(NOW + PREVIOUS_IS_KEPT)

    assert not kids(vault, Place.PREVIOUS)


async def test_master_key_can_be_changed(shelf: Shelf) -> None:
    """A start under `new,old` reseals the ring, so that `new` alone opens it afterwards."""
    old, new = os.urandom(32), os.urandom(32)
    first = await open_vault(shelf, Seal([old]))

    await open_vault(shelf, Seal([new, old]))
    swaps = shelf.swaps
    last = await open_vault(shelf, Seal([new]))

    assert last.keys() == first.keys()
    assert shelf.swaps == swaps


async def test_store_that_can_not_be_opened_stops_the_start(
    vault: Vault, shelf: Shelf, seal: Seal
) -> None:
    """A foreign master key or a tampered ring stops the start, and nothing is overwritten."""
    kept = shelf.ring
    assert kept is not None
    assert vault.version == 1

    with pytest.raises(UnknownMasterKey):
        await open_vault(shelf, Seal([os.urandom(32)]))
    assert shelf.ring is kept
    shelf.ring = SealedRing(1, kept.document.replace(kids(vault, Place.NEXT)[0], "other"))
    with pytest.raises(SealBroken):
        await open_vault(shelf, seal)


async def test_imported_keys_are_never_stored(
    shelf: Shelf, seal: Seal, made: dict[str, SigningKey]
) -> None:
    """The first imported key of an algorithm signs, all are published, none is stored or made."""
    second = SigningKey.generate("ES256", now=NOW)
    imported = [made["ES256"], second, made["RS256"]]

    vault = await Vault.open(
        store=shelf, seal=seal, algorithms=QUICK, now=NOW, imported=imported, threads=0
    )
    await vault.tend(LATER)

    assert vault.algorithms == ("ES256",)
    assert (await vault.sign({}, alg="ES256", typ=None)).kid == made["ES256"].kid
    assert published(vault) == [key.kid for key in imported]
    assert shelf.ring is None
    with pytest.raises(KeyUnavailable):
        await vault.sign({}, alg="EdDSA", typ=None)


async def test_imported_keys_are_changed_by_their_files(
    shelf: Shelf, seal: Seal, made: dict[str, SigningKey]
) -> None:
    """Imported keys are neither rotated nor revoked here; without one that is enabled, no start."""
    ours = [made["ES256"]]
    vault = await Vault.open(
        store=shelf, seal=seal, algorithms=QUICK, now=NOW, imported=ours, threads=0
    )

    with pytest.raises(KeysAreImported):
        await vault.rotate(LATER)
    with pytest.raises(KeysAreImported):
        await vault.revoke(made["ES256"].kid, LATER)
    with pytest.raises(KeyUnavailable, match="EdDSA"):
        await Vault.open(store=shelf, seal=seal, algorithms=["EdDSA"], now=NOW, imported=ours)


async def test_self_check_notices_a_key_that_fails(
    vault: Vault, made: dict[str, SigningKey]
) -> None:
    """A key whose signature does not verify makes the self-check fail by its algorithm."""

    class Forger(SigningKey):
        """A key whose public half is another one's."""

        def verifies(self, token: str) -> bool:
            """Verify with the other key."""
            return made["EdDSA"].verifies(token)

    key = vault._signers["EdDSA"]
    vault._signers["EdDSA"] = Forger(
        kid=key.kid, alg=key.alg, private_key=key.private_key, created_at=NOW
    )

    with pytest.raises(KeyUnavailable, match="EdDSA"):
        await vault.self_check()


async def test_closed_vault_signs_nothing(vault: Vault) -> None:
    """After closing no algorithm signs."""
    vault.close()

    with pytest.raises(KeyUnavailable):
        await vault.sign({}, alg="EdDSA", typ=None)


async def test_published_set_is_a_copy(vault: Vault) -> None:
    """Who changes the set that was returned changes nothing in the vault."""
    vault.jwks()["keys"][0]["kid"] = "changed"

    assert "changed" not in published(vault)
