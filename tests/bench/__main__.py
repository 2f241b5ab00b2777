"""``make bench``: every figure with the yardstick of the same run."""

import argparse
import json
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from tests.bench.pipeline import FAN_OUT, Run, memory_with_pending, run_pipeline
from tests.bench.yardstick import raw_rsa_signature

ALGORITHMS = ("RS256", "ES256")
MEGA = 1 << 20


def measure(*, tokens: int, pending: int) -> dict[str, float]:
    """Run everything, and return figures by name: seconds, bytes, ratios to the yardstick."""
    before = raw_rsa_signature()
    runs = [run_pipeline(algorithm, tokens) for algorithm in ALGORITHMS]
    idle, loaded = memory_with_pending(pending)
    after = raw_rsa_signature()
    yardstick = (before + after) / 2
    figures = {"raw_rsa_before": before, "raw_rsa_after": after}
    for run in runs:
        figures |= _of(run, yardstick)
    return figures | {"pending": pending, "resident_idle": idle, "resident_pending": loaded}


def _of(run: Run, yardstick: float) -> dict[str, float]:
    name = run.algorithm.lower()
    return {
        f"{name}_tokens": run.tokens,
        f"{name}_cpu_per_token": run.cpu_per_token,
        f"{name}_cpu_ratio": run.cpu_per_token / yardstick,
        f"{name}_tokens_per_second": run.tokens_per_second,
        f"{name}_rate_ratio": run.tokens_per_second * yardstick,
        f"{name}_accept_p50": run.accept_p50,
        f"{name}_accept_p99": run.accept_p99,
        f"{name}_accepts_per_second": run.accepts_per_second,
    }


def _print(figures: Mapping[str, float]) -> None:
    table = Table(title=f"fan-out {FAN_OUT}, single-event HMAC webhooks, one process")
    for column in ("", "tokens", "CPU/token", "x raw RSA", "tokens/s", "202 p50", "p99", "202/s"):
        table.add_column(column, justify="right")
    for algorithm in ALGORITHMS:
        table.add_row(algorithm, *_row(figures, algorithm.lower()))
    console = Console(width=110)
    console.print(table)
    console.print(
        f"one raw RSA-2048 signature: {_micro(figures['raw_rsa_before'])} of CPU before, "
        f"{_micro(figures['raw_rsa_after'])} after"
    )
    console.print(
        f"resident memory: {figures['resident_idle'] / MEGA:,.0f} MB idle, "
        f"{figures['resident_pending'] / MEGA:,.0f} MB with {figures['pending']:,.0f} pending"
    )


def _row(figures: Mapping[str, float], name: str) -> list[str]:
    return [
        f"{figures[f'{name}_tokens']:,.0f}",
        _micro(figures[f"{name}_cpu_per_token"]),
        f"{figures[f'{name}_cpu_ratio']:.2f}",
        f"{figures[f'{name}_tokens_per_second']:,.0f}",
        f"{figures[f'{name}_accept_p50'] * 1e3:.1f} ms",
        f"{figures[f'{name}_accept_p99'] * 1e3:.1f} ms",
        f"{figures[f'{name}_accepts_per_second']:,.0f}",
    ]


def _micro(seconds: float) -> str:
    return f"{seconds * 1e6:,.0f} us"


def main() -> None:
    """Measure, and print a table or JSON."""
    arguments = argparse.ArgumentParser(prog="make bench")
    arguments.add_argument("--tokens", type=int, default=20_000)
    arguments.add_argument("--pending", type=int, default=100_000)
    arguments.add_argument("--json", action="store_true")
    wanted = arguments.parse_args()
    figures = measure(tokens=wanted.tokens, pending=wanted.pending)
    if wanted.json:
        print(json.dumps(figures, indent=2))
    else:
        _print(figures)


if __name__ == "__main__":
    main()
