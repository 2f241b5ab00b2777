"""A wall clock that is set while the service runs moves nothing that is due."""

from pathlib import Path

from tests.lab.clocks import Step, turn


async def test_a_clock_that_is_set_brings_nothing_forward(tmp_path: Path) -> None:
    """With the clock an hour ahead no retry is early and no lease is lost, and an alert is given.

    A stale webhook is answered by 503 meanwhile, and by 401 when the clock is right.
    """
    turned = await turn(
        tmp_path, steps=[Step(3600, 5), Step(0, 1)], sick_for=0, applications=10, slow_seconds=3
    )

    assert len(turned.retries.gaps) == 10
    assert turned.retries.early == 0
    assert turned.slow_tokens == 1
    assert len(turned.alerted_after) == 1
    assert turned.alerted_after[0] < float("inf")
    assert (turned.in_doubt, turned.sound) == ({503}, {401})
    assert turned.exit_code == 0


async def test_a_service_with_one_clock_is_seen_to_be_early(tmp_path: Path) -> None:
    """Where the steady clock follows the wall clock, retries come before their time."""
    turned = await turn(
        tmp_path,
        steps=[Step(0, 2.5), Step(3600, 1)],
        sick_for=3,
        applications=10,
        slow_seconds=1,
        guarded=False,
    )

    assert turned.retries.early > 0
