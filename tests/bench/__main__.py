"""``make bench``: every figure with the yardstick of the same run, and the bar it is held to."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Protocol

from rich.console import Console

from tests.bench import (
    backlog,
    brownout,
    deadlines,
    intake,
    latency,
    memory,
    pipeline,
    replicas,
    sender,
    stores,
)
from tests.bench.figures import Figure, results
from tests.bench.plan import Plan
from tests.bench.processor import WITHOUT, start_without
from tests.bench.report import as_json, as_table


class Measured(Protocol):
    """What a bench returns."""

    def figures(self) -> list[Figure]:
        """Return its figures: the same names each time."""


BENCHES: Mapping[str, Callable[[Plan], Measured]] = {
    "pipeline": pipeline.measure,
    "sender": sender.measure,
    "latency": latency.measure,
    "intake": intake.measure,
    "backlog": backlog.measure,
    "memory": memory.measure,
    "brownout": brownout.measure,
    "deadlines": deadlines.measure,
    "replicas": replicas.measure,
    "stores": stores.measure,
}


def one_run(names: Sequence[str], plan: Plan) -> list[Figure]:
    """Measure each of *names* once, one after the other, saying which on standard error."""
    figures = []
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        figures += BENCHES[name](plan).figures()
    return figures


def main() -> None:
    """Measure, and print a table or JSON."""
    wanted = _arguments().parse_args()
    if wanted.without is not None:
        start_without(wanted.without, sys.argv[1:])
    plan = Plan(**{field.name: getattr(wanted, field.name) for field in fields(Plan)})
    found = results([one_run(wanted.only or list(BENCHES), plan) for _ in range(wanted.runs)])
    if wanted.json:
        print(json.dumps(as_json(found, plan), indent=2))
    else:
        Console(width=None if sys.stdout.isatty() else 150).print(as_table(found))


def _arguments() -> argparse.ArgumentParser:
    arguments = argparse.ArgumentParser(prog="make bench", description=__doc__)
    arguments.add_argument("--only", nargs="+", choices=BENCHES, metavar="NAME", help="of these")
    arguments.add_argument("--runs", type=int, default=1, help="tell the medians of so many")
    arguments.add_argument(
        "--json", action="store_true", help="print JSON, with every run's values"
    )
    arguments.add_argument(
        "--without", choices=WITHOUT, help="keep OpenSSL from this, as if the processor had none"
    )
    for field in fields(Plan):
        option = f"--{field.name.replace('_', '-')}"
        arguments.add_argument(option, type=int, default=field.default)
    return arguments


if __name__ == "__main__":
    main()
