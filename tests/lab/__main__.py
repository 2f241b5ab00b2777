"""The laboratory: ``make lab`` tries everything at full load, and prints one table.

``--only`` takes names of experiments, ``--seed`` repeats a run, ``--json`` is for machines. The
exit code is 0 only where all held.
"""

import argparse
import json
import sys
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from tests.lab import (
    clocks,
    days,
    disks,
    drains,
    faults,
    hosts,
    kills,
    machine,
    outage,
    power,
    replicas,
    servers,
    storms,
)
from tests.lab.table import Experiment, Finding

EXPERIMENTS: Sequence[Experiment] = (
    Experiment(
        name="kills",
        test="kill -9 of the process",
        load="25 times, 6,000 events for 3 applications, 15 % 503, 5 % lost replies",
        must_hold="0 missing, forged or stale; first recovered send < 1 s after the start",
        run=kills.run,
    ),
    Experiment(
        name="replicas",
        test="kill -9 of replicas on PostgreSQL, one of them stopped for two leases",
        load=(
            "3 replicas with leases of 6 s, one killed every second, 50 times;"
            " 10,000 events for 5 applications"
        ),
        must_hold="0 missing, unasked, forged or stale; what came twice explained; fenced > 0",
        run=replicas.run,
    ),
    Experiment(
        name="power",
        test="power cut",
        load="500, in commits and checkpoints, unsynced sectors lost or torn; NORMAL as control",
        must_hold="FULL loses nothing and is sound; NORMAL loses",
        run=power.run,
    ),
    Experiment(
        name="disk",
        test="disk full, then freed",
        load="2,500 events of 6 KiB down to the reserve; 1,500 on a disk that another fills",
        must_hold="503 before it is full, outcomes recorded meanwhile, 0 missing of every 202",
        run=disks.run,
    ),
    Experiment(
        name="clock",
        test="wall clock set while running",
        load="+5 min, -5 min, -1 h, 40 applications between attempts, one attempt of 6 s",
        must_hold="no retry early or late, no lease lost, alert < 5 s, stale webhooks 503 not 401",
        run=clocks.run,
    ),
    Experiment(
        name="host",
        test="host's clock against the database's, 2 replicas",
        load="one of them +5 min from its start, then -5 min, -1 h; 40 applications, 6 s attempts",
        must_hold="no retry early or late, no lease taken, alert < 5 s, stale webhooks 503 not 401",
        run=hosts.run,
    ),
    Experiment(
        name="drain",
        test="SIGTERM under load; grace over; second SIGTERM; SIGKILL in the drain",
        load="3 x 900 events at 150/s; 2 tokens that are held",
        must_hold="503 at once, webhooks 202 meanwhile, exit 0, 0 missing, 0 twice; rest taken up",
        run=drains.run,
    ),
    Experiment(
        name="storm",
        test="the same id again and again, with kills",
        load="1,000 times from 32 producers, 5 kills",
        must_hold="one event, every answer 202 with its id",
        run=storms.run,
    ),
    Experiment(
        name="outage",
        test="24 h outage of one application, virtual time",
        load="100,000 logouts parked, two others told meanwhile",
        must_hold="told once, oldest first, at 10/s doubling; the others wait < 100 ms",
        run=outage.run,
    ),
    Experiment(
        name="network",
        test="fault proxy before the applications",
        load="600 events for 3: reset, drip, truncate, black hole, half-close, latency by chance",
        must_hold="each told once it is healed; each attempt taken for what it was",
        run=faults.run,
    ),
    Experiment(
        name="server",
        test="PostgreSQL ended and started again, and cut off",
        load="5 times, and 60 s of silence between; 4,400 events at 120/s, 2 replicas",
        must_hold="503 within 2 s, no false 202, 0 missing, ready < 5 s after it, nobody charged",
        run=servers.run,
    ),
    Experiment(
        name="days",
        test="simulated days, virtual time",
        load=f"{days.DAYS} x 24 h: ill applications, crashes, store and signer faults, clock steps",
        must_hold="nothing lost or unasked, times and caps kept, the healthy wait < 1 s",
        run=days.run,
    ),
    Experiment(
        name="model",
        test="the store against a model",
        load="300 runs of 40 steps: accept, repeat, join, match, claim, settle, restart, ...",
        must_hold="they agree on every event, delivery, lease, cap and count",
        run=machine.run,
    ),
)


def tried(experiment: Experiment, seed: int) -> tuple[Finding, float]:
    """Run one experiment, and return what it found and how many seconds it took."""
    started = time.monotonic()
    try:
        finding = experiment.run(seed)
    except Exception as error:  # noqa: BLE001 - an experiment that breaks has found something
        traceback.print_exc()
        finding = Finding(measured=f"broke: {type(error).__name__}: {error}", held=False)
    return finding, time.monotonic() - started


def main() -> int:
    """Try what is wanted, and print the table."""
    arguments = argparse.ArgumentParser(prog="make lab")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--only", nargs="*", choices=[one.name for one in EXPERIMENTS])
    arguments.add_argument("--json", action="store_true")
    wanted = arguments.parse_args()
    chosen = [one for one in EXPERIMENTS if not wanted.only or one.name in wanted.only]
    rows = []
    for experiment in chosen:
        print(f"{experiment.name} ...", end=" ", file=sys.stderr, flush=True)
        finding, seconds = tried(experiment, wanted.seed)
        print(f"{'held' if finding.held else 'NOT held'}, {seconds:.0f} s", file=sys.stderr)
        rows.append((experiment, finding, seconds))
    command = " ".join(["python -m tests.lab", *sys.argv[1:]])
    _print(
        rows, f"{datetime.now(UTC):%Y-%m-%d}, seed {wanted.seed}, {command}", as_json=wanted.json
    )
    return 0 if all(finding.held for _, finding, _ in rows) else 1


def _print(rows: Sequence[tuple[Experiment, Finding, float]], title: str, *, as_json: bool) -> None:
    if as_json:
        found = [
            {
                "name": experiment.name,
                "test": experiment.test,
                "load": experiment.load,
                "must_hold": experiment.must_hold,
                "measured": finding.measured,
                "held": finding.held,
                "seconds": round(seconds, 1),
            }
            for experiment, finding, seconds in rows
        ]
        print(json.dumps({"run": title, "rows": found}, indent=2))
        return
    table = Table(title=title, show_lines=True)
    for column in ("test", "load", "must hold", "measured", "held?"):
        table.add_column(column, overflow="fold")
    for experiment, finding, _ in rows:
        held = "yes" if finding.held else "NO"
        table.add_row(
            experiment.test, experiment.load, experiment.must_hold, finding.measured, held
        )
    Console(width=160).print(table)


if __name__ == "__main__":
    sys.exit(main())
