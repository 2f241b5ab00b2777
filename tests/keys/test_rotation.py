"""A ring changes by pure steps, and no order of steps breaks it."""

from datetime import datetime, timedelta
from functools import partial

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from keys import KeyRing, Place, SigningKey, UnknownKey
from keys.rotation import equip, next_is_known, retire, revoke, rotate
from tests.keys.conftest import NOW

MARGIN = timedelta(hours=24)
ALGORITHMS = ("EdDSA", "ES256")


def new_key(alg: str) -> SigningKey:
    """Make a key of a quick algorithm."""
    return SigningKey.generate(alg, now=NOW)


def kid_at(ring: KeyRing, place: Place) -> str:
    """Return the newest EdDSA key in `place`."""
    return ring.at("EdDSA", place)[-1].kid


@pytest.fixture
def ring() -> KeyRing:
    """Make a ring with one algorithm."""
    return equip(KeyRing(0, ()), ["EdDSA"], now=NOW, new_key=new_key)


def test_rotation_moves_every_key_on(ring: KeyRing) -> None:
    """Next becomes current, current previous, and a key that nobody saw becomes next."""
    later = NOW + timedelta(days=1)

    turned = rotate(ring, now=later, new_key=new_key)

    assert turned.version == ring.version + 1
    assert kid_at(turned, Place.CURRENT) == kid_at(ring, Place.NEXT)
    assert kid_at(turned, Place.PREVIOUS) == kid_at(ring, Place.CURRENT)
    assert turned.find(kid_at(turned, Place.CURRENT)).changed_at == later


def test_next_made_with_current_is_known_with_it(ring: KeyRing) -> None:
    """What was published together was met together: the first next key may sign at any time."""
    assert next_is_known(ring, now=NOW, margin=MARGIN)


@pytest.mark.parametrize("gone", [Place.CURRENT, Place.NEXT, None])
def test_next_made_later_is_known_after_its_margin(ring: KeyRing, gone: Place | None) -> None:
    """A next key that came with a rotation or a revocation is known once its margin has passed."""
    later = NOW + timedelta(days=1)
    made = partial(SigningKey.generate, now=later)
    if gone is None:
        turned = rotate(ring, now=later, new_key=made)
    else:
        turned = revoke(ring, kid_at(ring, gone), now=later, new_key=made)

    assert not next_is_known(turned, now=later + MARGIN - timedelta(seconds=1), margin=MARGIN)
    assert next_is_known(turned, now=later + MARGIN, margin=MARGIN)


def test_revoking_current_promotes_next(ring: KeyRing) -> None:
    """Next signs at once when current is revoked, and a new next is announced."""
    gone, promoted = kid_at(ring, Place.CURRENT), kid_at(ring, Place.NEXT)

    left = revoke(ring, gone, now=NOW, new_key=new_key)

    assert kid_at(left, Place.CURRENT) == promoted
    assert left.find(gone).place is Place.REVOKED
    assert kid_at(left, Place.NEXT) not in {gone, promoted}


def test_revoking_next_announces_another(ring: KeyRing) -> None:
    """Current goes on signing when next is revoked, and there is a new next."""
    gone = kid_at(ring, Place.NEXT)

    left = revoke(ring, gone, now=NOW, new_key=new_key)

    assert kid_at(left, Place.CURRENT) == kid_at(ring, Place.CURRENT)
    assert kid_at(left, Place.NEXT) != gone


def test_revoking_twice_or_nobody(ring: KeyRing) -> None:
    """A second revocation changes nothing; an unknown kid is an error."""
    gone = kid_at(ring, Place.NEXT)
    left = revoke(ring, gone, now=NOW, new_key=new_key)

    assert revoke(left, gone, now=NOW, new_key=new_key) is left
    with pytest.raises(UnknownKey):
        revoke(ring, "nobody", now=NOW, new_key=new_key)


def test_ring_without_next_rotates(ring: KeyRing) -> None:
    """A ring that lacks a next key gets a new current and a new next."""
    bare = ring.changed(ring.at("EdDSA", Place.CURRENT))

    turned = rotate(bare, now=NOW, new_key=new_key)

    assert kid_at(turned, Place.PREVIOUS) == kid_at(bare, Place.CURRENT)
    assert kid_at(turned, Place.NEXT) != kid_at(turned, Place.CURRENT)


def test_previous_keys_retire_at_their_margin(ring: KeyRing) -> None:
    """A previous key is published until the margin is over, then forgotten; no other key is."""
    turned = rotate(ring, now=NOW, new_key=new_key)
    almost = NOW + MARGIN - timedelta(microseconds=1)

    assert retire(turned, now=almost, margin=MARGIN) is turned
    left = retire(turned, now=NOW + MARGIN, margin=MARGIN)

    assert {entry.place for entry in left.entries} == {Place.CURRENT, Place.NEXT}


def test_only_missing_algorithms_are_equipped(ring: KeyRing) -> None:
    """An algorithm that is enabled later gets keys; the others keep theirs."""
    more = equip(ring, ["EdDSA", "ES256", "ES256"], now=NOW, new_key=new_key)

    assert more.entries[: len(ring.entries)] == ring.entries
    assert more.algorithms == ("EdDSA", "ES256")
    assert equip(more, ALGORITHMS, now=NOW, new_key=new_key) is more


class AnyOrder(RuleBasedStateMachine):
    """Steps in any order, at any pace."""

    def __init__(self) -> None:
        super().__init__()
        self.now: datetime = NOW
        self.ring = equip(KeyRing(0, ()), ALGORITHMS, now=NOW, new_key=new_key)
        self.revoked: set[str] = set()

    @rule()
    def rotate(self) -> None:
        """Rotate; every new current was published before."""
        announced = {jwk["kid"] for jwk in self.ring.public()}
        self.ring = rotate(self.ring, now=self.now, new_key=new_key)
        assert {self.ring.current(alg).kid for alg in ALGORITHMS} <= announced

    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        """Revoke any key."""
        kid = data.draw(st.sampled_from([entry.kid for entry in self.ring.entries]))
        self.ring = revoke(self.ring, kid, now=self.now, new_key=new_key)
        self.revoked.add(kid)

    @rule(hours=st.integers(1, 30))
    def wait(self, hours: int) -> None:
        """Let time pass, and forget what is old."""
        self.now += timedelta(hours=hours)
        self.ring = retire(self.ring, now=self.now, margin=MARGIN)

    @invariant()
    def one_signs_and_one_is_announced(self) -> None:
        """Check that there is exactly one current and one next key per algorithm."""
        for alg in ALGORITHMS:
            assert len(self.ring.at(alg, Place.CURRENT)) == 1
            assert len(self.ring.at(alg, Place.NEXT)) == 1

    @invariant()
    def kids_are_unique(self) -> None:
        """Check that a kid occurs once, published or not."""
        kids = [entry.kid for entry in self.ring.entries]
        assert len(kids) == len(set(kids))

    @invariant()
    def revoked_keys_stay_away(self) -> None:
        """Check that a revoked key keeps its place, has no private half and is not published."""
        assert self.revoked.isdisjoint(jwk["kid"] for jwk in self.ring.public())
        assert all(self.ring.find(kid).place is Place.REVOKED for kid in self.revoked)
        assert all(self.ring.find(kid).key is None for kid in self.revoked)


AnyOrder.TestCase.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
TestAnyOrder = AnyOrder.TestCase
