"""A network between the service and its applications that does all that networks do."""

from pathlib import Path

import pytest

from tests.lab.faults import endure


@pytest.mark.timeout(180)
async def test_a_bad_network_loses_nothing_and_is_taken_for_what_it_is(tmp_path: Path) -> None:
    """Whatever becomes of an answer, it is acknowledged if its head arrived, else unreachable.

    Once the network is well each logout has been told; what was told twice lost its answer.
    """
    weathered = await endure(tmp_path, events=60, seed=5)

    harms = {one.harm for one in weathered.told}
    print(f"{len(weathered.told)} attempts, {sorted(harms)}")
    assert len(weathered.kept.owed) == 180
    assert weathered.kept.missing == weathered.kept.unasked == frozenset()
    assert weathered.wrong == []
    assert weathered.unexplained == 0
    assert (weathered.failures, weathered.exit_code) == (0, 0)
    assert len(harms) > 3
