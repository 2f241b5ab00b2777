"""A replica whose clock is not the database's moves nothing that is due."""

from pathlib import Path

import pytest

from tests.lab.clocks import Step
from tests.lab.hosts import drift_apart


@pytest.mark.timeout(120)
async def test_a_wrong_clock_of_one_replica_moves_nothing(tmp_path: Path) -> None:
    """Of two replicas one is an hour behind: no retry is early, and neither takes what is lent.

    It says so, and answers a stale webhook by 503; the other one knows nothing of it.
    """
    apart = await drift_apart(
        tmp_path, steps=[Step(-3600, 5), Step(0, 1)], sick_for=0, applications=10
    )

    assert len(apart.retries.gaps) == 10
    assert apart.retries.early == 0
    assert apart.slow_tokens == 4
    assert len(apart.alerted_after) == 1
    assert apart.alerted_after[0] < float("inf")
    assert apart.held


@pytest.mark.timeout(120)
async def test_a_replica_that_follows_its_own_clock_is_seen_to_be_early(tmp_path: Path) -> None:
    """Where a replica's steady clock is its host's, which is behind, retries are early."""
    apart = await drift_apart(
        tmp_path, steps=[Step(-3600, 1)], sick_for=0, applications=10, guarded=False
    )

    assert apart.retries.early > 0
