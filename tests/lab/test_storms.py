"""One event that is told again and again while the service dies is one event."""

from pathlib import Path

from tests.lab.storms import blow


def test_a_storm_is_one_event(tmp_path: Path) -> None:
    """Every answer is 202 with the same id; there is one event, one delivery, and few tokens."""
    storm = blow(tmp_path, repeats=130, kills=1, seed=1)

    assert [*storm.answers.values()] == [130]
    assert (storm.events, storm.deliveries) == (1, 1)
    assert 1 <= storm.tokens <= 1 + storm.kills
    assert storm.exit_code == 0
