"""The soak: at 70 % of what this machine can do, what the service holds does not grow.

``python -m tests.lab.soak``: ten minutes unless ``--minutes`` says otherwise; the last minute is
compared with the third (of a shorter run, the last part with the one before the middle).
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from tests.bench.load import FAN_OUT, a_service, events, order_for, produce, until_delivered
from tests.kit.processes import a_producer, history_of
from tests.kit.service import Service

SHARE = 0.7
MEASURED_WITH = 3000
MEBI = 1 << 20
MOST_GROWTH, MOST_DESCRIPTORS, MOST_LOG = 5 * MEBI, 5, 64 * MEBI
EVERY_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Sample:
    """What the service held at one moment."""

    second: float
    resident: int
    descriptors: int
    log: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Soaked:
    """What came of it; sizes in bytes, growth from the early samples to the late ones."""

    minutes: float
    per_second: float
    accepted: int
    growth: float
    resident: float
    descriptors: float
    largest_log: int
    exit_code: int

    @property
    def held(self) -> bool:
        """Whether all stayed within its bounds."""
        return (
            self.growth <= MOST_GROWTH
            and abs(self.descriptors) <= MOST_DESCRIPTORS
            and self.largest_log <= MOST_LOG
            and self.exit_code == 0
        )

    def __str__(self) -> str:
        return (
            f"{self.accepted:,} events in {self.minutes:g} minutes ({self.per_second:.0f}/s for"
            f" {FAN_OUT} applications each, {SHARE:.0%} of the capacity): memory"
            f" {self.growth / MEBI:+.1f} MiB of {self.resident / MEBI:.0f} (+5 at most),"
            f" descriptors {self.descriptors:+.0f} (5 at most), write-ahead log"
            f" {self.largest_log / MEBI:.1f} MiB at most (64):"
            f" {'held' if self.held else 'NOT held'}"
        )


def capacity(service: Service) -> float:
    """Return how many events a second the service takes in and delivers, end to end."""
    started = time.monotonic()
    produce(service, events(MEASURED_WITH))
    until_delivered(service, MEASURED_WITH * FAN_OUT)
    return MEASURED_WITH / (time.monotonic() - started)


def soak(minutes: float) -> Soaked:
    """Load the service for so long, and compare what it held late with what it held early."""
    seconds = minutes * 60
    with a_service("ES256") as (service, _):
        rate = SHARE * capacity(service)
        bodies = events(int(rate * seconds), start=MEASURED_WITH)
        started = time.monotonic()
        with a_producer(order_for(service, bodies, rate=rate)) as producer:
            samples = _sampled(service, started, seconds)
            accepted = len(history_of(producer)["accepted"])
        exit_code = service.stop()
    early, late = _part(samples, seconds, early=True), _part(samples, seconds, early=False)
    return Soaked(
        minutes=minutes,
        per_second=rate,
        accepted=accepted,
        growth=median(one.resident for one in late) - median(one.resident for one in early),
        resident=median(one.resident for one in late),
        descriptors=median(one.descriptors for one in late)
        - median(one.descriptors for one in early),
        largest_log=max(one.log for one in samples),
        exit_code=exit_code,
    )


def _sampled(service: Service, started: float, seconds: float) -> list[Sample]:
    samples = []
    while (second := time.monotonic() - started) < seconds:
        log = service.folder / "dispatcher.db-wal"
        samples.append(Sample(second, service.resident_bytes(), service.descriptors(), _size(log)))
        time.sleep(EVERY_SECONDS)  # the load goes on
    return samples


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _part(samples: Sequence[Sample], seconds: float, *, early: bool) -> list[Sample]:
    """Return the samples of the third minute of ten, or of the tenth; a tenth of the time."""
    start = seconds * (0.2 if early else 0.9)
    return [one for one in samples if start <= one.second < start + seconds / 10]


def main() -> int:
    """Soak, and say what was seen."""
    arguments = argparse.ArgumentParser(prog="make soak")
    arguments.add_argument("--minutes", type=float, default=10.0)
    arguments.add_argument("--json", action="store_true")
    wanted = arguments.parse_args()
    soaked = soak(wanted.minutes)
    print(json.dumps(asdict(soaked) | {"held": soaked.held}, indent=2) if wanted.json else soaked)
    return 0 if soaked.held else 1


if __name__ == "__main__":
    sys.exit(main())
