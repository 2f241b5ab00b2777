"""A disk that fills: intake says so in time, and nothing that was accepted is lost."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path

import pytest

from tests.kit.disks import MEBI, CanNotMount
from tests.lab.disks import fill, overfill, run_full


def needs_a_disk(test: Callable[[Path], None]) -> Callable[[Path], None]:
    """Skip *test* where no file system can be mounted: it takes root, as in most containers."""

    @wraps(test)
    def tried(tmp_path: Path) -> None:
        try:
            test(tmp_path)
        except CanNotMount as error:
            pytest.skip(f"no file system can be mounted here: {error}")

    return tried


@needs_a_disk
def test_intake_ends_before_the_disk_is_full(tmp_path: Path) -> None:
    """At the reserve events are answered by 503, and outcomes are still written down.

    When there is room again everything that was accepted is told, once.
    """
    filled = fill(tmp_path, events=900, ballast=36 * MEBI)

    assert (filled.refused, filled.unready) == (503, 503)
    assert filled.least_free > 0
    assert filled.faults == 0
    assert filled.recorded_meanwhile > 0
    assert filled.accepted == 900
    assert filled.kept.missing == filled.kept.unasked == frozenset()
    assert filled.kept.duplicates == 0
    assert filled.exit_code == 0


@needs_a_disk
def test_a_disk_that_somebody_else_fills_loses_nothing(tmp_path: Path) -> None:
    """With no byte left events are answered by 503; with room again all that got 202 is told."""
    filled = overfill(tmp_path, events=400)

    assert filled.least_free == 0
    assert (filled.refused, filled.unready) == (503, 503)
    assert filled.accepted == 400
    assert filled.kept.missing == filled.kept.unasked == frozenset()
    assert filled.exit_code == 0


@needs_a_disk
def test_without_a_reserve_the_disk_is_full(tmp_path: Path) -> None:
    """It is the reserve that leaves room for outcomes: without it they meet a full disk."""
    assert run_full(tmp_path, events=5000) > 0
