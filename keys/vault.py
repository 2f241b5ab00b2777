"""The vault: the one object that holds private keys unsealed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple, TypeAlias, TypeVar

import anyio
from anyio import to_thread

from keys import rotation
from keys.algorithms import ALGORITHMS, algorithm
from keys.bursts import Bursts
from keys.errors import KeysAreImported, KeyUnavailable, NextKeyTooNew, RingContended
from keys.jwk import JWK
from keys.ring import Entry, KeyRing, Place
from keys.seal import Seal
from keys.signing_key import SigningKey, compact
from keys.signing_threads import SigningThreads
from keys.store import KeyStore, SealedRing, needs_reseal, seal_ring, unseal_ring

PREVIOUS_IS_KEPT = timedelta(days=1)
"""How long a key stays published after its last signature: far over any logout token's 120 s."""
NEXT_IS_KNOWN_AFTER = timedelta(minutes=10)
"""How long a key is published before it signs: twice as long as a JWK Set is kept in a cache."""

_EMPTY = KeyRing(0, ())
_TRIES = 10
_T = TypeVar("_T")
_Step: TypeAlias = Callable[[KeyRing], KeyRing]


class Signed(NamedTuple):
    """A token and the kid of the key that signed it."""

    token: str
    kid: str

    def __repr__(self) -> str:
        """Show the kid; a token in a log could be sent by whoever reads it."""
        return f"Signed(kid={self.kid!r})"


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What an operator may see of a key."""

    kid: str
    alg: str
    place: Place
    created_at: datetime
    """When it was made; UTC."""
    changed_at: datetime
    """When it came to its place; UTC."""


class Vault:
    """Signs with the current keys, publishes the public ones, and changes the ring.

    Made by `open`. Replicas share one ring through the store; `tend` looks for a newer one.
    """

    def __init__(
        self,
        *,
        store: KeyStore,
        seal: Seal,
        algorithms: tuple[str, ...],
        imported: bool,
        threads: int | None,
    ) -> None:
        self._store = store
        self._seal = seal
        self._enabled = algorithms
        self._imported = imported
        self._threads = None if threads == 0 else SigningThreads(threads)
        self._bursts = Bursts()
        self._changing = anyio.Lock()
        self._ring = _EMPTY
        self._jwks: list[JWK] = []
        self._signers: dict[str, SigningKey] = {}

    @classmethod
    async def open(
        cls,
        *,
        store: KeyStore,
        seal: Seal,
        algorithms: Sequence[str] = ("RS256",),
        now: datetime,
        imported: Sequence[SigningKey] = (),
        threads: int | None = None,
    ) -> "Vault":
        """Load the ring, and make what it lacks for the enabled `algorithms`.

        With `imported` keys the ring is made of these alone and never stored: the first of an
        algorithm signs, the others are published. RSA signs on `threads`: None means one for each
        core, 0 the loop's own, where the other algorithms sign anyway. Raises KeyUnavailable (an
        unknown algorithm; no key for any), UnknownMasterKey, SealBroken, RingDamaged or
        RingContended.
        """
        names = tuple(dict.fromkeys(algorithm(name).name for name in algorithms))
        vault = cls(
            store=store, seal=seal, algorithms=names, imported=bool(imported), threads=threads
        )
        try:
            await vault._fill(imported, now=now)
        except BaseException:
            vault.close()
            raise
        return vault

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The enabled algorithms that there is a key for, in the order of the settings."""
        return tuple(self._signers)

    @property
    def version(self) -> int:
        """The version of the ring in force; 0 for imported keys."""
        return self._ring.version

    async def sign(self, claims: Mapping[str, object], *, alg: str, typ: str | None) -> Signed:
        """Return a signed token with the header alg, kid and, unless None, `typ`.

        Raises KeyUnavailable.
        """
        key = self._signers.get(alg)
        if key is None:
            raise KeyUnavailable(f"There is no key for the algorithm {alg!r}.")
        return Signed(await self._mint(key, claims, typ), key.kid)

    def jwks(self) -> dict[str, list[JWK]]:
        """Return the JWK Set to publish (RFC 7517 section 5): public members of living keys."""
        return {"keys": [dict(jwk) for jwk in self._jwks]}

    def keys(self) -> list[KeyInfo]:
        """Return every key without its material, revoked ones too."""
        return [_info(entry) for entry in self._ring.entries]

    async def self_check(self) -> None:
        """Sign and verify a probe with each algorithm. Raises KeyUnavailable, naming the first."""
        for alg, key in tuple(self._signers.items()):
            probe = await self._mint(key, {"probe": alg}, "probe")
            if not key.verifies(probe):
                raise KeyUnavailable(f"The current {alg} key does not verify what it signed.")

    async def rotate(self, now: datetime) -> None:
        """Let next sign, keep current published, announce a new next: for every algorithm.

        Of replicas that rotate at the same moment one does; the others take up its ring. Raises
        KeysAreImported, RingContended, or NextKeyTooNew: no token may be signed with a key that
        another replica, or a cache, does not publish yet.
        """
        self._refuse_imported()
        async with self._changing:
            await self._refresh()
            before = _currents(self._ring)

            def step(ring: KeyRing) -> KeyRing:
                return ring if _currents(ring) != before else _rotated(ring, now)

            await self._change(step)

    async def revoke(self, kid: str, now: datetime) -> None:
        """Destroy the private key `kid` and publish it no more. Replicas follow when they tend.

        Raises UnknownKey, KeysAreImported or RingContended.
        """
        self._refuse_imported()
        new_key = _maker(now)
        async with self._changing:
            await self._refresh()
            await self._change(lambda ring: rotation.revoke(ring, kid, now=now, new_key=new_key))

    async def tend(self, now: datetime) -> None:
        """Take up a newer ring, equip new algorithms, forget old keys. For every now and then.

        Raises as `open` does; the ring in force stays.
        """
        if self._imported:
            return
        async with self._changing:
            await self._refresh()
            await self._change(partial(self._tended, now=now))

    def close(self) -> None:
        """End the signing threads. Whoever signs afterwards gets KeyUnavailable."""
        self._signers = {}
        if self._threads is not None:
            self._threads.close()

    async def _mint(self, key: SigningKey, claims: Mapping[str, object], typ: str | None) -> str:
        signing_input = key.signing_input(claims, typ=typ)
        # Only what lets go of the interpreter's lock for long is worth a hop to a thread.
        signers = self._threads if ALGORITHMS[key.alg].slow else None
        signature = await (signers or self._bursts).run(partial(key.signature, signing_input))
        return compact(signing_input, signature)

    async def _fill(self, imported: Sequence[SigningKey], *, now: datetime) -> None:
        if imported:
            self._adopt(_imported_ring(imported, now=now))
        else:
            await self.tend(now)
            await self._reseal()
        if not self._signers:
            enabled = ", ".join(self._enabled)
            raise KeyUnavailable(f"There is no key for any of the enabled algorithms: {enabled}.")

    async def _reseal(self) -> None:
        """Seal the ring anew where it lies under an older master key.

        Once, at the start: while the master key is changed, replicas with either order of the two
        would else take turns for ever. If somebody is faster, the next start will tell.
        """
        sealed = await self._store.load()
        if sealed is not None and needs_reseal(sealed, self._seal):
            await self._try(self._ring, self._ring.changed(self._ring.entries))

    def _refuse_imported(self) -> None:
        if self._imported:
            raise KeysAreImported

    def _tended(self, ring: KeyRing, *, now: datetime) -> KeyRing:
        equipped = rotation.equip(ring, self._enabled, now=now, new_key=_maker(now))
        return rotation.retire(equipped, now=now, margin=PREVIOUS_IS_KEPT)

    def _adopt(self, ring: KeyRing) -> None:
        usable = [alg for alg in self._enabled if alg in ring.algorithms]
        self._signers = {alg: ring.current(alg) for alg in usable}
        self._jwks = ring.public()
        self._ring = ring

    async def _refresh(self) -> SealedRing | None:
        """Take up the stored ring if it is another than ours; return it as it lies there."""
        sealed = await self._store.load()
        if sealed is not None and sealed.version != self._ring.version:
            self._adopt(await self._off_loop(partial(unseal_ring, sealed, self._seal)))
        return sealed

    async def _change(self, step: _Step) -> None:
        """Do `step` on the newest ring until it is stored, or has nothing to change."""
        for _ in range(_TRIES):
            ring = self._ring
            changed = await self._off_loop(partial(step, ring))
            if changed is ring or await self._try(ring, changed):
                return
            await self._refresh()
        raise RingContended

    async def _try(self, ring: KeyRing, changed: KeyRing) -> bool:
        sealed = await self._off_loop(partial(seal_ring, changed, self._seal))
        swapped = await self._store.swap(sealed, if_version=ring.version)
        if swapped:
            self._adopt(changed)
        return swapped

    async def _off_loop(self, work: Callable[[], _T]) -> _T:
        """Do what takes long (making RSA keys) on a thread; inline where there are none."""
        return work() if self._threads is None else await to_thread.run_sync(work)


def _maker(now: datetime) -> rotation.NewKey:
    return partial(SigningKey.generate, now=now)


def _rotated(ring: KeyRing, now: datetime) -> KeyRing:
    if not rotation.next_is_known(ring, now=now, margin=NEXT_IS_KNOWN_AFTER):
        raise NextKeyTooNew
    return rotation.rotate(ring, now=now, new_key=_maker(now))


def _currents(ring: KeyRing) -> frozenset[str]:
    return frozenset(entry.kid for entry in ring.entries if entry.place is Place.CURRENT)


def _imported_ring(keys: Sequence[SigningKey], *, now: datetime) -> KeyRing:
    first: dict[str, SigningKey] = {}
    for key in keys:
        first.setdefault(key.alg, key)
    places = [Place.CURRENT if key is first[key.alg] else Place.PREVIOUS for key in keys]
    pairs = zip(keys, places, strict=True)
    return KeyRing(0, tuple(Entry.of(key, place, now=now) for key, place in pairs))


def _info(entry: Entry) -> KeyInfo:
    return KeyInfo(entry.kid, entry.alg, entry.place, entry.created_at, entry.changed_at)
