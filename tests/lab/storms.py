"""A storm of repeats: one event that is told a thousand times, by many, while the service dies."""

import random
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.kit.processes import a_producer, a_sink, history_of
from tests.kit.steps import (
    a_service,
    an_event,
    an_order,
    listed,
    until_nothing_waits,
    uris_of,
)
from tests.lab.table import Finding

PRODUCERS = 32
PER_SECOND = 130


@dataclass(frozen=True, kw_only=True)
class Storm:
    """What came of it."""

    answers: Counter[str]
    """How many 202 there were, by the id under which the event was known."""
    events: int
    deliveries: int
    tokens: int
    kills: int
    exit_code: int


def blow(folder: Path, *, repeats: int, kills: int, seed: int) -> Storm:
    """Tell of one event again and again, and kill the service meanwhile."""
    dice = random.Random(seed)
    with (
        a_sink(folder, applications=1) as sink,
        a_service(folder, uris_of(sink.ports)) as service,
    ):
        service.start()
        events = [an_event(1, "crm")] * repeats
        order = an_order(service, events, connections=PRODUCERS, rate=PER_SECOND)
        with a_producer(order) as producer:
            for _ in range(kills):
                time.sleep(dice.uniform(0.2, 0.6))  # the storm goes on meanwhile
                service.kill()
                service.start()
            history = history_of(producer)
        until_nothing_waits(service)
        with service.api() as api:
            found, deliveries = listed(api, "events"), listed(api, "deliveries")
        exit_code = service.stop()
        return Storm(
            answers=Counter(history["event_ids"]),
            events=len(found),
            deliveries=len(deliveries),
            tokens=sink.count(),
            kills=kills,
            exit_code=exit_code,
        )


def run(seed: int) -> Finding:
    """Try it at full load."""
    with TemporaryDirectory() as folder:
        storm = blow(Path(folder), repeats=1000, kills=5, seed=seed)
    return Finding(
        measured=(
            f"{storm.answers.total():,} times 202 with {len(storm.answers)} id, {storm.events}"
            f" event, {storm.deliveries} delivery, {storm.tokens} token (each of {storm.kills}"
            " kills may cost one more)"
        ),
        held=[*storm.answers.values()] == [1000]
        and storm.events == storm.deliveries == 1
        and 1 <= storm.tokens <= 1 + storm.kills
        and storm.exit_code == 0,
    )
