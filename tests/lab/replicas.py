"""Replicas on one PostgreSQL: one after another is killed, one is stopped, and nothing is lost.

The stopped one goes on, after two leases, as if nothing had been: what it had in flight has been
told by others meanwhile, and what it has to say about that comes too late.
"""

import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dispatcher.domain.deliveries import OutcomeKind
from tests.kit import short_leases
from tests.kit.bookkeeping import Books, books, claims_of, unsound
from tests.kit.postgres import an_own_server
from tests.kit.processes import Received, SinkProcess, a_producer, a_sink, history_of
from tests.kit.registration import a_client
from tests.kit.replicas import replicas
from tests.kit.service import Service
from tests.kit.steps import (
    QUICK_KEYS,
    an_event,
    an_order,
    listed,
    until,
    until_nothing_waits,
    uris_of,
)
from tests.lab.kills import unverified
from tests.lab.table import Finding

APPLICATIONS = tuple(f"app{number}" for number in range(5))
MAX_IN_FLIGHT = 48
"""Of an application, over all replicas: what died in flight takes its room until its lease ends."""
FIRST_TOKENS = 100
"""How many have come before anybody is harmed."""
FENCED = "dispatcher_leases_lost_total"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The load, and what is done to those that carry it; seconds."""

    seed: int
    events: int
    per_second: float
    kills: int
    stop_after: int
    """How many kills there are before one replica is stopped."""
    every: float = 1.0
    """From one kill to the next, where the killed one is back by then."""
    lease: float = 6.0
    answers_after: float = 0.05
    """How long each application takes, so that something is in flight whenever one looks."""
    lost: float = 0.01


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the store says of the tokens of deliveries of which more than one came."""

    acknowledged_again: int
    """Outcomes written over one that had ended the delivery: there must be none."""
    unheard: int
    """Whose answer was lost, or came too late."""
    unwritten: int
    """Whose replica was killed or stopped before it had written down what became of them."""


@dataclass(frozen=True, kw_only=True)
class Survived:
    """What came of it."""

    accepted: int
    repeats: int
    """How often a replica did not take an event, which another was sent then."""
    kept: Books
    received: Sequence[Received] = field(repr=False)
    recorded: Recorded
    forged: int
    kills: int
    fenced: int
    """Outcomes of the stopped replica that came too late."""
    exit_codes: Sequence[int]

    @property
    def unsound(self) -> int:
        """How many tokens were stale, or had the ``jti`` of another."""
        return len(unsound(self.received))

    @property
    def explained(self) -> bool:
        """Whether lost answers, and what was in flight at a kill or the stop, explain the rest."""
        most = (self.kills + 1) * MAX_IN_FLIGHT * len(APPLICATIONS)
        return self.recorded.acknowledged_again == 0 and self.recorded.unwritten <= most


def survive(
    folder: Path, url: str, plan: Plan, launcher: Sequence[str] = short_leases.LAUNCHER
) -> Survived:
    """Kill and stop replicas under load, and let them finish."""
    with (
        a_sink(
            folder,
            applications=len(APPLICATIONS),
            lost=plan.lost,
            seconds=plan.answers_after,
            seed=plan.seed,
        ) as sink,
        replicas(_first(folder, sink, plan), url, ("all", "all", "all"), launcher) as running,
    ):
        first, *others = running
        order = an_order(
            first, map(an_events_end, range(plan.events)), beside=others, rate=plan.per_second
        )
        with a_producer(order) as producer:
            kills, stopped = _haunted(running, sink, plan, launcher)
            history = history_of(producer)
        sink.heal()
        until_nothing_waits(first)
        received = sink.received()
        kept = books(history["accepted"], APPLICATIONS, received)
        return Survived(
            accepted=len(history["accepted"]),
            repeats=len(history["refused"]),
            kept=kept,
            received=received,
            recorded=_recorded(first, history, received),
            forged=len(unverified(first, received)),
            kills=kills,
            fenced=int(stopped.metric(FENCED)),
            exit_codes=[service.stop() for service in running],
        )


def an_events_end(number: int) -> Mapping[str, Any]:
    """Return the end of a session that all applications are to be told of."""
    return an_event(number, *APPLICATIONS)


def _first(folder: Path, sink: SinkProcess, plan: Plan) -> Service:
    applications = [
        a_client(client_id, uri, algorithm="ES256", max_in_flight=MAX_IN_FLIGHT)
        for client_id, uri in zip(APPLICATIONS, uris_of(sink.ports), strict=True)
    ]
    environment = {
        **QUICK_KEYS,
        "DISPATCHER_ATTEMPT_TIMEOUT": "1",
        short_leases.SECONDS: str(plan.lease),
    }
    return Service(folder, applications, environment)


@dataclass
class Reaper:
    """Kills one replica after another, by dice, and lets each come back before the next."""

    dice: random.Random
    every: float
    launcher: Sequence[str]
    killed: list[Service] = field(default_factory=list)

    @property
    def kills(self) -> int:
        """How many there have been."""
        return len(self.killed)

    def longest_spared(self, of: Sequence[Service]) -> Service:
        """Return the one *of* these to which who was turned away by the others has come."""
        since = {id(victim): kill for kill, victim in enumerate(self.killed)}
        return min(of, key=lambda service: since.get(id(service), -1))

    def kill_one(self, of: Sequence[Service]) -> None:
        """Kill one *of* these, start it again, and wait for the rest of the time."""
        ends = time.monotonic() + self.every
        victim = self.dice.choice(of)
        victim.kill()
        self.killed.append(victim)
        victim.start(*self.launcher)
        time.sleep(max(0.0, ends - time.monotonic()))  # the load goes on meanwhile


def _haunted(
    running: Sequence[Service], sink: SinkProcess, plan: Plan, launcher: Sequence[str]
) -> tuple[int, Service]:
    """Kill one after another, and stop one for two leases; return the number of kills, and it.

    That one is spared afterwards, for what it counts would go with it.
    """
    until(lambda: sink.count() > FIRST_TOKENS)
    reaper = Reaper(random.Random(plan.seed), plan.every, launcher)
    while reaper.kills < plan.stop_after:
        reaper.kill_one(running)
    stopped = _stop_one_at_work(running, sink, plan, reaper)
    others = [service for service in running if service is not stopped]
    frozen_until = time.monotonic() + 2 * plan.lease
    while time.monotonic() < frozen_until:
        reaper.kill_one(others)
    stopped.thaw()
    while reaper.kills < plan.kills:
        reaper.kill_one(others)
    return reaper.kills, stopped


def _stop_one_at_work(
    running: Sequence[Service], sink: SinkProcess, plan: Plan, reaper: Reaper
) -> Service:
    """Stop the one with the most to do once it has tokens on their way: it reads no answer to them.

    Where it was stopped between two tokens it goes on, and is stopped again.
    """
    one = reaper.longest_spared(running)
    while True:
        one.freeze()
        time.sleep(2 * plan.answers_after)  # until what it has on its way is answered
        if one.unread_from(sink.ports):
            return one
        one.thaw()
        time.sleep(plan.answers_after)  # the load goes on


def _recorded(
    service: Service, history: Mapping[str, Any], received: Sequence[Received]
) -> Recorded:
    """Look up what came more than once."""
    tokens: dict[tuple[str, str], list[str]] = {}
    for one in received:
        if one.status != 503:
            claims = claims_of(one.token)
            owed = str(claims["aud"]), str(claims["sid"])
            tokens.setdefault(owed, []).append(str(claims["jti"]))
    repeated = {owed: jtis for owed, jtis in tokens.items() if len(jtis) > 1}
    known_as = dict(zip(history["accepted"], history["event_ids"], strict=True))
    outcomes: dict[str, str] = {}
    with service.api() as api:
        for sid in {sid for _, sid in repeated}:
            for delivery in listed(api, "deliveries", event_id=known_as[sid]):
                outcomes |= {one["jti"]: one["outcome"] for one in delivery["attempts"]}
    found = Counter(outcomes.get(jti) for jtis in repeated.values() for jti in jtis)
    return Recorded(
        acknowledged_again=found[OutcomeKind.ACKNOWLEDGED] - len(repeated),
        unheard=found[OutcomeKind.UNREACHABLE],
        unwritten=found[None],
    )


FULL = Plan(seed=1, events=10_000, per_second=180, kills=50, stop_after=10)


def run(seed: int) -> Finding:
    """Try it at full load."""
    with TemporaryDirectory() as folder, an_own_server() as server, server.database() as url:
        survived = survive(Path(folder), url, replace(FULL, seed=seed))
    kept, recorded = survived.kept, survived.recorded
    return Finding(
        measured=(
            f"{survived.accepted:,} accepted, {len(kept.owed):,} owed, {len(kept.missing)} missing,"
            f" {len(kept.unasked)} unasked, {survived.forged} forged, {survived.unsound} stale;"
            f" {survived.kills} kills, {survived.repeats} times an event went on to another"
            f" replica; {kept.duplicates} came twice: {recorded.unheard} unheard,"
            f" {recorded.unwritten} in flight at a kill or the stop,"
            f" {recorded.acknowledged_again} else; {survived.fenced} outcomes of the stopped one"
            " fenced"
        ),
        held=not (kept.missing or kept.unasked or survived.forged or survived.unsound)
        and survived.accepted == FULL.events
        and survived.explained
        and survived.fenced > 0
        and set(survived.exit_codes) == {0},
    )
