"""The soak: at 70 % of what this machine can do, what service and store hold does not grow.

``python -m tests.lab.soak``: ten minutes on each store, one after the other, unless ``--store`` and
``--minutes`` say otherwise. What is over is forgotten after a minute, so that rows go as they come.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import anyio
import psycopg

from dispatcher.adapters.postgres import migrate
from dispatcher.domain.applications import LogoutDelivery
from tests.bench.load import (
    DELIVERED,
    FAN_OUT,
    a_service,
    events,
    order_for,
    produce,
    until_delivered,
)
from tests.kit.postgres import an_own_server
from tests.kit.processes import a_producer, history_of
from tests.kit.service import Service
from tests.kit.steps import QUICK_KEYS
from tests.lab.holdings import (
    MEBI,
    Bound,
    Sample,
    Series,
    Verdict,
    at_most_times,
    grows_by,
    never_above,
    strays_by,
)

SHARE = 0.7
MEASURED_WITH = 3000
EVERY_SECONDS = 2.0
LAUNCHER = (sys.executable, "-m", "tests.lab.short_retention")

_MANY_WAITING = 5000
_OF_THE_SERVICE: Mapping[str, Bound] = {
    "memory": grows_by(5 * MEBI),
    "descriptors": strays_by(5),
    "kept connections": never_above(FAN_OUT * LogoutDelivery().max_in_flight),
    "deliveries waiting": at_most_times(2, least=_MANY_WAITING),
}
"""Where ever more waits it was too much load, and the other figures tell of that.

Connections that are kept for the next token come and go with the load, up to the lanes' caps, and
are counted apart from all other descriptors.
"""
_WAITING = 'dispatcher_deliveries{state="pending"}'
_HOT = ("event", "delivery", "attempt", "lane", "intake")
_LOOK = f"""
SELECT relname, n_dead_tup, pg_total_relation_size(relid), n_live_tup FROM pg_stat_user_tables
WHERE relname IN {_HOT} ORDER BY relname
"""  # noqa: S608 - constant names
_FEW_DEAD, _SMALL = 500, 4 * MEBI


@dataclass(frozen=True, slots=True)
class Ground:
    """A store to soak on: what a service needs to use it, and what the store holds."""

    store: str
    bounds: Mapping[str, Bound]
    """By the name of what is held."""
    look: Callable[[Service], Mapping[str, int]]
    environment: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def on_sqlite() -> Iterator[Ground]:
    """Look at the log, which only grows while nobody puts it into the database."""

    def look(service: Service) -> Mapping[str, int]:
        return {"MiB of log": _size(service.folder / "dispatcher.db-wal")}

    yield Ground("sqlite", {"MiB of log": never_above(64 * MEBI, unit=MEBI)}, look)


@contextmanager
def on_postgres(*settings: str) -> Iterator[Ground]:
    """Make a server on the disk; its counts of rows are estimates, so sizes are witnesses too."""
    bounds = {f"dead rows of {table}": at_most_times(2, least=_FEW_DEAD) for table in _HOT} | {
        f"MiB of {table}": at_most_times(2, least=_SMALL, unit=MEBI) for table in _HOT
    }
    with an_own_server(*settings, on_disk=True) as server, server.database() as url:
        anyio.run(migrate, url)
        with psycopg.connect(url, autocommit=True) as connection:

            def look(_: Service) -> Mapping[str, int]:
                seen: dict[str, int] = {}
                for table, dead, size, live in connection.execute(_LOOK.encode()).fetchall():
                    seen |= {f"dead rows of {table}": dead, f"MiB of {table}": size}
                    seen[f"rows of {table}"] = live
                return seen

            yield Ground("postgres", bounds, look, {"DISPATCHER_STORE": url})


GROUNDS: Mapping[str, Callable[[], AbstractContextManager[Ground]]] = {
    "sqlite": on_sqlite,
    "postgres": on_postgres,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Soaked:
    """What came of it."""

    store: str
    minutes: float
    share: float
    per_second: float
    accepted: int
    delivered: int
    """Of what this run accepted, for all applications together."""
    exit_code: int
    verdicts: Sequence[Verdict]
    samples: Sequence[Sample]

    @property
    def held(self) -> bool:
        """Whether all stayed within its bounds, and nothing was left behind."""
        return (
            all(verdict.held for verdict in self.verdicts)
            and self.delivered == self.accepted * FAN_OUT
            and self.exit_code == 0
        )

    def __str__(self) -> str:
        return (
            f"{self.store}: {self.accepted:,} events in {self.minutes:g} minutes"
            f" ({self.per_second:.0f}/s for {FAN_OUT} applications each, {self.share:.0%} of the"
            f" capacity), {self.delivered:,} delivered, exit {self.exit_code}:"
            f" {', '.join(map(str, self.verdicts))}: {'held' if self.held else 'NOT held'}"
        )


def capacity(service: Service, count: int) -> float:
    """Return how many events a second the service takes in and delivers, end to end."""
    started = time.monotonic()
    produce(service, events(count))
    until_delivered(service, count * FAN_OUT)
    return count / (time.monotonic() - started)


def soak(
    ground: AbstractContextManager[Ground],
    minutes: float,
    *,
    share: float = SHARE,
    measured_with: int = MEASURED_WITH,
    every: float = EVERY_SECONDS,
) -> Soaked:
    """Load the service on *ground* for so long, and compare what is held late with early."""
    seconds = minutes * 60
    with (
        ground as here,
        a_service("ES256", environment={**QUICK_KEYS, **here.environment}, launcher=LAUNCHER) as (
            service,
            sink,
        ),
    ):
        rate = share * capacity(service, measured_with)
        bodies = events(int(rate * seconds), start=measured_with)
        with a_producer(order_for(service, bodies, rate=rate)) as producer:
            samples = [*_sampled(service, sink.ports, here, seconds, every)]
            accepted = len(history_of(producer)["accepted"])
        until_delivered(service, (measured_with + accepted) * FAN_OUT)
        delivered = int(service.metric(DELIVERED)) - measured_with * FAN_OUT
        exit_code = service.stop()
    return Soaked(
        store=here.store,
        minutes=minutes,
        share=share,
        per_second=rate,
        accepted=accepted,
        delivered=delivered,
        exit_code=exit_code,
        verdicts=judged({**_OF_THE_SERVICE, **here.bounds}, samples, seconds),
        samples=samples,
    )


def judged(
    bounds: Mapping[str, Bound], samples: Sequence[Sample], seconds: float
) -> Sequence[Verdict]:
    """Judge all that was held by its bound."""
    return [judge(name, Series.of(name, samples, seconds)) for name, judge in bounds.items()]


def _sampled(
    service: Service, ports: Collection[int], ground: Ground, seconds: float, every: float
) -> Iterator[Sample]:
    started = time.monotonic()
    while (second := time.monotonic() - started) < seconds:
        kept = len(service.connections_to(ports))
        held = {
            "memory": service.resident_bytes(),
            "descriptors": service.descriptors() - kept,
            "kept connections": kept,
            "deliveries waiting": int(service.metric(_WAITING)),
        }
        yield Sample(second, {**held, **ground.look(service)})
        time.sleep(every)  # the load goes on


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def main() -> int:
    """Soak, and say what was seen."""
    arguments = argparse.ArgumentParser(prog="make soak")
    arguments.add_argument("--store", choices=[*GROUNDS], action="append")
    arguments.add_argument("--minutes", type=float, default=10.0)
    arguments.add_argument("--share", type=float, default=SHARE, help="of the capacity")
    arguments.add_argument("--json", action="store_true")
    wanted = arguments.parse_args()
    all_held = True
    for store in wanted.store or GROUNDS:
        soaked = soak(GROUNDS[store](), wanted.minutes, share=wanted.share)
        told = json.dumps(asdict(soaked) | {"held": soaked.held}) if wanted.json else str(soaked)
        print(told, flush=True)
        all_held &= soaked.held
    return 0 if all_held else 1


if __name__ == "__main__":
    sys.exit(main())
