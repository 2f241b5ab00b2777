"""What is told of the results: a table for people, JSON for the rest."""

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from typing import assert_never

from rich.table import Table

from tests.bench.figures import Bar, Result, Unit
from tests.bench.plan import Plan
from tests.bench.processor import missing

_VERDICTS = {True: "yes", False: "NO", None: ""}


def as_json(results: Sequence[Result], plan: Plan) -> dict[str, object]:
    """Return everything: the medians, their judgement, and each run's values."""
    return {
        "machine": {
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
            "without": missing(),
            "load_average": os.getloadavg()[0],
        },
        "plan": asdict(plan),
        "figures": [_figure(result) for result in results],
    }


def _figure(result: Result) -> dict[str, object]:
    first, yardstick = result.runs[0], result.yardstick
    return {
        "name": result.name,
        "unit": first.unit.value,
        "measured": result.measured,
        "yardstick": None if yardstick is None else asdict(yardstick),
        "ratio": result.ratio,
        "bar": None if first.bar is None else asdict(first.bar),
        "held": result.held,
        "runs": [
            {
                "measured": figure.measured,
                "yardstick": figure.yardstick and figure.yardstick.measured,
                "ratio": figure.ratio,
            }
            for figure in result.runs
        ],
    }


def as_table(results: Sequence[Result]) -> Table:
    """Return a row for each figure."""
    kept_from = "" if missing() is None else f", OpenSSL without {missing()}"
    table = Table(title=f"medians of {len(results[0].runs)} run(s){kept_from}")
    table.add_column("figure")
    for column in ("measured", "yardstick", "ratio", "bar", "held?"):
        table.add_column(column, justify="right")
    for result in results:
        table.add_row(*row_of(result))
    return table


def row_of(result: Result) -> tuple[str, ...]:
    """Return a figure's row: what it is, was, is compared with, should be, and whether it is."""
    figure, yardstick = result.runs[0], result.yardstick
    compared = (
        "" if yardstick is None else f"{yardstick.name}: {_shown(yardstick.measured, figure.unit)}"
    )
    ratio = "" if result.ratio is None else f"{result.ratio:.2f} x"
    bar = "" if figure.bar is None else _shown_bar(figure.bar, figure.unit, of_ratio=bool(ratio))
    measured = _shown(result.measured, figure.unit)
    return result.name, measured, compared, ratio, bar, _VERDICTS[result.held]


def _shown_bar(bar: Bar, unit: Unit, *, of_ratio: bool) -> str:
    limit = f"{bar.limit:g} x" if of_ratio else _shown(bar.limit, unit)
    return f"{bar.way.value} {limit}"


def _shown(value: float, unit: Unit) -> str:
    match unit:
        case Unit.SECONDS:
            return _shown_seconds(value)
        case Unit.BYTES:
            return f"{value / 1e6:,.0f} MB"
        case Unit.PER_SECOND:
            return f"{value:,.0f}/s"
        case Unit.CORES:
            return f"{value:.2f} cores"
        case Unit.COUNT:
            return f"{value:,.0f}"
        case _:
            assert_never(unit)


def _shown_seconds(seconds: float) -> str:
    if abs(seconds) < 1e-3:
        return f"{seconds * 1e6:,.0f} µs"
    return f"{seconds * 1e3:,.1f} ms" if abs(seconds) < 1 else f"{seconds:,.1f} s"
