"""Costs: what is done often follows what is done, never how much is waiting."""

import re
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.adapters.sqlite import (
    SqliteStore,
    breakers,
    claims,
    intake,
    joins,
    lanes,
    ledger,
    matching,
    pruning,
    settlements,
)
from dispatcher.adapters.sqlite.intake import accept_all
from dispatcher.adapters.sqlite.readers import InlineReaders
from dispatcher.adapters.sqlite.transactions import Joint
from dispatcher.domain.deliveries import DeliveryState
from dispatcher.domain.events import EventState
from dispatcher.domain.ledger import DeliveryFilter, EventFilter
from dispatcher.stored.turns import shares, turn_of
from dispatcher.stored.values import micros
from keys import Seal
from tests.contract.steps import LEASE, owe
from tests.kit.builders import a_join, acknowledged, an_application, an_event, put_off
from tests.kit.clock import NOON, FakeClock

OFTEN = {
    f"{module.__name__.rpartition('.')[2]}.{name}": sql
    for module in (breakers, claims, intake, joins, lanes, matching, pruning, settlements)
    for name, sql in vars(module).items()
    if isinstance(sql, str)
    and sql.lstrip().startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"))
} | {"ledger._OLDEST": ledger._OLDEST, "ledger._ATTEMPTS": ledger._ATTEMPTS}
"""Every statement that is run for an event, a delivery or a bite."""

SMALL = ("lane", "meta")
"""Tables with a row for each application at most."""
GATHERED = ("ended", "gone", "hit", "scope")
"""What a statement has gathered itself, by an index."""
WAITING = "USING INDEX event_due"
"""An index of nothing but what is waited for, of which a bite is taken from the head."""


@pytest.fixture
async def connection(store: SqliteStore, path: Path) -> apsw.Connection:
    """Return a connection to an empty store of today's schema."""
    await store.close()
    return apsw.Connection(str(path))


@pytest.mark.parametrize("name", sorted(OFTEN))
async def test_no_statement_goes_through_a_whole_table(
    connection: apsw.Connection, name: str
) -> None:
    """Every statement of the daily work finds its rows by an index."""
    sql = OFTEN[name]
    numbered = {int(number) for number in re.findall(r"\?(\d)", sql)}
    nothing = [None] * (max(numbered) if numbered else sql.count("?"))

    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", nothing)]
    scans = [step for step in plan if step.startswith("SCAN") and not _is_small(step)]

    assert scans == []
    connection.close()


def _is_small(step: str) -> bool:
    what = step.split()[1]
    return (
        "VIRTUAL TABLE" in step
        or "CONSTANT ROW" in step
        or what.startswith("(")
        or what in {*GATHERED, *SMALL}
        or step.endswith(WAITING)
    )


def test_the_statements_are_found() -> None:
    """The list of statements above is not empty by mistake."""
    names = {name.partition(".")[0] for name in OFTEN}

    assert names == {
        "breakers", "claims", "intake", "joins", "lanes", "ledger", "matching", "pruning",
        "settlements",
    }  # fmt: skip
    assert len(OFTEN) > 30


async def test_a_statement_is_planned_once(folder: Path, clock: FakeClock, seal: Seal) -> None:
    """Whatever the values of its parameters are, no statement of the daily work is planned anew.

    While it plans a statement SQLite asks for leave to read each column.
    """
    store = await SqliteStore.open(folder / "store.db", clock=clock, seal=seal, inline=True)
    planned: list[str | None] = []

    def note(_: int, table: str | None, *__: str | None) -> int:
        planned.append(table)
        return apsw.SQLITE_OK

    async def work(size: int) -> None:
        await owe(store, "shop", "mail", events=size)
        claimed = await store.claim(size, lease=LEASE, per_lane=size)
        await store.settle([acknowledged(one) for one in claimed[1:]])
        await store.settle([put_off(one, until=clock.steady()) for one in claimed[:1]])
        clock.advance(seconds=size)

    await work(2)
    connection = store._engine.scribe._connection
    assert connection is not None
    connection.authorizer = note
    await work(3)
    at_first = len(planned)
    for size in range(4, 8):
        await work(size)
    await store.close()

    assert at_first > 100
    assert planned[at_first:] == []


async def test_a_claim_costs_the_same_with_a_long_backlog(
    folder: Path, clock: FakeClock, seal: Seal
) -> None:
    """Fifty times as many deliveries that wait make a claim and its settlement no dearer."""
    short = await _steps(folder / "short.db", 1_000, clock, seal)
    long = await _steps(folder / "long.db", 50_000, clock, seal)

    ratio = long / short

    assert ratio < 1.2


async def test_first_attempts_are_found_behind_any_number_of_retries(
    folder: Path, clock: FakeClock, seal: Seal
) -> None:
    """Where no retry may start, fifty times as many of them make a first attempt no dearer."""
    short = await _steps(folder / "short.db", 1_000, clock, seal, fresh=400)
    long = await _steps(folder / "long.db", 50_000, clock, seal, fresh=400)

    ratio = long / short

    assert ratio < 1.2


async def test_what_an_end_spares_is_looked_at_once(store: SqliteStore) -> None:
    """Ten times as many sessions of a user do not multiply with those that are spared."""
    await store.close()
    scribe = store._engine.scribe
    spared = [f"spared-{number}" for number in range(1_000)]

    def steps_with(sub: str, sessions: int) -> int:
        joins = [a_join("shop", sub=sub, sid=f"{sub}-{number}") for number in range(sessions)]
        scribe.write([Joint(accept_all, joins)])
        steps = _counted(scribe._connected())
        scribe.write([Joint(accept_all, [an_event(sub=sub, except_sids=spared)])])
        return len(steps)

    few, many = steps_with("few", 10), steps_with("many", 100)
    scribe.close()

    assert many < 3 * few


# What is pending is looked for among the newest: nobody knows whether little or much of it waits.
@pytest.mark.parametrize("state", sorted({*DeliveryState} - {DeliveryState.PENDING}))
async def test_a_page_of_a_state_costs_the_same_among_many(
    folder: Path, clock: FakeClock, seal: Seal, state: DeliveryState
) -> None:
    """Whoever reads what is in one state pays for the page, not for all that there is."""
    wanted = DeliveryFilter(state=state)
    few, many = [
        await _steps_to_read(folder / f"{rows}.db", rows, clock, seal, wanted)
        for rows in (1_000, 20_000)
    ]

    assert many <= 1.2 * few


async def test_a_page_of_what_waits_costs_the_same_among_many(
    folder: Path, clock: FakeClock, seal: Seal
) -> None:
    """Events that are not yet matched are found among any number that are."""
    wanted = EventFilter(state=EventState.ACCEPTED)
    few, many = [
        await _steps_to_read(folder / f"{rows}.db", rows, clock, seal, wanted)
        for rows in (1_000, 20_000)
    ]

    assert many <= 1.2 * few


async def _steps_to_read(
    path: Path, rows: int, clock: FakeClock, seal: Seal, wanted: DeliveryFilter | EventFilter
) -> int:
    """Return how many steps a page takes where nearly all deliveries were delivered."""
    store = await SqliteStore.open(path, clock=clock, seal=seal, inline=True)
    connection = store._engine.scribe._connection
    assert connection is not None
    _fill(connection, rows)
    with connection:
        connection.execute(_NEARLY_ALL_OVER.format(now=micros(NOON)))
    readers = store._engine.readers
    assert isinstance(readers, InlineReaders)
    steps = _counted(readers._connection)
    if isinstance(wanted, DeliveryFilter):
        assert await store.deliveries(wanted)
    else:
        assert len(await store.events(wanted)) == 20
    await store.close()
    return len(steps)


_NEARLY_ALL_OVER = """
UPDATE delivery SET state = 'delivered', settled_at = {now} WHERE number > 80;
UPDATE delivery SET state = 'failed', settled_at = {now} WHERE number <= 20;
UPDATE delivery SET state = 'cancelled', settled_at = {now} WHERE number BETWEEN 21 AND 40;
UPDATE delivery SET state = 'in_flight', lease_until = {now}, lease = 1
    WHERE number BETWEEN 41 AND 60;
UPDATE event SET state = 'accepted', due = 1 WHERE number <= 20
"""


async def _steps(
    path: Path, waiting: int, clock: FakeClock, seal: Seal, *, fresh: int | None = None
) -> int:
    """Return how many steps of SQLite's machine some claims and settlements take.

    Where so many are *fresh* all others were tried before, and no retry is wanted.
    """
    store = await SqliteStore.open(path, clock=clock, seal=seal, inline=True)
    for number in range(20):
        await store.create_application(an_application(f"c{number}", max_in_flight=100))
    connection = store._engine.scribe._connection
    assert connection is not None
    _fill(connection, waiting)
    retries = None
    if fresh is not None:
        retries = 0
        connection.execute("UPDATE delivery SET tries = 1 WHERE number <= ?", (waiting - fresh,))
    steps = _counted(connection)
    for _ in range(5):
        claimed = await store.claim(40, lease=LEASE, retries=retries)
        assert len(claimed) == 40
        assert all(await store.settle([acknowledged(delivery) for delivery in claimed]))
    await store.close()
    return len(steps)


def _counted(connection: apsw.Connection) -> list[int]:
    steps: list[int] = []

    def note() -> bool:
        steps.append(1)
        return False

    connection.set_progress_handler(note, 20)
    return steps


def _fill(connection: apsw.Connection, waiting: int) -> None:
    """Put *waiting* due deliveries in 20 lanes, half of them in one."""
    noon = micros(NOON)
    with connection:
        connection.execute(_EVENTS, (waiting, noon))
        connection.execute(_DELIVERIES, (noon,))
        connection.execute(_LANES)


_EVENTS = """
INSERT INTO event
    (source, id, initiator, sid, default_audience, received_at, state, due, owes)
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
SELECT 'op', i, 'rp-logout', 's' || i, 'session', ?2, 'matched', 0, 1 FROM n
"""
_DELIVERIES = """
INSERT INTO delivery (event, client_id, uri, sid, state, due_at, created_at, started_at)
SELECT number, iif(number % 2, 'c0', 'c' || (1 + number / 2 % 19)), 'u', sid, 'pending',
    ?1 - 1000000 + number, ?1, ?1
FROM event
"""
_LANES = """
INSERT INTO lane
    (client_id, next_due_at, served, pending, in_flight, delivered, failed, cancelled)
SELECT client_id, min(due_at), 0, count(*), 0, 0, 0, 0
FROM delivery GROUP BY client_id
"""


@given(
    rooms=st.dictionaries(st.text(max_size=2), st.integers(1, 30), max_size=12),
    limit=st.integers(0, 120),
)
def test_shares_are_fair(rooms: dict[str, int], limit: int) -> None:
    """All that can be dealt is; nobody gets more than it has room for, or two turns ahead."""
    dealt = shares(rooms, limit)

    assert sum(dealt.values()) == min(limit, sum(rooms.values()))
    assert all(0 <= dealt[lane] <= room for lane, room in rooms.items())
    for lane, room in rooms.items():
        if dealt[lane] < room:
            assert all(other <= dealt[lane] + turn_of(limit) for other in dealt.values())


def test_shares_go_to_the_first_in_turn() -> None:
    """What does not go round is given to those who were served longest ago."""
    dealt = shares({"a": 5, "b": 5, "c": 5}, 4)

    assert dealt == {"a": 2, "b": 1, "c": 1}


@pytest.mark.parametrize(("limit", "served"), [(1, 1), (16, 16), (31, 31), (32, 16), (256, 64)])
def test_long_turns_leave_room_for_many_lanes(limit: int, served: int) -> None:
    """However long a turn is, sixteen lanes have one where so many can be lent something."""
    dealt = shares({f"lane-{number}": 16 for number in range(100)}, limit)

    assert sum(map(bool, dealt.values())) == served
