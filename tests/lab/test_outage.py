"""What gathered in an outage is told oldest first, at its pace, and nobody else notices."""

import pytest

from dispatcher.adapters.sqlite import breakers
from tests.lab.outage import AT_ONCE, live_through

PARKED = 500


def test_an_outage_is_made_up_for_oldest_first() -> None:
    """Each logout is told once, oldest first, at 10 a second and twice as many each second.

    The applications that are well wait no longer than before.
    """
    outage = live_through(parked=PARKED, hours=0.3, seed=1)

    assert len({post.subject for post in outage.told}) == len(outage.told) == PARKED
    assert outage.too_fast == []
    assert outage.misplaced <= AT_ONCE
    assert outage.slowest(draining=True) == outage.slowest(draining=False) == 0


def test_what_is_told_out_of_place_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what came due meanwhile is told as late as it came due, its place is another."""
    monkeypatch.setattr(breakers, "_TAKE_THEIR_PLACE", "SELECT ?1, ?2, ?3")

    outage = live_through(parked=PARKED, hours=0.3, seed=1)

    assert outage.misplaced > AT_ONCE
