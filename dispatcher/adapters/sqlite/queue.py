"""The door ``Queue``: each method is one command."""

from collections.abc import Sequence
from datetime import timedelta

from dispatcher.adapters.sqlite.breakers import pause, resume
from dispatcher.adapters.sqlite.claims import Loan, claim
from dispatcher.adapters.sqlite.engine import Door
from dispatcher.adapters.sqlite.intake import accept_all
from dispatcher.adapters.sqlite.matching import match
from dispatcher.adapters.sqlite.opening import keep_time
from dispatcher.adapters.sqlite.pruning import prune
from dispatcher.adapters.sqlite.retries import retry
from dispatcher.adapters.sqlite.settlements import settle
from dispatcher.adapters.sqlite.transactions import Joint, Transaction
from dispatcher.domain.deliveries import Delivery, DeliveryId, Retrial, Settled
from dispatcher.domain.errors import DiskReserve
from dispatcher.domain.events import ClientId, Intake, Receipt
from dispatcher.domain.matching import Matched, Matcher
from dispatcher.ports import Retention
from dispatcher.stored.turns import Room
from dispatcher.stored.values import ALWAYS, micros, micros_of


class SqliteQueue(Door):
    """The durable queue. Every method is one transaction; when it returns, it is on disk."""

    async def accept(self, batch: Sequence[Intake]) -> Sequence[Receipt]:
        """Store the whole *batch* or nothing of it; a repeat gets the receipt of the first."""
        if self._engine.disk.low():
            raise DiskReserve
        return await self._engine.writer.run(Joint(accept_all, batch))

    async def match(self, limit: int, matcher: Matcher) -> Sequence[Matched]:
        """Match up to *limit* events that are due, oldest first, and store what they owe."""
        return await self._engine.writer.run(lambda tx: match(tx, limit, matcher))

    async def claim(
        self,
        limit: int,
        *,
        lease: timedelta,
        retries: int | None = None,
        per_lane: int | None = None,
    ) -> Sequence[Delivery]:
        """Lend out up to *limit* due deliveries; the lease begins when they are taken."""
        number, span = next(self._engine.leases), micros_of(lease)
        room = Room(
            total=limit,
            retries=limit if retries is None else retries,
            per_lane=ALWAYS if per_lane is None else per_lane,
        )
        return await self._engine.writer.run(
            lambda tx: claim(tx, room, Loan(number, tx.now + span))
        )

    async def settle(self, batch: Sequence[Settled]) -> Sequence[bool]:
        """Record attempts and move deliveries on; False for each whose lease is no longer ours."""
        return await self._engine.writer.run(lambda tx: settle(tx, batch))

    async def retry(self, ids: Sequence[DeliveryId]) -> Sequence[Retrial]:
        """Owe settled deliveries once more, as a person asks; say what came of each."""
        return await self._engine.writer.run(lambda tx: retry(tx, ids))

    async def pause(self, client_id: ClientId) -> None:
        """Start nothing more for an application; what is in flight ends as it will."""
        await self._engine.writer.run(lambda tx: pause(tx, client_id))

    async def resume(self, client_id: ClientId) -> None:
        """Let a paused lane go on, with what has gathered due at once."""
        await self._engine.writer.run(lambda tx: resume(tx, client_id))

    async def wait(self, seen: int, *, at_most: timedelta) -> int:
        """Return when there may be something to match or to claim, or after *at_most*."""
        return await self._engine.hint.wait(seen, at_most)

    async def prune(self, retention: Retention) -> int:
        """Forget a bite of what is over and older than its retention; return how much went."""
        wall = micros(self._engine.clock.now())
        return await self._engine.writer.run(lambda tx: _tidied(tx, retention, wall))


def _tidied(tx: Transaction, retention: Retention, wall: int) -> int:
    # Now and then is enough for the next boot to know what the clock has shown.
    keep_time(tx)
    return prune(tx, retention, wall)
