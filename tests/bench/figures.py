"""A figure, the yardstick of its own run, the bar that it is held to, and the judgement."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import assert_never


class Unit(StrEnum):
    """What a figure counts."""

    SECONDS = "s"
    BYTES = "B"
    PER_SECOND = "/s"
    CORES = "cores"
    COUNT = ""


class Way(StrEnum):
    """Which side of its limit is the good one."""

    AT_MOST = "≤"
    AT_LEAST = "≥"


@dataclass(frozen=True, slots=True)
class Bar:
    """What is promised of a figure: of its ratio where it has a yardstick, else of itself."""

    way: Way
    limit: float

    def held_by(self, value: float) -> bool:
        """Whether *value* is on the good side, the limit itself included."""
        match self.way:
            case Way.AT_MOST:
                return value <= self.limit
            case Way.AT_LEAST:
                return value >= self.limit
            case _:
                assert_never(self.way)


def at_most(limit: float) -> Bar:
    """Return the bar of what should be small."""
    return Bar(Way.AT_MOST, limit)


def at_least(limit: float) -> Bar:
    """Return the bar of what should be large."""
    return Bar(Way.AT_LEAST, limit)


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What a figure is compared with, in the figure's own unit, measured in the same run."""

    name: str
    measured: float


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of one run; its name says what it counts in."""

    name: str
    measured: float
    unit: Unit
    yardstick: Yardstick | None = None
    bar: Bar | None = None

    @property
    def ratio(self) -> float | None:
        """How many times its yardstick it is."""
        return None if self.yardstick is None else self.measured / self.yardstick.measured


@dataclass(frozen=True, slots=True)
class Result:
    """One and the same figure of all runs; what is told and judged is the median."""

    runs: tuple[Figure, ...]

    @property
    def name(self) -> str:
        """The figure's name."""
        return self.runs[0].name

    @property
    def measured(self) -> float:
        """The median of what was measured."""
        return median(figure.measured for figure in self.runs)

    @property
    def yardstick(self) -> Yardstick | None:
        """The median of the yardstick."""
        taken = [figure.yardstick for figure in self.runs if figure.yardstick is not None]
        if not taken:
            return None
        return Yardstick(taken[0].name, median(one.measured for one in taken))

    @property
    def ratio(self) -> float | None:
        """The median of the ratios, each to the yardstick of its own run."""
        ratios = [figure.ratio for figure in self.runs if figure.ratio is not None]
        return median(ratios) if ratios else None

    @property
    def held(self) -> bool | None:
        """Whether the bar is held; None where nothing was promised."""
        bar = self.runs[0].bar
        if bar is None:
            return None
        return bar.held_by(self.measured if self.ratio is None else self.ratio)


def results(runs: Sequence[Sequence[Figure]]) -> tuple[Result, ...]:
    """Put the figures of one name together, from runs that each have the same figures."""
    return tuple(Result(tuple(figures)) for figures in zip(*runs, strict=True))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that *share* of all *values* do not exceed; nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]
