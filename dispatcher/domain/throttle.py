"""How often secrets may be guessed: what is allowed at once wears off, and memory is bounded.

Each guess is judged by who is asked for and from where. A right secret from another address is
never held up by the wrong ones from this one: nothing is counted by the client alone, so that
nobody is locked out by an attacker who knows a client's name. An address as a whole has an
allowance too, or it could guess at one name after another; who has proved itself there before is
not judged by it, since many clients may share the address of one proxy.
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

K = TypeVar("K")

MOST_REMEMBERED = 8192
"""How many names and addresses are remembered, of each kind; the longest unheard of go first."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many are allowed at once, and how long it takes until one of them has worn off."""

    at_once: int
    wears_off: timedelta


OF_CLIENT_AT_ADDRESS = Allowance(10, timedelta(seconds=6))
OF_ADDRESS = Allowance(20, timedelta(seconds=3))


class Meter(Generic[K]):
    """Counts by key; each count wears off with time."""

    def __init__(self, allowance: Allowance, *, most: int = MOST_REMEMBERED) -> None:
        self._allowance = allowance
        self._most = most
        self._worn_off_at: OrderedDict[K, datetime] = OrderedDict()

    def __len__(self) -> int:
        return len(self._worn_off_at)

    def wait(self, key: K, now: datetime) -> timedelta:
        """Return how long it takes until one more is allowed; nothing where it is now."""
        left = self._worn_off_at.get(key, now) - now
        allowed = self._allowance.wears_off * (self._allowance.at_once - 1)
        return max(left - allowed, timedelta())

    def add(self, key: K, now: datetime) -> None:
        """Count one."""
        before = self._worn_off_at.pop(key, now)
        self._worn_off_at[key] = max(before, now) + self._allowance.wears_off
        if len(self._worn_off_at) > self._most:
            self._worn_off_at.popitem(last=False)

    def take_back(self, key: K) -> None:
        """Count one less."""
        if key in self._worn_off_at:
            self._worn_off_at[key] -= self._allowance.wears_off


@dataclass(frozen=True, slots=True)
class Guess:
    """One try: who is asked for, from where, and how long it has to wait (not at all: go on)."""

    client_id: str
    address: str
    wait: timedelta
    counted: bool


class Guesses:
    """Judges who may try a secret now: by the client that is asked for, and the address."""

    def __init__(self, *, most: int = MOST_REMEMBERED) -> None:
        self._pairs: Meter[tuple[str, str]] = Meter(OF_CLIENT_AT_ADDRESS, most=most)
        self._addresses: Meter[str] = Meter(OF_ADDRESS, most=most)
        self._proven: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._most = most

    def begin(self, client_id: str, address: str, now: datetime) -> Guess:
        """Let a try begin, unless it has to wait; say afterwards what became of it.

        It counts as wrong until it proves right, so that many at once are no way around. Who has
        proved itself there before may ask many times at once: what is wrong of it counts later.
        """
        pair = client_id, address
        if pair in self._proven:
            return Guess(client_id, address, self._pairs.wait(pair, now), counted=False)
        wait = max(self._pairs.wait(pair, now), self._addresses.wait(address, now))
        if not wait:
            self._count(client_id, address, now)
        return Guess(client_id, address, wait, counted=not wait)

    def wrong(self, guess: Guess, now: datetime) -> None:
        """Count *guess*, where that has not been done: the secret was wrong."""
        if not guess.counted:
            self._count(guess.client_id, guess.address, now)

    def take_back(self, guess: Guess) -> None:
        """Count *guess* no more: nobody knows whether it was right, and that is our own fault."""
        if guess.counted:
            self._pairs.take_back((guess.client_id, guess.address))
            self._addresses.take_back(guess.address)

    def proved(self, guess: Guess) -> None:
        """Count *guess* no more, and remember who has proved itself from where."""
        self.take_back(guess)
        pair = guess.client_id, guess.address
        self._proven[pair] = None
        self._proven.move_to_end(pair)
        if len(self._proven) > self._most:
            self._proven.popitem(last=False)

    def _count(self, client_id: str, address: str, now: datetime) -> None:
        self._pairs.add((client_id, address), now)
        self._addresses.add(address, now)
