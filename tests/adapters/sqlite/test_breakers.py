"""Breakers in the store: only where a lane is not well, and closed as the domain says."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import apsw
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.domain.deliveries import LeaseId, Outcome, Unreachable
from dispatcher.domain.events import ClientId
from dispatcher.domain.lanes import Lane, LaneState
from dispatcher.stored.lanes import lane_of, row_of_lane
from dispatcher.stored.values import maybe_micros, micros
from tests.contract.steps import claim, owe
from tests.contract.test_lanes import OURS, fail, park, probe
from tests.kit.builders import UNREACHABLE, acknowledged, put_off
from tests.kit.clock import FakeClock

TOO_MANY = Unreachable(cause=UNREACHABLE.cause, status=429, retry_after=timedelta(seconds=3))


def unwell(path: Path) -> Sequence[Sequence[object]]:
    """Return the breaker and the end of the closing of each lane that is not simply well."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    sql = """
    SELECT breaker, closed_until FROM lane
    WHERE breaker IS NOT NULL OR closed_until IS NOT NULL OR state <> 'open'
    """
    found = connection.execute(sql).fetchall()
    connection.close()
    return found


async def test_a_lane_that_is_well_has_no_breaker(store: SqliteStore, path: Path) -> None:
    """Where every answer is a good one, nothing of a breaker is in the store."""
    await owe(store, "shop", "mail", events=3)
    await store.settle([acknowledged(one) for one in await claim(store)])

    assert unwell(path) == []


async def test_a_row_that_was_broken_is_forgotten(
    store: SqliteStore, path: Path, clock: FakeClock
) -> None:
    """After failures and an answer the lane is as one that never failed."""
    await owe(store, "shop", events=5)
    *failed, answered = await claim(store)
    await fail(store, clock, *failed)
    before = len(unwell(path))

    await store.settle([acknowledged(answered)])

    assert (before, unwell(path)) == (1, [])


async def test_a_flush_that_is_over_leaves_no_breaker(
    store: SqliteStore, path: Path, clock: FakeClock
) -> None:
    """The first start after a flush forgets it."""
    await park(store, clock)
    await store.settle([acknowledged(await probe(store, clock))])
    clock.advance(seconds=10)
    before = len(unwell(path))

    await claim(store)

    assert (before, unwell(path)) == (1, [])


async def test_a_lane_is_closed_as_the_domain_says(
    store: SqliteStore, path: Path, clock: FakeClock
) -> None:
    """After each step of a lane's life the store has it closed until the lane says itself."""
    closings: list[tuple[object, int | None]] = []

    def note() -> None:
        for breaker, closed_until in unwell(path):
            until = lane_of(str(breaker)).closed_until(clock.steady())
            now = micros(clock.steady())
            is_over = isinstance(closed_until, int) and closed_until <= now
            closings.append((None if is_over else closed_until, maybe_micros(until)))

    await park(store, clock, waiting=100)
    note()
    outcomes: Sequence[Outcome] = (UNREACHABLE, OURS, TOO_MANY, UNREACHABLE)
    for outcome in outcomes:
        clock.advance(seconds=10)
        claimed = await claim(store)
        note()
        later = clock.steady() + timedelta(hours=1)
        await store.settle([put_off(one, until=later, outcome=outcome) for one in claimed])
        note()
    await store.pause(ClientId("shop"))
    note()

    assert [stored for stored, _ in closings] == [lane for _, lane in closings]
    assert len(set(closings)) > 5


_TIMES = st.none() | st.datetimes(timezones=st.just(FakeClock().now().tzinfo))


@given(
    st.builds(
        Lane,
        state=st.sampled_from(LaneState),
        failures=st.integers(0, 99),
        parked_at=_TIMES,
        probes=st.integers(0, 99),
        next_probe_at=_TIMES,
        probe=st.none() | st.integers(1, 99).map(LeaseId),
        opened_at=_TIMES,
        flushed=st.integers(0, 99),
        held_until=_TIMES,
    )
)
def test_a_lane_is_read_as_it_was_written(lane: Lane) -> None:
    """Nothing of a lane is lost in the store."""
    assert lane_of(row_of_lane(lane)) == lane
