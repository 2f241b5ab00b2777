"""How a ring changes: pure steps from one ring to the next.

    made ──► next ──► current ──► previous ──► forgotten
               └─────────┴───────────┴──► revoked (for good)

A step that has nothing to change returns the very ring that it was given.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TypeAlias

from keys.ring import Entry, KeyRing, Place
from keys.signing_key import SigningKey

NewKey: TypeAlias = Callable[[str], SigningKey]
"""Makes a key for an algorithm. It is given in, so that these steps need no dice and no clock."""


def equip(ring: KeyRing, algorithms: Iterable[str], *, now: datetime, new_key: NewKey) -> KeyRing:
    """Give a current and a next key to each of `algorithms` that has none."""
    missing = [alg for alg in dict.fromkeys(algorithms) if alg not in ring.algorithms]
    if not missing:
        return ring
    made = [
        Entry.of(new_key(alg), place, now=now)
        for alg in missing
        for place in (Place.CURRENT, Place.NEXT)
    ]
    return ring.changed((*ring.entries, *made))


def rotate(ring: KeyRing, *, now: datetime, new_key: NewKey) -> KeyRing:
    """Move every algorithm on: next signs, current is still published, a new next is announced."""
    entries = list(ring.entries)
    for alg in ring.algorithms:
        entries = _advance(entries, alg, now=now, new_key=new_key)
    return ring.changed(entries)


def next_is_known(ring: KeyRing, *, now: datetime, margin: timedelta) -> bool:
    """Tell whether all next keys have been announced for `margin`, so that they may sign.

    Whoever knows a current key knows a next one that was made at the same moment just as long.
    """
    return all(
        following.changed_at + margin <= now or following.created_at == ring.current(alg).created_at
        for alg in ring.algorithms
        for following in ring.at(alg, Place.NEXT)
    )


def revoke(ring: KeyRing, kid: str, *, now: datetime, new_key: NewKey) -> KeyRing:
    """Take `kid` out of use and out of publication, for good. Raises UnknownKey.

    Revoking the current key promotes next at once; whichever of the two went, a new next is made.
    """
    gone = ring.find(kid)
    if gone.place is Place.REVOKED:
        return ring
    entries = list(ring.entries)
    if gone.place is Place.CURRENT:
        entries = _advance(entries, gone.alg, now=now, new_key=new_key)
    if gone.place is Place.NEXT:
        entries.append(Entry.of(new_key(gone.alg), Place.NEXT, now=now))
    return ring.changed(
        entry.moved(Place.REVOKED, now=now) if entry.kid == kid else entry for entry in entries
    )


def retire(ring: KeyRing, *, now: datetime, margin: timedelta) -> KeyRing:
    """Forget the previous keys that signed nothing for `margin`.

    It must outlast the longest token lifetime and the clock skew that applications forgive.
    """
    kept = [entry for entry in ring.entries if not _outlived(entry, now=now, margin=margin)]
    return ring if len(kept) == len(ring.entries) else ring.changed(kept)


def _outlived(entry: Entry, *, now: datetime, margin: timedelta) -> bool:
    return entry.place is Place.PREVIOUS and entry.changed_at + margin <= now


def _advance(entries: list[Entry], alg: str, *, now: datetime, new_key: NewKey) -> list[Entry]:
    if not any(entry.alg == alg and entry.place is Place.NEXT for entry in entries):
        entries = [*entries, Entry.of(new_key(alg), Place.NEXT, now=now)]
    step = {Place.NEXT: Place.CURRENT, Place.CURRENT: Place.PREVIOUS}
    moved = [
        entry.moved(step[entry.place], now=now)
        if entry.alg == alg and entry.place in step
        else entry
        for entry in entries
    ]
    return [*moved, Entry.of(new_key(alg), Place.NEXT, now=now)]
