"""Figures are judged by their bars, the median of all runs decides, and each is told in full."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.figures import (
    Bar,
    Figure,
    Unit,
    Yardstick,
    at_least,
    at_most,
    percentile,
    results,
)
from tests.bench.plan import TINY
from tests.bench.report import as_json, as_table, row_of


def a_figure(
    measured: float,
    yardstick: float | None = None,
    *,
    bar: Bar | None = None,
    name: str = "seconds",
) -> Figure:
    """Return a figure in seconds."""
    compared = None if yardstick is None else Yardstick("a yard", yardstick)
    return Figure(name, measured, Unit.SECONDS, compared, bar)


@pytest.mark.parametrize(
    ("bar", "value", "held"),
    [
        (at_most(1.6), 1.5, True),
        (at_most(1.6), 1.6, True),
        (at_most(1.6), 1.7, False),
        (at_least(1.0), 1.1, True),
        (at_least(1.0), 1.0, True),
        (at_least(1.0), 0.9, False),
    ],
)
def test_a_bar_has_a_good_side(bar: Bar, value: float, *, held: bool) -> None:
    """What is on the good side of a bar holds it, and so does what is just on it."""
    assert bar.held_by(value) is held


def test_a_figure_without_a_yardstick_is_judged_itself() -> None:
    """Where there is nothing to compare with, the bar is one of the figure's own unit."""
    (result,) = results([[a_figure(0.2, bar=at_most(0.1))]])

    assert (result.ratio, result.held) == (None, False)


def test_a_figure_with_a_yardstick_is_judged_by_its_ratio() -> None:
    """Where a figure has a yardstick the bar is one of their ratio."""
    (result,) = results([[a_figure(30, 20, bar=at_most(1.6))]])

    assert (result.measured, result.ratio, result.held) == (30, 1.5, True)


def test_nothing_promised_is_nothing_judged() -> None:
    """A figure without a bar is told, and neither held nor missed."""
    (result,) = results([[a_figure(30, 20)]])

    assert result.held is None


def test_the_median_of_the_runs_decides() -> None:
    """Each run is compared with its own yardstick, and the median of the ratios is judged."""
    bar = at_most(2)
    runs = [[a_figure(1, 1, bar=bar)], [a_figure(30, 20, bar=bar)], [a_figure(90, 10, bar=bar)]]

    (result,) = results(runs)

    assert (result.measured, result.ratio, result.held) == (30, 1.5, True)
    assert result.yardstick == Yardstick("a yard", 10)


def test_runs_have_the_same_figures() -> None:
    """A run that lacks a figure of the others is no run."""
    with pytest.raises(ValueError, match="shorter"):
        results([[a_figure(1), a_figure(2)], [a_figure(1)]])


@given(st.lists(st.floats(allow_nan=False), min_size=1), st.sampled_from([0.01, 0.5, 0.99, 1.0]))
def test_a_percentile_is_not_exceeded_by_its_share(values: list[float], share: float) -> None:
    """At least that share of all values is no larger, and less than that is smaller."""
    cut = percentile(values, share)

    assert cut in values
    assert sum(value <= cut for value in values) >= share * len(values)
    assert sum(value < cut for value in values) < share * len(values)


def test_the_table_says_what_is_held() -> None:
    """A row has the figure, what was measured, its yardstick, their ratio, the bar, the verdict."""
    found = results(
        [
            [
                a_figure(0.000030, 0.000020, bar=at_most(1.6), name="cost_seconds"),
                Figure("rate_per_second", 900, Unit.PER_SECOND, bar=at_least(1_500)),
                Figure("held_bytes", 200e6, Unit.BYTES),
            ]
        ]
    )

    table = as_table(found)

    assert [str(column.header) for column in table.columns] == [
        "figure", "measured", "yardstick", "ratio", "bar", "held?",
    ]  # fmt: skip
    assert [row_of(result) for result in found] == [
        ("cost_seconds", "30 µs", "a yard: 20 µs", "1.50 x", "≤ 1.6 x", "yes"),
        ("rate_per_second", "900/s", "", "", "≥ 1,500/s", "NO"),
        ("held_bytes", "200 MB", "", "", "", ""),
    ]


def test_the_document_has_every_run() -> None:
    """The JSON has the medians with their judgement, and what each run measured."""
    found = results([[a_figure(2, 1, bar=at_most(3))], [a_figure(8, 2, bar=at_most(3))]])

    document = json.loads(json.dumps(as_json(found, TINY)))

    assert document["plan"]["tokens"] == TINY.tokens
    assert document["figures"] == [
        {
            "name": "seconds",
            "unit": "s",
            "measured": 5,
            "yardstick": {"name": "a yard", "measured": 1.5},
            "ratio": 3,
            "bar": {"way": "≤", "limit": 3},
            "held": True,
            "runs": [
                {"measured": 2, "yardstick": 1, "ratio": 2},
                {"measured": 8, "yardstick": 2, "ratio": 4},
            ],
        }
    ]
