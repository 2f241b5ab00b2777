"""Nothing that was accepted is lost: the service is killed under load, again and again."""

from pathlib import Path

import pytest

from tests.lab.kills import blind, kill


@pytest.mark.timeout(300)
def test_a_service_killed_under_load_loses_nothing(tmp_path: Path) -> None:
    """Each logout accepted arrives though the service is killed ten times, and is told in truth.

    What comes twice is explained: by the replies that were lost, and by what was in flight at each
    kill. Each start takes up what the last one left.
    """
    killed = kill(tmp_path, events=2000, kills=10, seed=7)

    print(f"{len(killed.kept.owed)} owed, {killed.kept.duplicates} came twice")
    assert len(killed.load.accepted_at) == 2000
    assert killed.kept.missing == frozenset()
    assert killed.kept.unasked == frozenset()
    assert killed.explained
    assert (killed.forged, killed.unsound) == (0, 0)
    assert killed.recoveries
    assert killed.exit_code == 0


@pytest.mark.timeout(300)
def test_the_journey_sees_an_event_that_was_answered_before_its_commit(tmp_path: Path) -> None:
    """With the durable commit removed the same journey misses logouts: it is not blind."""
    kept = blind(tmp_path, seed=7)

    assert kept.missing
