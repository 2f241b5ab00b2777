"""The ring holds its invariants, whoever makes it."""

from dataclasses import replace

import pytest

from keys import KeyRing, KeyUnavailable, Place, RingDamaged, SigningKey, UnknownKey
from keys.ring import Entry
from tests.keys.conftest import NOW


def entry(place: Place, alg: str = "EdDSA") -> Entry:
    """Make a key in its place."""
    return Entry.of(SigningKey.generate(alg, now=NOW), place, now=NOW)


def test_all_but_revoked_keys_are_published() -> None:
    """Next, current and previous are published, once each; a revoked key is not."""
    kept = [entry(Place.NEXT), entry(Place.CURRENT), entry(Place.PREVIOUS)]
    gone = entry(Place.PREVIOUS).moved(Place.REVOKED, now=NOW)

    ring = KeyRing(1, (*kept, gone))

    assert [jwk["kid"] for jwk in ring.public()] == [e.kid for e in kept]
    assert ring.find(gone.kid).key is None


def test_current_is_found_by_algorithm() -> None:
    """Each algorithm has its own current key; another has none."""
    ed, ec = entry(Place.CURRENT), entry(Place.CURRENT, "ES256")

    ring = KeyRing(1, (ed, ec))

    assert ring.current("ES256") is ec.key
    assert ring.algorithms == ("EdDSA", "ES256")
    with pytest.raises(KeyUnavailable, match="RS256"):
        ring.current("RS256")
    with pytest.raises(UnknownKey, match="nobody"):
        ring.find("nobody")


def test_impossible_rings_are_refused() -> None:
    """Two currents, two nexts, no current, a kid twice, or a revoked private key make no ring."""
    current, following = entry(Place.CURRENT), entry(Place.NEXT)
    impossible = [
        (current, entry(Place.CURRENT)),
        (current, following, entry(Place.NEXT)),
        (following,),
        (current, replace(current, place=Place.PREVIOUS)),
        (current, replace(entry(Place.PREVIOUS), place=Place.REVOKED)),
        (current, replace(following, key=None)),
    ]

    for entries in impossible:
        with pytest.raises(RingDamaged):
            KeyRing(1, entries)
