"""Joins and ends at once in the embedded store, at length, and with its guards removed."""

import pytest

from dispatcher.adapters.sqlite import SqliteStore, joins, matching
from tests.contract.at_once import CLIENTS, play_all
from tests.contract.steps import register
from tests.kit.builders import an_application

INTERLEAVINGS = 10_000
FEW = 300
IN_TIME = "client.after_event < scope.event"


async def test_ten_thousand_sessions_end_while_they_are_joined(store: SqliteStore) -> None:
    """Of ten thousand sessions that are joined and ended at once no logout is missed."""
    await register(store, *map(an_application, CLIENTS))

    outcome = await play_all(store, plays=INTERLEAVINGS, seed=20_261_125)

    assert outcome.missed == set()
    assert INTERLEAVINGS // 10 < outcome.late < INTERLEAVINGS - INTERLEAVINGS // 10


async def test_it_is_missed_where_a_join_does_not_look_back(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the look at earlier ends, in the join's own transaction, the proof fails."""
    monkeypatch.setattr(joins, "_end_late", lambda *_: None)
    await register(store, *map(an_application, CLIENTS))

    outcome = await play_all(store, plays=FEW, seed=1)

    assert len(outcome.missed) > FEW // 20


async def test_it_is_missed_where_a_match_does_not_look_for_who_came_late(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the late joins in what a match finds, the proof fails."""
    blind = matching._JOINED.replace(f"{IN_TIME} OR late.event IS NOT NULL", IN_TIME)
    assert blind != matching._JOINED
    monkeypatch.setattr(matching, "_JOINED", blind)
    await register(store, *map(an_application, CLIENTS))

    outcome = await play_all(store, plays=FEW, seed=1)

    assert len(outcome.missed) > FEW // 20
