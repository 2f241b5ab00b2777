"""kill -9, again and again, under load: nothing that was accepted is lost."""

import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.kit.bookkeeping import Books, books, claims_of, unsound
from tests.kit.processes import Received, SinkProcess, a_producer, a_sink, history_of
from tests.kit.registration import a_client
from tests.kit.service import Service
from tests.kit.steps import (
    an_event,
    an_order,
    logged,
    until_nothing_waits,
    uris_of,
)
from tests.lab.table import Finding

ALGORITHMS = {"crm": "RS256", "shop": "ES256", "wiki": "PS256"}
IN_FLIGHT_PER_APPLICATION = 16
EVENTS_PER_SECOND = 220
RECOVERS_WITHIN_SECONDS = 1.0
SABOTAGED = (sys.executable, "-m", "tests.kit.sabotage")
"""The service that answers before its commit is on disk."""


@dataclass(kw_only=True)
class Load:
    """What a killed service had accepted and when, and when it was killed and was there again."""

    accepted_at: Mapping[str, float]
    killed_at: Sequence[float]
    listening_at: Sequence[float]


@dataclass(kw_only=True)
class Killed:
    """What came of it."""

    load: Load
    kept: Books
    received: Sequence[Received] = field(repr=False)
    forged: int
    exit_code: int

    @property
    def lost_replies(self) -> int:
        """How many answers were lost on their way back, each of which costs another token."""
        return sum(one.status == 0 for one in self.received)

    @property
    def explained(self) -> bool:
        """Whether lost answers, and what the kills found in flight, explain what came twice."""
        in_flight = len(self.load.killed_at) * IN_FLIGHT_PER_APPLICATION * len(ALGORITHMS)
        return self.kept.duplicates <= self.lost_replies + in_flight

    @property
    def unsound(self) -> int:
        """How many tokens were stale, or had the ``jti`` of another."""
        return len(unsound(self.received))

    @property
    def recoveries(self) -> list[float]:
        """Seconds after each start to the first token of an event from before the kill."""
        sids = [str(claims_of(one.token)["sid"]) for one in self.received]
        return [
            max(0.0, first - listening)
            for killed, listening in zip(self.load.killed_at, self.load.listening_at, strict=True)
            for first in [self._first_recovered(sids, killed)]
            if first is not None
        ]

    def _first_recovered(self, sids: Sequence[str], killed: float) -> float | None:
        owed = (
            one.at
            for one, sid in zip(self.received, sids, strict=True)
            if one.at > killed and self.load.accepted_at.get(sid, killed) < killed
        )
        return min(owed, default=None)


def a_service(folder: Path, ports: Sequence[int]) -> Service:
    """Return a service that is to tell three applications, each by an algorithm of its own."""
    applications = [
        a_client(client_id, uri, algorithm=algorithm)
        for (client_id, algorithm), uri in zip(ALGORITHMS.items(), uris_of(ports), strict=True)
    ]
    return Service(folder, applications)


def killed_under_load(
    service: Service,
    sink: SinkProcess,
    *,
    events: int,
    kills: int,
    seed: int,
    launcher: Sequence[str] = (),
) -> Load:
    """Kill the service *kills* times under load; return what it had accepted."""
    dice = random.Random(seed)
    killed_at: list[float] = []
    service.start(*launcher)
    order = an_order(service, map(an_event, range(events)), rate=EVENTS_PER_SECOND)
    with a_producer(order) as producer:
        for _ in range(kills):
            time.sleep(dice.uniform(0.3, 0.8))  # the load goes on meanwhile
            killed_at.append(time.time())
            service.kill()
            service.start(*launcher)
        history = history_of(producer)
    sink.heal()
    return Load(
        accepted_at=dict(zip(history["accepted"], history["answered"], strict=True)),
        killed_at=killed_at,
        listening_at=_listening(service)[1:],
    )


def _listening(service: Service) -> list[float]:
    """Return when the service said that it listens, at each of its starts."""
    lines = logged(service, "service.listening")
    return [datetime.fromisoformat(line["timestamp"]).timestamp() for line in lines]


def unverified(service: Service, received: Sequence[Received]) -> list[Received]:
    """Return the tokens that a second implementation does not verify by the published keys."""
    keys = KeySet.import_key_set(httpx2.get(f"{service.url}/.well-known/jwks.json").json())
    bad = []
    for one in received:
        try:
            jwt.decode(one.token, keys, algorithms=[*ALGORITHMS.values()])
        except Exception:  # noqa: BLE001 - whatever the reason, it is not verified
            bad.append(one)
    return bad


def kill(folder: Path, *, events: int, kills: int, seed: int) -> Killed:
    """Kill the service under load, then let it finish; the applications fail now and then."""
    with (
        a_sink(folder, applications=3, unavailable=0.15, lost=0.05, seed=seed) as sink,
        a_service(folder, sink.ports) as service,
    ):
        load = killed_under_load(service, sink, events=events, kills=kills, seed=seed)
        until_nothing_waits(service)
        received = sink.received()
        forged = len(unverified(service, received))
        exit_code = service.stop()
    return Killed(
        load=load,
        kept=books(load.accepted_at, list(ALGORITHMS), received),
        received=received,
        forged=forged,
        exit_code=exit_code,
    )


def blind(folder: Path, *, seed: int) -> Books:
    """Do the same to a service whose durable commit was removed: something must be missing.

    The applications answer only at the end, so that no token is out before its event is lost.
    """
    with (
        a_sink(folder, applications=3, unavailable=1.0) as sink,
        a_service(folder, sink.ports) as service,
    ):
        load = killed_under_load(service, sink, events=300, kills=3, seed=seed, launcher=SABOTAGED)
        service.kill()
        service.start()
        until_nothing_waits(service)
        return books(load.accepted_at, list(ALGORITHMS), sink.received())


def run(seed: int) -> Finding:
    """Try it at full load."""
    with TemporaryDirectory() as folder:
        killed = kill(Path(folder), events=6000, kills=25, seed=seed)
    kept, recoveries = killed.kept, killed.recoveries
    slowest = max(recoveries, default=0.0)
    return Finding(
        measured=(
            f"{len(killed.load.accepted_at):,} accepted, {len(kept.owed):,} owed,"
            f" {len(kept.missing)} missing, {len(kept.unasked)} unasked, {killed.forged} forged,"
            f" {killed.unsound} stale; {kept.duplicates} came twice ({killed.lost_replies} replies"
            f" lost); first recovered send {slowest:.2f} s at most ({len(recoveries)} starts)"
        ),
        held=not (kept.missing or kept.unasked or killed.forged or killed.unsound)
        and killed.explained
        and killed.exit_code == 0
        and slowest < RECOVERS_WITHIN_SECONDS,
    )
