"""A disk that fills: intake says so in time, what is in flight is written down, nothing is lost."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.kit.bookkeeping import Books, books
from tests.kit.disks import MEBI, CanNotMount, SmallDisk, a_small_disk
from tests.kit.processes import SinkProcess, a_producer, a_sink, history_of
from tests.kit.service import Service
from tests.kit.steps import (
    APPLICATIONS,
    a_service,
    an_event,
    an_order,
    logged,
    status_of,
    told,
    until,
    until_nothing_waits,
    uris_of,
)
from tests.lab.table import Finding

DISK, RESERVE, BALLAST = 64 * MEBI, 24 * MEBI, 20 * MEBI
REFUSED = 'dispatcher_webhooks_refused_total{code="'
DELIVERED = 'dispatcher_deliveries_settled_total{reason="",state="delivered"}'
FULL_FOR_SECONDS = 4.0


@dataclass(frozen=True, kw_only=True)
class Filled:
    """What came of it."""

    accepted: int
    kept: Books
    least_free: int
    """Bytes that were left at the fullest moment."""
    refused: int
    """What one more webhook was answered while the disk was low, or full."""
    unready: int
    recorded_meanwhile: int
    """Outcomes that were written down while intake was refused."""
    faults: int
    """Times a worker met a store that could not write."""
    exit_code: int


def fat_event(number: int) -> dict[str, Any]:
    """Return an event that takes room."""
    metadata = {f"key{key}": "x" * 255 for key in range(25)}
    return an_event(number) | {"session_metadata": metadata}


@contextmanager
def watched(measure: Callable[[], int]) -> Iterator[list[int]]:
    """Measure again and again meanwhile, on a thread of its own."""
    seen, over = [measure()], threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            seen.append(measure())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


@contextmanager
def _running(
    folder: Path, disk: SmallDisk, sick: float, reserve: int = RESERVE
) -> Iterator[tuple[Service, SinkProcess]]:
    with (
        a_sink(folder, applications=3, unavailable=sick) as sink,
        a_service(
            folder,
            uris_of(sink.ports),
            STORE=f"sqlite:///{disk.folder / 'dispatcher.db'}",
            DISK_RESERVE=str(reserve),
        ) as service,
    ):
        service.start()
        yield service, sink


def fill(folder: Path, *, events: int, ballast: int = BALLAST) -> Filled:
    """Fill the disk with what is owed down to the reserve, heal the applications, make room."""
    with a_small_disk(DISK) as disk, _running(folder, disk, 1.0) as (service, sink):
        disk.take(ballast)
        with (
            watched(lambda: disk.free) as free,
            a_producer(an_order(service, map(fat_event, range(events)), rate=400)) as producer,
        ):
            until(lambda: service.metric(f'{REFUSED}disk_reserve"') > 0)
            refused = told(service, an_event("-more"))
            sink.heal()
            until(lambda: service.metric(DELIVERED) > 100)
            recorded = int(service.metric(DELIVERED))
            unready = status_of(service, "/readyz")
            disk.give_back()
            accepted: list[str] = history_of(producer)["accepted"]
            until_nothing_waits(service)
        return _filled(service, sink, accepted, free, (refused, unready, recorded))


def run_full(folder: Path, *, events: int) -> int:
    """Do the same without a reserve; return how often the store met a disk that was full."""
    with a_small_disk(DISK) as disk, _running(folder, disk, 1.0, reserve=0) as (service, _):
        disk.take(DISK - RESERVE)
        order = an_order(service, map(fat_event, range(events)), rate=400)
        with a_producer(order) as producer:
            until(lambda: disk.free == 0 or producer.poll() is not None)
            until(lambda: bool(logged(service, "worker.failed")))
        return len(logged(service, "worker.failed"))


def overfill(folder: Path, *, events: int) -> Filled:
    """Let somebody else take all of the disk for a while, under load."""
    with a_small_disk(DISK) as disk, _running(folder, disk, 0.0) as (service, sink):
        order = an_order(service, map(an_event, range(events)), rate=200)
        with watched(lambda: disk.free) as free, a_producer(order) as producer:
            until(lambda: sink.count() > 100)
            disk.take(DISK)
            full_until = time.monotonic() + FULL_FOR_SECONDS
            # The disk is looked at once a second, and the log may have room of its own till then.
            until(lambda: status_of(service, "/readyz") == 503)
            refused, unready = told(service, an_event("-more")), status_of(service, "/readyz")
            until(lambda: time.monotonic() > full_until)
            disk.give_back()
            accepted: list[str] = history_of(producer)["accepted"]
            until_nothing_waits(service)
        return _filled(service, sink, accepted, free, (refused, unready, 0))


def _filled(
    service: Service,
    sink: SinkProcess,
    accepted: list[str],
    free: list[int],
    meanwhile: tuple[int, int, int],
) -> Filled:
    refused, unready, recorded = meanwhile
    faults = len(logged(service, "worker.failed"))
    return Filled(
        accepted=len(accepted),
        kept=books(accepted, APPLICATIONS, sink.received()),
        least_free=min(free),
        refused=refused,
        unready=unready,
        recorded_meanwhile=recorded,
        faults=faults,
        exit_code=service.stop(),
    )


def run(seed: int) -> Finding:
    """Try it at full load; nothing in it is left to chance."""
    del seed
    try:
        with TemporaryDirectory() as folder:
            low = fill(Path(folder), events=2500)
        with TemporaryDirectory() as folder:
            full = overfill(Path(folder), events=1500)
    except CanNotMount as error:
        return Finding(measured=f"not tried: no disk can be mounted here ({error})", held=False)
    return Finding(
        measured=(
            f"tmpfs of {DISK // MEBI} MiB; reserve reached: {low.refused} with"
            f" {low.least_free / MEBI:.1f} MiB free at least, {low.recorded_meanwhile} outcomes"
            f" recorded meanwhile, {low.faults} faults; then freed: {low.accepted:,} accepted,"
            f" {len(low.kept.missing)} missing, {low.kept.duplicates} twice. Filled by another:"
            f" {full.least_free} bytes free, {full.refused}, {full.accepted:,} accepted,"
            f" {len(full.kept.missing)} missing, {full.kept.duplicates} twice"
        ),
        held=not (low.kept.missing or full.kept.missing or low.kept.duplicates)
        and low.refused == low.unready == full.refused == full.unready == 503
        and low.least_free > 0
        and low.faults == 0
        and low.recorded_meanwhile > 0
        and low.exit_code == full.exit_code == 0,
    )
