"""Joins and ends at once, in each kind of store: a short form of what one kind proves at length."""

from tests.contract.at_once import CLIENTS, play_all
from tests.contract.steps import register
from tests.contract.stores import Store
from tests.kit.builders import an_application


async def test_no_logout_is_missed_however_joins_and_ends_meet(store: Store) -> None:
    """Whoever joins while a session ends is told, whichever of the two is on disk first."""
    await register(store, *map(an_application, CLIENTS))

    outcome = await play_all(store, plays=300, seed=1)

    assert outcome.missed == set()
    assert 30 < outcome.late < 270
