"""Joins and ends that come to two replicas at one moment."""

import anyio
import pytest

from dispatcher.adapters.postgres import PostgresStore, intake
from dispatcher.adapters.postgres.transactions import Transaction
from dispatcher.domain.events import Intake
from dispatcher.domain.ledger import EventFilter
from tests.contract.steps import accept, match_all, register
from tests.kit.builders import a_join, an_application, an_event

SESSIONS = 60


async def _race(ends: PostgresStore, joins: PostgresStore) -> int:
    """Let each session end and be joined at one moment; return how many logouts are missed."""
    await register(ends, an_application("shop"))

    async def take_in(replica: PostgresStore, one: Intake) -> None:
        await accept(replica, one)
        await match_all(replica)

    for number in range(SESSIONS):
        async with anyio.create_task_group() as group:
            group.start_soon(take_in, ends, an_event(sid=f"s{number}"))
            group.start_soon(take_in, joins, a_join("shop", sid=f"s{number}"))
    await match_all(ends)
    events = await ends.events(EventFilter(take=100))
    assert len(events) == SESSIONS
    return sum(not event.deliveries for event in events)


async def test_a_join_and_an_end_never_miss_each_other(
    store: PostgresStore, other: PostgresStore
) -> None:
    """Whoever joins a session at the moment of its end is told, whichever comes first."""
    assert await _race(store, other) == 0


async def test_without_the_locks_they_do(
    store: PostgresStore, other: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the locks of the scopes removed the same race is lost: it is not blind."""

    async def overlap(tx: Transaction, _: object) -> None:
        await tx.rows("SELECT pg_sleep(0.002)")

    monkeypatch.setattr(intake, "lock_scopes", overlap)

    assert await _race(store, other) > 0
