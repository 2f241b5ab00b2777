"""Joins, ends and matches of very many sessions, all at once, and whether any logout is missed.

Each play is one session. Its applications join while it ends, once or twice, by its sid or with all
the user's sessions, and while the store matches what has come so far. Every join says that it
happened before the end, so that each application is owed a logout by each end, whatever came first.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import anyio
import anyio.lowlevel

from dispatcher.domain.events import Intake, LogoutEvent, SessionJoined
from dispatcher.domain.ledger import EventFilter
from dispatcher.domain.matching import match
from tests.contract.steps import match_all
from tests.contract.stores import Store
from tests.kit.builders import a_join, an_event
from tests.kit.clock import NOON

CLIENTS = ("shop", "mail", "wiki")
_BEFORE = NOON - timedelta(minutes=1)
_AT_ONCE = 60
_MATCHERS = 3

Owed = tuple[str, str]
"""An event's id, and the client_id that it has to tell."""


@dataclass
class Play:
    """One session: what is told of it, and in which order that was on disk."""

    intakes: Sequence[Intake]
    order: list[Intake] = field(default_factory=list)

    @property
    def owed(self) -> set[Owed]:
        """What each end owes: a logout of every application that joined."""
        ends = [one.id for one in self.intakes if isinstance(one, LogoutEvent)]
        return {(end, client_id) for end in ends for client_id in self._joined()}

    def _joined(self) -> Iterator[str]:
        for one in self.intakes:
            if isinstance(one, SessionJoined):
                yield from (client.client_id for client in one.clients)

    @property
    def late(self) -> bool:
        """Whether an application joined after an end."""
        kinds = [isinstance(one, LogoutEvent) for one in self.order]
        return True in kinds and not all(kinds[kinds.index(True) :])


@dataclass
class Outcome:
    """What came of all plays; ``late`` is how many of them had a late join."""

    missed: set[Owed]
    late: int


async def play_all(store: Store, *, plays: int, seed: int) -> Outcome:
    """Play so many sessions, many at a time, and look for what is owed and was missed."""
    dice = random.Random(seed)
    stage = [_play(number, dice) for number in range(plays)]
    limiter = anyio.Semaphore(_AT_ONCE)

    async def keep_matching() -> None:
        while True:
            await store.match(dice.randint(1, 2 * _AT_ONCE), match)

    async def played(play: Play) -> None:
        async with anyio.create_task_group() as sources:
            for batch in _batches(play.intakes, dice):
                sources.start_soon(_tell, store, play, batch, dice.randint(0, 9))
        limiter.release()

    async with anyio.create_task_group() as matching:
        for _ in range(_MATCHERS):
            matching.start_soon(keep_matching)
        async with anyio.create_task_group() as playing:
            for play in stage:
                await limiter.acquire()
                playing.start_soon(played, play)
        matching.cancel_scope.cancel()
    while await match_all(store):
        pass
    owed = {owed for play in stage for owed in play.owed}
    return Outcome(owed - await _told(store), sum(play.late for play in stage))


async def _tell(store: Store, play: Play, batch: Sequence[Intake], pauses: int) -> None:
    for _ in range(pauses):
        await anyio.lowlevel.checkpoint()
    await store.accept(batch)
    play.order.extend(batch)


def _play(number: int, dice: random.Random) -> Play:
    sid, sub = f"s{number}", f"u{number}"
    joining = dice.sample(CLIENTS, dice.randint(1, len(CLIENTS)))
    joins = [a_join(one, sid=sid, sub=sub, occurred_at=_BEFORE) for one in joining]
    of_session = an_event(sid=sid, sub=None)
    of_user = an_event(sub=sub, initiator="account-deleted")
    ends = dice.choice(([of_session], [of_user], [of_session, of_user]))
    return Play([*joins, *ends])


def _batches(intakes: Sequence[Intake], dice: random.Random) -> list[list[Intake]]:
    """Return *intakes* in any order, now and then two of them in one batch."""
    shuffled = dice.sample(intakes, len(intakes))
    if dice.random() < 0.1:
        return [shuffled[:2], *([one] for one in shuffled[2:])]
    return [[one] for one in shuffled]


async def _told(store: Store) -> set[Owed]:
    told: set[Owed] = set()
    page = await store.events(EventFilter(take=100))
    while page:
        told |= {(one.event.id, d.client_id) for one in page for d in one.deliveries}
        page = await store.events(EventFilter(take=100, before=page[-1].event.event_id))
    return told
