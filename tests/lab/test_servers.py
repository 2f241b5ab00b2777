"""A database server that is away, or silent, loses nothing and costs no application anything."""

from pathlib import Path

import pytest

from tests.kit import short_leases
from tests.lab.servers import Blow, strike


@pytest.mark.timeout(120)
async def test_an_outage_of_the_server_is_told_and_made_up_for(tmp_path: Path) -> None:
    """In an outage each webhook gets 503 and no replica is ready; afterwards nothing is missing.

    What is accepted is in the database, and each application was told of it by one attempt.
    """
    struck = await strike(
        tmp_path,
        blows=[Blow(0.5), Blow(3, silent=True)],
        events=240,
        apart=(0.8, 1.2),
        seed=1,
        launcher=short_leases.LAUNCHER,
    )

    print(f"{len(struck.answers)} answers, {list(map(len, struck.refused))} of them in outages")
    assert len(struck.kept.owed) == 2 * 240 * 3
    assert not struck.kept.missing
    assert not struck.false
    assert struck.charged == struck.unexplained == 0
    assert struck.held


@pytest.mark.timeout(120)
async def test_a_server_that_answers_before_its_commit_is_seen(tmp_path: Path) -> None:
    """Where a commit is answered before it is on disk, what was accepted is not there later."""
    struck = await strike(
        tmp_path, blows=[Blow(0.5)], events=120, apart=(0.8, 1.2), seed=1, guarded=False
    )

    assert struck.false
