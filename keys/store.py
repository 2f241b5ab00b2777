"""The door to where the ring is kept, and the form in which it lies there."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from keys.errors import RingDamaged
from keys.ring import Entry, KeyRing, Place
from keys.seal import Seal
from keys.signing_key import SigningKey

_TABLE = "signing_keys"
_FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class SealedRing:
    """A ring as it is stored: JSON text in which every private key is sealed."""

    version: int
    """The ring's version; 1 is the first."""
    document: str = field(repr=False)
    """JSON: what is public of each key, and its private half sealed."""


class KeyStore(Protocol):
    """Keeps one sealed ring, shared by all replicas."""

    async def load(self) -> SealedRing | None:
        """Return the ring, or None if there was never one."""
        ...

    async def swap(self, ring: SealedRing, *, if_version: int) -> bool:
        """Replace the whole ring if its version is still `if_version`; 0 means there is none yet.

        Returns False, and changes nothing, if somebody was faster. Of many at once one succeeds.
        """
        ...


def seal_ring(ring: KeyRing, seal: Seal) -> SealedRing:
    """Return `ring` in its stored form, all of it sealed under the current master key."""
    keys = [_seal_entry(entry, seal) for entry in ring.entries]
    document = {"format": _FORMAT_VERSION, "keys": keys}
    return SealedRing(ring.version, json.dumps(document, separators=(",", ":")))


def unseal_ring(sealed: SealedRing, seal: Seal) -> KeyRing:
    """Return the ring. Raises UnknownMasterKey, SealBroken or RingDamaged."""
    items = _items(sealed)
    try:
        entries = tuple(_unseal_entry(item, seal) for item in items)
    except (ValueError, KeyError, TypeError):
        raise RingDamaged from None
    return KeyRing(sealed.version, entries)


def needs_reseal(sealed: SealedRing, seal: Seal) -> bool:
    """Tell whether any private key lies under another master key than the current."""
    texts = [item["sealed"] for item in _items(sealed)]
    return any(seal.needs_reseal(text) for text in texts if text is not None)


def _items(sealed: SealedRing) -> list[dict[str, Any]]:
    try:
        document = json.loads(sealed.document)
        form, items = document["format"], list(document["keys"])
    except (ValueError, KeyError, TypeError):
        raise RingDamaged from None
    if form != _FORMAT_VERSION:
        raise RingDamaged("The stored key ring has a format that this release does not know.")
    return items


def _seal_entry(entry: Entry, seal: Seal) -> dict[str, str | None]:
    sealed = None
    if entry.key is not None:
        pem = entry.key.to_pem()
        sealed = seal.seal(pem, table=_TABLE, row=entry.kid, version=_FORMAT_VERSION)
    return {
        "kid": entry.kid,
        "alg": entry.alg,
        "place": entry.place.value,
        "created_at": entry.created_at.isoformat(),
        "changed_at": entry.changed_at.isoformat(),
        "sealed": sealed,
    }


def _unseal_entry(item: dict[str, Any], seal: Seal) -> Entry:
    kid, alg = item["kid"], item["alg"]
    created_at = datetime.fromisoformat(item["created_at"])
    key = None
    if item["sealed"] is not None:
        pem = seal.unseal(item["sealed"], table=_TABLE, row=kid, version=_FORMAT_VERSION)
        key = SigningKey.from_pem(pem, kid=kid, alg=alg, created_at=created_at)
    return Entry(
        kid=kid,
        alg=alg,
        place=Place(item["place"]),
        created_at=created_at,
        changed_at=datetime.fromisoformat(item["changed_at"]),
        key=key,
    )
