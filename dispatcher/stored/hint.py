"""The hint that there may be something to do, so that workers need not poll in haste.

What is stirred between a worker's look into the store and its wait must not be slept through, and
one worker must not use up what another has yet to see: so stirs are counted, and each worker says
the last one that it has seen.
"""

from dataclasses import dataclass
from datetime import timedelta

import anyio
import anyio.lowlevel

from dispatcher.ports import Clock
from dispatcher.stored.values import micros, span


@dataclass(frozen=True, slots=True)
class Stir:
    """What a group changed for workers: when the next delivery comes due, and whether to wake."""

    next_due: int | None
    wakes: bool


class Hint:
    """Wakes waiting tasks when something was stirred, or comes due. For one event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stirs = 0
        self._woken: anyio.Event | None = None
        self._next_due: int | None = None

    def take(self, stir: Stir) -> None:
        """Note when the next delivery comes due, and wake all who wait where there is news."""
        self._next_due = stir.next_due
        if stir.wakes:
            self.wake()

    def add(self, stir: Stir) -> None:
        """Do so where others write at the same time: the earlier of two due times counts."""
        dues = [due for due in (stir.next_due, self._next_due) if due is not None]
        self.take(Stir(min(dues, default=None), stir.wakes))

    def wake(self) -> None:
        """Wake all who wait."""
        self._stirs += 1
        if self._woken is not None:
            self._woken.set()
            self._woken = None

    async def wait(self, seen: int, at_most: timedelta) -> int:
        """Return the number of the latest stir: at once where it is not *seen*, else at the next.

        Returns after *at_most* in any case.
        """
        self._stir_if_due()
        if self._stirs != seen:
            await anyio.lowlevel.checkpoint()
            return self._stirs
        if self._woken is None:
            self._woken = anyio.Event()
        woken = self._woken
        with anyio.move_on_after(self._until_due(at_most).total_seconds()):
            await woken.wait()
        self._stir_if_due()
        return self._stirs

    def _until_due(self, at_most: timedelta) -> timedelta:
        if self._next_due is None:
            return at_most
        return min(at_most, span(self._next_due - micros(self._clock.steady())))

    def _stir_if_due(self) -> None:
        """Turn a due time that has passed into one stir, so that nobody spins on it."""
        if self._next_due is not None and self._next_due <= micros(self._clock.steady()):
            self._next_due = None
            self.wake()
