"""The key ring: which key signs now, which one is announced, which ones may still be met."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from keys.errors import KeyUnavailable, RingDamaged, UnknownKey
from keys.jwk import JWK
from keys.signing_key import SigningKey


class Place(StrEnum):
    """Where a key is on its way: next → current → previous, or revoked from any of them."""

    NEXT = "next"
    """Published ahead, so that every application knows it before it signs."""
    CURRENT = "current"
    """Signs."""
    PREVIOUS = "previous"
    """Still published: tokens that it signed may be on their way."""
    REVOKED = "revoked"
    """Published no more; its private half is destroyed and its kid never comes back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A key in its place."""

    kid: str
    alg: str
    place: Place
    created_at: datetime
    """When the key was made; UTC."""
    changed_at: datetime
    """When it came to this place; UTC."""
    key: SigningKey | None
    """The key itself; None once it is revoked, so that nothing can sign with it again."""

    @classmethod
    def of(cls, key: SigningKey, place: Place, *, now: datetime) -> "Entry":
        """Put `key` in its first place."""
        created = key.created_at
        return cls(
            kid=key.kid, alg=key.alg, place=place, created_at=created, changed_at=now, key=key
        )

    def moved(self, place: Place, *, now: datetime) -> "Entry":
        """Return the entry in another place; revoking drops the private key."""
        key = None if place is Place.REVOKED else self.key
        return Entry(
            kid=self.kid,
            alg=self.alg,
            place=place,
            created_at=self.created_at,
            changed_at=now,
            key=key,
        )


@dataclass(frozen=True, slots=True)
class KeyRing:
    """All keys, as an immutable value.

    Per algorithm there is exactly one current key and at most one next; a kid occurs once.
    Raises RingDamaged when it is made otherwise.
    """

    version: int
    """How often the ring has changed; a stored ring's first version is 1."""
    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        """Hold the invariants, whoever made the ring."""
        if len({entry.kid for entry in self.entries}) != len(self.entries):
            raise RingDamaged("Two keys of the ring have the same kid.")
        for alg in {entry.alg for entry in self.entries if entry.place is not Place.REVOKED}:
            if len(self.at(alg, Place.CURRENT)) != 1 or len(self.at(alg, Place.NEXT)) > 1:
                raise RingDamaged(f"The ring needs one current and at most one next {alg} key.")
        if any((entry.key is None) != (entry.place is Place.REVOKED) for entry in self.entries):
            raise RingDamaged("The ring holds a revoked private key, or lacks a living one.")

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The algorithms that have a current key, in the order of their entries."""
        return tuple(entry.alg for entry in self.entries if entry.place is Place.CURRENT)

    def at(self, alg: str, place: Place) -> tuple[Entry, ...]:
        """Return the entries of `alg` in `place`."""
        return tuple(e for e in self.entries if e.alg == alg and e.place is place)

    def find(self, kid: str) -> Entry:
        """Return the entry called `kid`. Raises UnknownKey."""
        for entry in self.entries:
            if entry.kid == kid:
                return entry
        raise UnknownKey(f"No key has the kid {kid!r}.")

    def current(self, alg: str) -> SigningKey:
        """Return the key that signs with `alg` now. Raises KeyUnavailable."""
        keys = [entry.key for entry in self.at(alg, Place.CURRENT) if entry.key is not None]
        if not keys:
            raise KeyUnavailable(f"There is no current key for the algorithm {alg!r}.")
        return keys[0]

    def public(self) -> list[JWK]:
        """Return the published keys: next, current and previous, never a revoked one."""
        return [entry.key.public_jwk() for entry in self.entries if entry.key is not None]

    def changed(self, entries: Iterable[Entry]) -> "KeyRing":
        """Return the next version of the ring."""
        return KeyRing(self.version + 1, tuple(entries))
