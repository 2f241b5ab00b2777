"""A clock that was wrong for one boot holds no logout up and lets none die."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.adapters.sqlite.connections import open_writer
from dispatcher.adapters.sqlite.migrations import migrate
from dispatcher.adapters.sqlite.schema import STEPS
from dispatcher.domain.deliveries import Delivery, Move, decide
from dispatcher.domain.events import ClientId, Sid
from dispatcher.domain.lanes import LaneState
from dispatcher.domain.retry import RetryPolicy
from dispatcher.ports import Retention
from keys import Seal
from tests.contract.steps import accept, claim, owe, records
from tests.contract.test_lanes import park
from tests.kit.builders import UNREACHABLE, a_join, acknowledged, put_off
from tests.kit.clock import NOON, FakeClock

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MONTH = 31 * DAY
RETENTION = Retention(settled=30 * DAY, failed=90 * DAY, sessions=30 * DAY)

Boot = Callable[[FakeClock], Awaitable[SqliteStore]]


@pytest.fixture
async def boot(path: Path, seal: Seal) -> AsyncIterator[Boot]:
    """Return how the store is opened by a process of its own, whose clock may be another."""
    stores: list[SqliteStore] = []

    async def booted(clock: FakeClock) -> SqliteStore:
        if stores:
            await stores[-1].close()
        stores.append(await SqliteStore.open(path, clock=clock, seal=seal))
        return stores[-1]

    yield booted
    await stores[-1].close()


def by(delta: timedelta) -> FakeClock:
    """Return a clock that is off by *delta*."""
    return FakeClock(NOON + delta)


def survives(delivery: Delivery, clock: FakeClock) -> bool:
    """Whether *delivery* is tried again when its application can not be reached now."""
    now = clock.steady()
    settlement = decide(UNREACHABLE, delivery, policy=RetryPolicy(), now=now, jitter=0)
    return settlement.move is Move.PUT_OFF


async def test_what_was_owed_by_a_clock_ahead_is_sent_in_its_time(boot: Boot) -> None:
    """After a boot a month ahead what was due is due, and what was put off is put off as long."""
    ahead, right = by(MONTH), by(timedelta())
    store = await boot(ahead)
    await owe(store, "shop", events=2)
    (late,) = await claim(store, 1)
    await store.settle([put_off(late, until=ahead.steady() + HOUR)])

    store = await boot(right)
    (at_once,) = await claim(store)
    await store.settle([acknowledged(at_once)])
    right.advance(HOUR - timedelta.resolution)
    early = await claim(store)
    right.advance(timedelta.resolution)
    in_time = await claim(store)

    assert early == []
    assert [one.id for one in in_time] == [late.id]
    assert {record.created_at for record in await records(store)} == {NOON}
    assert (at_once.started_at, at_once.created_at) == (NOON, NOON)


async def test_what_was_in_flight_by_a_clock_ahead_is_due_at_once(boot: Boot) -> None:
    """What a process with a clock ahead had in flight is lent at once by one with the right one."""
    store = await boot(by(MONTH))
    await owe(store, "shop")
    await claim(store)

    assert len(await claim(await boot(by(timedelta())))) == 1


async def test_a_clock_that_ran_ahead_for_long_is_known_from_its_upkeep(boot: Boot) -> None:
    """What the clock showed last is kept now and then, so that the difference is known."""
    ahead, right = by(MONTH), by(DAY)
    store = await boot(ahead)
    ahead.advance(DAY)
    await store.prune(RETENTION)
    await owe(store, "shop")
    await store.settle([put_off((await claim(store))[0], until=ahead.steady() + HOUR / 6)])

    store = await boot(right)
    early = await claim(store)
    right.advance(HOUR / 6)

    assert early == []
    assert len(await claim(store)) == 1


async def test_nothing_waits_longer_than_anything_does(boot: Boot) -> None:
    """Where the difference is known badly, no wait is longer than the schedule has any."""
    ahead, right = by(MONTH), by(timedelta())
    store = await boot(ahead)
    ahead.advance(300 * DAY)
    await owe(store, "shop")
    await store.settle([put_off((await claim(store))[0], until=ahead.steady() + HOUR)])

    store = await boot(right)
    right.advance(RetryPolicy().longest_wait)
    (delivery,) = await claim(store)

    assert (delivery.created_at, delivery.started_at) == (NOON, NOON)


async def test_a_lane_that_a_clock_ahead_parked_is_probed_in_its_time(boot: Boot) -> None:
    """A lane stays parked, and its probe is as near as it was."""
    ahead, right = by(MONTH), by(timedelta())
    await park(await boot(ahead), ahead)

    store = await boot(right)
    early = await claim(store)
    right.advance(seconds=5)

    assert early == []
    assert len(await claim(store)) == 1
    assert [lane.state for lane in await store.lanes(None, 9)] == [LaneState.PROBING]


async def test_a_pause_outlasts_a_wrong_clock(boot: Boot) -> None:
    """What an operator paused stays so, whatever the clock shows."""
    store = await boot(by(MONTH))
    await owe(store, "shop")
    await store.pause(ClientId("shop"))

    store = await boot(by(timedelta()))

    assert await claim(store) == []
    assert [lane.state for lane in await store.lanes(None, 9)] == [LaneState.PAUSED]


async def test_a_clock_that_was_behind_lets_nothing_die(boot: Boot) -> None:
    """After a boot a month behind, what it was owed outlives its first failure by the right one."""
    store = await boot(by(-MONTH))
    await owe(store, "shop")
    right = by(timedelta())

    (delivery,) = await claim(await boot(right))

    assert survives(delivery, right)


async def test_a_clock_that_was_behind_forgets_no_session(boot: Boot) -> None:
    """A session that was joined a moment ago by a clock a month behind is kept."""
    behind = by(-MONTH)
    await accept(await boot(behind), a_join("shop", sid="s1", received_at=behind.now()))

    store = await boot(by(timedelta()))
    await store.prune(RETENTION)

    assert await store.session(Sid("s1")) is not None


async def test_one_boot_ahead_changes_nothing_for_what_was_there(boot: Boot) -> None:
    """Right, ahead and right again: what was owed at first neither dies nor waits."""
    await owe(await boot(by(timedelta())), "shop")
    await boot(by(MONTH))
    right = by(HOUR)

    (delivery,) = await claim(await boot(right))

    assert survives(delivery, right)
    assert NOON <= delivery.started_at <= right.steady()
    assert delivery.created_at == NOON


async def test_an_ordinary_restart_counts_as_time(boot: Boot) -> None:
    """A gap of an hour is not made up for: a horizon goes on, and a retention."""
    await owe(await boot(by(timedelta())), "shop")

    (delivery,) = await claim(await boot(by(HOUR)))

    assert delivery.started_at == NOON


async def test_a_long_absence_does_not_count(boot: Boot) -> None:
    """Nobody could deliver while the service was down: what waited has its time before it still."""
    await owe(await boot(by(timedelta())), "shop")
    late = by(MONTH)

    (delivery,) = await claim(await boot(late))

    assert survives(delivery, late)
    assert delivery.created_at == NOON


async def test_a_store_of_an_earlier_release_opens(path: Path, boot: Boot) -> None:
    """A store that never kept the time is taken as it is, and keeps it from then on."""
    connection = open_writer(path)
    migrate(connection, STEPS[:1])
    connection.close()

    store = await boot(by(timedelta()))
    await owe(store, "shop")

    assert len(await claim(store)) == 1
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    assert connection.execute("SELECT steady_at FROM meta").get is not None
    connection.close()
