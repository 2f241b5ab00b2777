"""A soak in seconds: nothing is left behind, and what grows is seen to grow."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import pairwise

import pytest

from tests.bench.load import FAN_OUT, PRODUCERS
from tests.lab.holdings import (
    Bound,
    Sample,
    Series,
    Verdict,
    at_most_times,
    grows_by,
    never_above,
    strays_by,
)
from tests.lab.soak import GROUNDS, Ground, Soaked, on_postgres, soak

SECONDS = 600.0
SHORT = 3 / 60
AT_FIRST = 100
CONNECTIONS = PRODUCERS + FAN_OUT * 16
"""At the most: a producer's, and those to applications."""


def a_short_soak(ground: AbstractContextManager[Ground]) -> Soaked:
    """Soak for some seconds."""
    return soak(ground, SHORT, measured_with=AT_FIRST, every=0.05)


def seen(soaked: Soaked, name: str) -> list[int]:
    """Return all that was seen of the thing of that *name*."""
    return [sample.held[name] for sample in soaked.samples]


@pytest.mark.parametrize("store", [*GROUNDS])
def test_a_short_soak_leaves_nothing_behind(store: str) -> None:
    """Everything accepted is delivered, the exit is clean, and descriptors follow connections.

    One that is lost for each token would be seen; what is held is looked at all the while.
    """
    soaked = a_short_soak(GROUNDS[store]())

    print(soaked)
    assert soaked.delivered == FAN_OUT * soaked.accepted > 0
    assert soaked.exit_code == 0
    assert max(seen(soaked, "descriptors")) - min(seen(soaked, "descriptors")) < 2 * CONNECTIONS
    assert min(seen(soaked, "memory")) > 0
    assert all(one.second < two.second for one, two in pairwise(soaked.samples))
    assert {*soaked.samples[0].held} == {*soaked.samples[-1].held}


def test_dead_rows_are_seen() -> None:
    """Where nobody vacuums, each delivery leaves dead rows behind, and the soak counts them."""
    dead = seen(a_short_soak(on_postgres("autovacuum=off")), "dead rows of delivery")

    print(dead[0], dead[-1])
    assert dead[-1] > dead[0]
    assert dead[-1] > AT_FIRST * FAN_OUT


def test_one_thing_that_grows_is_enough() -> None:
    """A soak is held only where everything is, all came through, and the service ended well."""
    good = Soaked(
        store="any",
        minutes=10,
        share=0.7,
        per_second=100,
        accepted=10,
        delivered=10 * FAN_OUT,
        exit_code=0,
        verdicts=[Verdict("memory", held=True), Verdict("descriptors", held=True)],
        samples=[],
    )

    assert good.held
    assert str(good).endswith(": held")
    assert not replace(good, verdicts=[*good.verdicts, Verdict("log", held=False)]).held
    assert not replace(good, delivered=10 * FAN_OUT - 1).held
    assert not replace(good, exit_code=1).held


def judged(bound: Bound, held: Callable[[float], int]) -> bool:
    """Judge ten minutes in which so much was *held*, by the share of the time that had passed."""
    samples = [Sample(second, {"it": held(second / SECONDS)}) for second in range(0, 600, 2)]
    return bound("it", Series.of("it", samples, SECONDS)).held


def steady(_: float) -> int:
    """Hold as much as ever."""
    return 1000


def leaking(share: float) -> int:
    """Hold more and more."""
    return int(10_000 * share)


def sawing(share: float) -> int:
    """Hold more and more for a minute, and then little again."""
    return int(10_000 * (share * 10 % 1))


def early_only(share: float) -> int:
    """Hold much only until everything has been met once."""
    return 10_000 if share < 0.1 else 1000


BOUNDS: Sequence[Bound] = [
    grows_by(5000),
    strays_by(5000),
    never_above(9000),
    at_most_times(2, least=500),
]


@pytest.mark.parametrize("bound", BOUNDS)
def test_what_leaks_is_not_held(bound: Bound) -> None:
    """What grows all the time is beyond each bound; what stays is within."""
    assert judged(bound, steady)
    assert not judged(bound, leaking)


def test_what_grows_again_and_again_is_judged_by_its_peaks() -> None:
    """What is cleared away once a minute is held; its median would tell nothing."""
    assert judged(at_most_times(1.1, least=0), sawing)


def test_little_may_become_a_little_more() -> None:
    """Twice hardly anything is hardly anything: up to the least, growth counts for nothing."""
    few = at_most_times(2, least=10_000)

    assert judged(few, leaking)


def test_the_first_minutes_are_not_compared() -> None:
    """What was held at first is no measure; but a peak at any time counts where none may be."""
    assert judged(strays_by(0), early_only)
    assert judged(grows_by(0), early_only)
    assert not judged(never_above(9000), early_only)
