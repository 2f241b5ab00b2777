"""Replicas that are killed and stopped under load: what one leaves undone, another one does."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit import unfenced
from tests.kit.postgres import Server
from tests.lab.replicas import Plan, survive

SHORT = Plan(
    seed=1,
    events=300,
    per_second=60,
    kills=1,
    stop_after=0,
    every=2.5,
    lease=2.5,
    answers_after=0.2,
    lost=0.03,
)


@pytest.fixture
def url(postgres: Server) -> Iterator[str]:
    """Return the URL of a database in which nothing is yet."""
    with postgres.database() as url:
        yield url


@pytest.mark.timeout(300)
def test_whoever_is_killed_or_stopped_nothing_is_lost(url: str, tmp_path: Path) -> None:
    """Each logout is told in truth, whichever of three replicas is killed or stopped under load.

    What comes twice is explained: by the replies that were lost, and by what was in flight. What
    the stopped one says of that, when it goes on, comes too late and is not written.
    """
    survived = survive(tmp_path, url, SHORT)

    print(f"{survived.recorded}, {survived.fenced} fenced, {survived.kills} kills")
    assert survived.accepted == SHORT.events
    assert survived.kept.missing == frozenset()
    assert survived.kept.unasked == frozenset()
    assert survived.explained
    assert survived.fenced > 0
    assert (survived.forged, survived.unsound) == (0, 0)
    assert survived.exit_codes == [0, 0, 0]


@pytest.mark.timeout(300)
def test_without_the_fence_the_told_are_told_again(url: str, tmp_path: Path) -> None:
    """With the fence removed the stopped one's word undoes what others did: it is not blind."""
    survived = survive(tmp_path, url, SHORT, unfenced.LAUNCHER)

    assert survived.fenced == 0
    assert survived.recorded.acknowledged_again > 0
