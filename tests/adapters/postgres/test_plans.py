"""What PostgreSQL does for each statement of the hot path, with much in the store: never all of it.

The statements are those that were truly run: a step is taken in the store, and each of them is
explained as it was given.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import psycopg
import pytest

from dispatcher.adapters.postgres import PostgresStore
from dispatcher.adapters.postgres.flights import Asked, Flights, Rows
from dispatcher.adapters.postgres.transactions import Transaction
from dispatcher.domain.lanes import PARKS_AFTER
from dispatcher.ports import Retention
from dispatcher.stored.values import micros
from tests.contract.steps import LEASE, accept, match_all, register
from tests.kit.builders import a_join, acknowledged, an_application, an_event, put_off
from tests.kit.clock import NOON, FakeClock
from tests.kit.postgres import Server

ROWS = 100_000
LARGE = {"event", "delivery", "attempt", "intake", "session", "session_client"}
DAY = timedelta(days=1)
_FILL = """
INSERT INTO event (number, source, id, initiator, sub, sid, default_audience, received_at, state,
    due, owes)
SELECT n, 'op', 'e' || n, 'rp-logout', 'u' || n, CASE WHEN n % 2 = 0 THEN 's' || n END, 'session',
    :now + n * 1000000, 'matched', false, 1 FROM generate_series(1, :rows::bigint) AS n;
INSERT INTO intake SELECT 'op', 'e' || n, 'f', n, NULL, :now + n * 1000000
    FROM generate_series(1, :rows::bigint) AS n;
INSERT INTO session SELECT 's' || n, 'u' || n, NULL, :now, NULL, NULL, NULL, :now + n * 1000000
    FROM generate_series(1, :rows::bigint) AS n;
INSERT INTO session_client SELECT 's' || n, 'shop', 'u' || n, :now, 0
    FROM generate_series(1, :rows) AS n;
INSERT INTO delivery (event, client_id, uri, sub, sid, state, due_at, created_at, started_at,
    settled_at)
SELECT n, 'a' || n % 20, 'https://a.example/', 'u' || n, CASE WHEN n % 2 = 0 THEN 's' || n END,
    CASE WHEN n % 2 = 0 THEN 'delivered' ELSE 'pending' END, :now + 3600000000 + n, :now, :now,
    CASE WHEN n % 2 = 0 THEN :now + n * 1000000 END FROM generate_series(1, :rows::bigint) AS n;
INSERT INTO attempt SELECT n, 1, :now, 1, 'acknowledged', 200, NULL, NULL, NULL
    FROM generate_series(2, :rows, 2) AS n;
INSERT INTO lane (client_id, next_due_at, pending, delivered)
SELECT client_id, min(due_at) FILTER (WHERE state = 'pending'),
    count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'delivered')
FROM delivery GROUP BY client_id;
SELECT setval('event_number', :rows), setval(pg_get_serial_sequence('delivery', 'number'), :rows)
"""


@pytest.fixture(scope="module")
def filled(postgres: Server, migrated: str) -> Iterator[str]:
    """Return the URL of a database with ROWS of everything, half of the deliveries waiting.

    Each row is a second younger than the one before.
    """
    fill = _FILL.replace(":now", f"{micros(NOON)}::bigint").replace(":rows", str(ROWS))
    with postgres.database(migrated) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(fill.encode())
            connection.execute("ANALYZE")
        yield url


@pytest.fixture
def database(postgres: Server, filled: str) -> Iterator[str]:
    """Return the URL of such a database, of this test alone."""
    with postgres.database(filled) as url:
        yield url


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> "Plans":
    """Return the plans of what the store runs from now on."""
    plans = Plans()
    ask = Flights.ask

    def explained(self: Flights, sql: str, bindings: Sequence[Any]) -> Asked:
        if bindings and "pg_" not in sql and sql.split(maxsplit=1)[0] in _EXPLAINED:
            plan = ask(self, f"EXPLAIN (FORMAT JSON) {sql}", bindings)
            monkeypatch.setattr(plan, "land", partial(plans.note, sql))
        return ask(self, sql, bindings)

    monkeypatch.setattr(Flights, "ask", explained)
    return plans


_EXPLAINED = {"SELECT", "WITH", "UPDATE", "DELETE", "INSERT"}


class Plans:
    """What went through a whole table, and how many statements were looked at."""

    def __init__(self) -> None:
        self.seen = 0
        self.scans: list[tuple[str, str]] = []

    def note(self, query: str, told: Rows) -> None:
        """Take in one statement's plan."""
        self.seen += 1
        self._walk(" ".join(query.split())[:60], told[0][0][0]["Plan"])

    def _walk(self, query: str, plan: dict[str, Any]) -> None:
        if plan["Node Type"] == "Seq Scan" and plan["Relation Name"] in LARGE:
            self.scans.append((query, plan["Relation Name"]))
        for inner in plan.get("Plans", ()):
            self._walk(query, inner)


Step = Callable[[PostgresStore, FakeClock], Awaitable[object]]


async def _accept(store: PostgresStore, _: FakeClock) -> None:
    await store.accept([an_event(id=f"n{n}", sid=f"s{n}") for n in range(50)])
    await accept(store, an_event(id="fresh", sub="u7"))


async def _join(store: PostgresStore, _: FakeClock) -> None:
    await store.accept([a_join("shop", "mail", sid=f"s{n}", sub=f"u{n}") for n in range(2, 20, 2)])


async def _match(store: PostgresStore, _: FakeClock) -> None:
    await register(store, an_application("shop"))
    await store.accept([an_event(sid=f"s{n}") for n in range(30)])
    await store.accept([an_event(sub=f"u{n}") for n in range(30)])
    assert len(await match_all(store)) == 60


async def _claim_and_settle(store: PostgresStore, clock: FakeClock) -> None:
    clock.advance(hours=2)
    claimed = await store.claim(64, lease=LEASE, retries=0, per_lane=64)
    assert len(claimed) == 64
    await store.settle([acknowledged(one) for one in claimed[:32]])
    clock.advance(LEASE)
    again = await store.claim(64, lease=LEASE)
    await store.settle([put_off(one, until=clock.steady() + DAY) for one in again])


async def _park(store: PostgresStore, clock: FakeClock) -> None:
    clock.advance(hours=2)
    for _ in range(PARKS_AFTER):
        claimed = await store.claim(20, lease=LEASE, per_lane=1)
        await store.settle([put_off(one, until=clock.steady() + DAY) for one in claimed])
    clock.advance(minutes=1)
    await store.settle([acknowledged(one) for one in await store.claim(20, lease=LEASE)])


async def _prune(store: PostgresStore, clock: FakeClock) -> None:
    clock.advance(DAY + timedelta(seconds=1000))
    kept = Retention(settled=DAY, failed=DAY, sessions=DAY, ids=DAY)
    assert await store.prune(kept) >= 500


@pytest.mark.parametrize("step", [_accept, _join, _match, _claim_and_settle, _park, _prune])
async def test_nothing_goes_through_a_whole_table(
    store: PostgresStore, clock: FakeClock, plans: Plans, step: Step
) -> None:
    """Accepting, joining, matching, claiming, settling and pruning follow indexes."""
    await step(store, clock)

    assert plans.seen > 2
    assert plans.scans == []


async def test_a_scan_is_seen(store: PostgresStore, plans: Plans) -> None:
    """A statement without an index is found out: the look at the plans is not blind."""

    async def count(tx: Transaction) -> object:
        return await tx.value("SELECT count(*) FROM delivery WHERE excerpt = $1", "x")

    await store._engine.run(count)

    assert [relation for _, relation in plans.scans] == ["delivery"]
