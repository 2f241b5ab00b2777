"""A made-up world for the work: applications that are ill now and then, and a history of it all.

The work itself is the real one, on the real store; what is made up is the network, what is signed
and the time. Everything that happens is written down, to be judged afterwards.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from hashlib import sha256

import anyio
import trio

from dispatcher.domain.applications import Application
from dispatcher.domain.deliveries import (
    Acknowledged,
    Cause,
    DeliveryId,
    Outcome,
    Refused,
    Settled,
    Unreachable,
    kind_of,
)
from tests.kit.clock import NOON
from tests.kit.telemetry import RecordingTelemetry
from tests.kit.virtual import claims_in


class Illness(StrEnum):
    """What ails an application for a while."""

    REFUSES_CONNECTIONS = "refuses connections"
    HANGS = "hangs"
    FAILS = "answers 503"
    WANTS_LESS = "answers 429"
    REFUSES = "answers 400"
    FORGETS = "loses replies"
    FLICKERS = "flickers"


_ANSWERS = {Illness.FAILS: 503, Illness.WANTS_LESS: 429}
_CAUSES = {
    Illness.REFUSES_CONNECTIONS: Cause.CONNECT,
    Illness.HANGS: Cause.TIMEOUT,
    Illness.FORGETS: Cause.PROTOCOL,
}


@dataclass(frozen=True, slots=True)
class Spell:
    """An illness and how long it lasts, in seconds since the beginning."""

    illness: Illness
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Health:
    """How one application does: how long it takes to answer, and its spells of illness."""

    latency: float
    spells: Sequence[Spell] = ()

    def at(self, moment: float) -> Illness | None:
        """Return what ails it at *moment*."""
        ill = (spell.illness for spell in self.spells if spell.start <= moment < spell.end)
        return next(ill, None)


@dataclass(frozen=True, slots=True)
class Post:
    """One token on its way: ``kept`` where the application ended the session by it."""

    client_id: str
    subject: str
    jti: str
    issued_at: float
    expires_at: float
    wall: float
    started: float
    ended: float
    outcome: str
    kept: bool


@dataclass(frozen=True, slots=True)
class Record:
    """One attempt as it was settled; ``held`` where it was written down."""

    delivery: DeliveryId
    client_id: str
    tries: int
    jti: str | None
    started: float
    ended: float
    settled: float
    outcome: Outcome | None
    state: str
    due: float | None
    held: bool


@dataclass
class History:
    """All that happened, in the order in which it did."""

    accepted: dict[str, float] = field(default_factory=dict)
    """By subject: when its event was accepted."""
    owed: set[tuple[str, str]] = field(default_factory=set)
    posts: list[Post] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    troubled: list[tuple[float, float]] = field(default_factory=list)
    """When something was wrong with us: a crash, a store that does not answer."""
    hands: list[tuple[float, str]] = field(default_factory=list)
    """When an operator paused an application or let it go on."""
    busiest: Counter[str] = field(default_factory=Counter)
    most_at_once: int = 0

    def digest(self) -> str:
        """Return one number for the whole history: the same seed gives the same."""
        told = sha256()
        for one in (*self.accepted.items(), *self.posts, *self.records, *self.hands):
            told.update(repr(one).encode())
        return told.hexdigest()[:16]


def now() -> float:
    """Return the seconds since the beginning."""
    return trio.current_time()


class Network:
    """Carries tokens to the applications of the made-up world."""

    def __init__(self, health: Mapping[str, Health], history: History, dice: random.Random) -> None:
        self.ahead = timedelta()
        self._health = health
        self._history = history
        self._dice = dice
        self._under_way: Counter[str] = Counter()

    async def send(
        self, application: Application, _uri: str, token: str, *, timeout: timedelta
    ) -> Outcome:
        """Carry *token*; how it ends depends on how the application does."""
        client_id, started = str(application.client_id), now()
        wall = NOON.timestamp() + started + self.ahead.total_seconds()
        health = self._health[client_id]
        self._enter(client_id)
        try:
            outcome, kept = await self._played(health, timeout.total_seconds())
        finally:
            self._under_way[client_id] -= 1
        self._write_down(client_id, token, (started, wall), outcome, kept=kept)
        return outcome

    def _enter(self, client_id: str) -> None:
        self._under_way[client_id] += 1
        busiest = self._history.busiest
        busiest[client_id] = max(busiest[client_id], self._under_way[client_id])
        self._history.most_at_once = max(self._history.most_at_once, self._under_way.total())

    async def _played(self, health: Health, timeout: float) -> tuple[Outcome, bool]:
        illness = health.at(now())
        if illness is Illness.FLICKERS:
            illness = self._dice.choice([None, Illness.FAILS, Illness.FORGETS, Illness.HANGS])
        latency = health.latency * self._dice.uniform(0.5, 2)
        await anyio.sleep(timeout if illness is Illness.HANGS else min(latency, timeout))
        return self._ended(illness), illness in {None, Illness.FORGETS}

    def _ended(self, illness: Illness | None) -> Outcome:
        if illness is None:
            return Acknowledged(status=200)
        if illness is Illness.REFUSES:
            return Refused(status=400)
        if illness in _ANSWERS:
            wish = self._dice.choice([None, timedelta(seconds=self._dice.randint(1, 3600))])
            return Unreachable(cause=Cause.STATUS, status=_ANSWERS[illness], retry_after=wish)
        return Unreachable(cause=_CAUSES[illness])

    def _write_down(
        self,
        client_id: str,
        token: str,
        begun: tuple[float, float],
        outcome: Outcome,
        *,
        kept: bool,
    ) -> None:
        """Write a post down that has *begun* at a time, and at one of the wall clock's."""
        claims = claims_in(token)
        assert claims["aud"] == client_id
        self._history.posts.append(
            Post(
                client_id=client_id,
                subject=str(claims.get("sid") or claims["sub"]),
                jti=claims["jti"],
                issued_at=claims["iat"],
                expires_at=claims["exp"],
                started=begun[0],
                wall=begun[1],
                ended=now(),
                outcome=kind_of(outcome),
                kept=kept,
            )
        )


class Chronicle(RecordingTelemetry):
    """Telemetry that writes what was settled into the history."""

    def __init__(self, history: History) -> None:
        super().__init__()
        self._history = history
        self._ended: dict[str | None, float] = {}

    def attempted(self, settled: Settled) -> None:
        """Note when an attempt was over; it may take a while to be written down."""
        if settled.attempt is not None:
            self._ended[settled.attempt.jti] = now()

    def settled(self, settled: Settled, *, held: bool) -> None:
        """Write one settlement down."""
        delivery, attempt, due = settled.delivery, settled.attempt, settled.settlement.due_at
        ended = self._ended.get(attempt.jti if attempt else None, now())
        self._history.records.append(
            Record(
                delivery=delivery.id,
                client_id=str(delivery.client_id),
                tries=delivery.tries,
                jti=attempt.jti if attempt else None,
                started=ended - (attempt.duration.total_seconds() if attempt else 0),
                ended=ended,
                settled=now(),
                outcome=attempt.outcome if attempt else None,
                state=settled.settlement.state,
                due=None if due is None else (due - NOON).total_seconds(),
                held=held,
            )
        )


def by_subject(posts: Sequence[Post]) -> Mapping[tuple[str, str], list[Post]]:
    """Return the tokens sent for each application and session, or user."""
    found: dict[tuple[str, str], list[Post]] = defaultdict(list)
    for post in posts:
        found[post.client_id, post.subject].append(post)
    return found
