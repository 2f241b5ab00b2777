"""The stored ring holds no private key in the clear, and what comes back is what was stored."""

import json
import os

import pytest

from keys import KeyRing, Place, RingDamaged, Seal, SealBroken, SealedRing, SigningKey
from keys.rotation import equip, revoke
from keys.store import needs_reseal, seal_ring, unseal_ring
from tests.keys.conftest import NOW


def new_key(alg: str) -> SigningKey:
    """Make a key."""
    return SigningKey.generate(alg, now=NOW)


@pytest.fixture
def ring() -> KeyRing:
    """Make a ring with living keys and a revoked one."""
    made = equip(KeyRing(0, ()), ["EdDSA", "ES256"], now=NOW, new_key=new_key)
    return revoke(made, made.current("ES256").kid, now=NOW, new_key=new_key)


def test_round_trip(ring: KeyRing, seal: Seal) -> None:
    """A ring that was sealed and unsealed is the same, and its keys sign."""
    again = unseal_ring(seal_ring(ring, seal), seal)

    assert again == ring
    assert again.current("EdDSA").verifies(ring.current("EdDSA").sign({}, typ=None))


def test_document_shows_only_what_is_public(ring: KeyRing, seal: Seal) -> None:
    """The document holds names, places, times and sealed texts; of a revoked key no sealed text."""
    sealed = seal_ring(ring, seal)

    items = json.loads(sealed.document)["keys"]

    assert sealed.version == ring.version
    assert {frozenset(item) for item in items} == {
        frozenset({"kid", "alg", "place", "created_at", "changed_at", "sealed"})
    }
    assert {i["place"] for i in items if i["sealed"] is None} == {Place.REVOKED.value}
    assert "PRIVATE" not in sealed.document
    assert "document" not in repr(sealed)


def test_keys_can_not_change_places_in_the_document(ring: KeyRing, seal: Seal) -> None:
    """A sealed key that was moved under another kid does not open."""
    sealed = seal_ring(ring, seal)
    document = json.loads(sealed.document)
    living = [item for item in document["keys"] if item["sealed"]]
    living[0]["sealed"], living[1]["sealed"] = living[1]["sealed"], living[0]["sealed"]

    with pytest.raises(SealBroken):
        unseal_ring(SealedRing(1, json.dumps(document)), seal)


@pytest.mark.parametrize(
    "document",
    ["", "[]", "{}", '{"format":1}', '{"format":1,"keys":1}', '{"format":1,"keys":[{}]}',
     '{"format":2,"keys":[]}', '{"format":1,"keys":[1]}'],
)  # fmt: skip
def test_damaged_documents_are_refused(document: str, seal: Seal) -> None:
    """A document that this release did not write is a damaged ring."""
    with pytest.raises(RingDamaged):
        unseal_ring(SealedRing(1, document), seal)


def test_place_that_nobody_knows_is_refused(ring: KeyRing, seal: Seal) -> None:
    """A place outside the closed set is a damaged ring."""
    document = seal_ring(ring, seal).document.replace('"next"', '"later"')

    with pytest.raises(RingDamaged):
        unseal_ring(SealedRing(1, document), seal)


def test_reseal_is_asked_for_under_a_new_master_key(ring: KeyRing) -> None:
    """A ring needs resealing as long as one key lies under the previous master key."""
    old, new = os.urandom(32), os.urandom(32)
    sealed = seal_ring(ring, Seal([old]))

    both = Seal([new, old])

    assert needs_reseal(sealed, both)
    assert not needs_reseal(seal_ring(unseal_ring(sealed, both), both), both)
