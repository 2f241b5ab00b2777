"""What a service and its store hold while they are under load, and whether it grows.

The third minute of ten is early, when everything has been met once and what is over is forgotten
as fast as it comes; the tenth is late. A shorter run is parted likewise.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

MEBI = 1 << 20
_EARLY, _LATE, _PART = 0.2, 0.9, 0.1


@dataclass(frozen=True, slots=True)
class Sample:
    """What was held at one moment, by its name: bytes, or a number."""

    second: float
    held: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """All that was seen of one thing that is held."""

    early: Sequence[int]
    late: Sequence[int]
    ever: Sequence[int]

    @classmethod
    def of(cls, name: str, samples: Sequence[Sample], seconds: float) -> "Series":
        """Part the *samples* of a run of so many seconds."""
        return cls(
            early=[one.held[name] for one in _part(samples, seconds, _EARLY)],
            late=[one.held[name] for one in _part(samples, seconds, _LATE)],
            ever=[one.held[name] for one in samples],
        )

    @property
    def growth(self) -> float:
        """From what was usual early to what was usual late."""
        return median(self.late) - median(self.early)


def _part(samples: Sequence[Sample], seconds: float, start: float) -> list[Sample]:
    return [one for one in samples if start * seconds <= one.second < (start + _PART) * seconds]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one thing came to, and whether it stayed within its bound."""

    told: str
    held: bool

    def __str__(self) -> str:
        return self.told if self.held else f"{self.told} NOT HELD"


Bound = Callable[[str, Series], Verdict]
"""Judges the series of the thing of that name."""


def grows_by(most: int) -> Bound:
    """Allow so many bytes more than early."""

    def judge(name: str, seen: Series) -> Verdict:
        told = f"{name} {seen.growth / MEBI:+.1f} MiB of {median(seen.late) / MEBI:.0f}"
        return Verdict(f"{told} (+{most / MEBI:g} at most)", seen.growth <= most)

    return judge


def strays_by(most: int) -> Bound:
    """Allow so many more or fewer than early."""

    def judge(name: str, seen: Series) -> Verdict:
        return Verdict(f"{name} {seen.growth:+.0f} ({most} at most)", abs(seen.growth) <= most)

    return judge


def never_above(most: int, *, unit: int = 1) -> Bound:
    """Allow so many at any time, told in *unit*."""

    def judge(name: str, seen: Series) -> Verdict:
        peak = max(seen.ever)
        return Verdict(f"{name} {peak / unit:.3g} at most ({most / unit:g})", peak <= most)

    return judge


def at_most_times(most: float, *, least: int, unit: int = 1) -> Bound:
    """Allow the late peak to be so many times the early one, or *least*, told in *unit*.

    Peaks, for it goes up and down: what is dead stays until somebody comes to clear it away.
    """

    def judge(name: str, seen: Series) -> Verdict:
        early, late = max(seen.early), max(seen.late)
        told = f"{name} {early / unit:,.0f} early, {late / unit:,.0f} late ({most:g} times at most)"
        return Verdict(told, late <= max(most * early, least))

    return judge
