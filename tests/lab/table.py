"""What the laboratory tries and finds, as the rows of one table."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was measured, in words, and whether all that must hold did."""

    measured: str
    held: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One row of the table: what is done to the service, and what must hold all the same.

    ``run`` takes the seed of everything that is left to chance.
    """

    name: str
    test: str
    load: str
    must_hold: str
    run: Callable[[int], Finding]
