"""Several replicas on one database: what one does, all of them have done."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial

import anyio
import anyio.lowlevel
import psycopg
import pytest

from dispatcher.adapters.postgres import PostgresStore
from dispatcher.adapters.postgres.scopes import MOST_AT_ONCE, lock_scopes
from dispatcher.adapters.postgres.transactions import Transaction
from dispatcher.domain.applications import Application, ManagedBy
from dispatcher.domain.deliveries import Delivery, DeliveryId, DeliveryState
from dispatcher.domain.errors import Conflict, StoreUnavailable
from dispatcher.domain.events import ClientId, LogoutEvent, Receipt, SourceName
from dispatcher.domain.lanes import PARKS_AFTER, LaneState
from dispatcher.domain.ledger import DeliveryRecord, EventFilter
from dispatcher.domain.matching import match
from dispatcher.domain.sources import Source
from dispatcher.pipeline.declare import declare
from dispatcher.ports import Retention
from tests.contract.steps import LEASE, accept, claim, match_all, owe, records
from tests.kit.builders import acknowledged, an_application, an_event, put_off
from tests.kit.clock import FakeClock

DAY = timedelta(days=1)
PRUNING = "pg_advisory_xact_lock(hashtext('dispatcher prune'))"
"""What a replica holds while it prunes."""
RETENTION = Retention(settled=DAY, failed=DAY, sessions=DAY, ids=DAY)


async def test_no_delivery_is_lent_twice(store: PostgresStore, other: PostgresStore) -> None:
    """However many claims of two replicas run at once, each delivery is lent to one of them."""
    await owe(store, "shop", "mail", "wiki", events=100)
    lent: list[DeliveryId] = []

    async def take(replica: PostgresStore) -> None:
        while claimed := await replica.claim(7, lease=LEASE):
            lent.extend(delivery.id for delivery in claimed)
            await replica.settle([acknowledged(one) for one in claimed])

    async with anyio.create_task_group() as group:
        for replica in (store, other) * 4:
            group.start_soon(take, replica)

    assert sorted(lent) == sorted(record.id for record in await _all(store))
    assert len(lent) == 300


async def _all(store: PostgresStore) -> list[DeliveryRecord]:
    page = await store.events(EventFilter(take=100))
    return [delivery for event in page for delivery in event.deliveries]


async def test_a_cap_is_that_of_all_replicas(store: PostgresStore, other: PostgresStore) -> None:
    """An application's attempts in flight are counted over all replicas together."""
    await store.create_application(an_application("shop", max_in_flight=5))
    await owe(store, "shop", events=40)
    claims: list[Sequence[Delivery]] = []

    async def take(replica: PostgresStore) -> None:
        claims.append(await claim(replica, 3))

    async with anyio.create_task_group() as group:
        for replica in (store, other) * 5:
            group.start_soon(take, replica)

    assert sum(map(len, claims)) == 5


async def test_replicas_undo_no_change_of_each_other(
    store: PostgresStore, other: PostgresStore
) -> None:
    """Whoever changes an application changes what the others have made of it, heard of or not."""
    await store.create_application(an_application("shop", max_in_flight=1))

    def once_more(application: Application) -> Application:
        most = application.delivery.max_in_flight + 1
        return replace(application, delivery=replace(application.delivery, max_in_flight=most))

    async with anyio.create_task_group() as group:
        for replica in (store, other) * 3:
            group.start_soon(replica.change_application, ClientId("shop"), once_more)
    last = await store.change_application(ClientId("shop"), once_more)

    assert last.delivery.max_in_flight == 8


async def test_a_breaker_is_that_of_all_replicas(
    store: PostgresStore, other: PostgresStore, clock: FakeClock
) -> None:
    """What one replica found out of an application spares it the attempts of the others."""
    await owe(store, "shop", events=20)
    for _ in range(5):
        (one,) = await claim(store, 1)
        await store.settle([put_off(one, until=clock.steady() + DAY)])

    assert await claim(other) == []


async def test_what_replicas_find_out_at_one_moment_adds_up(
    store: PostgresStore, other: PostgresStore, clock: FakeClock
) -> None:
    """Of attempts in vain that are settled side by side none is forgotten by the breaker."""
    for name in ("shop", "mail", "wiki"):
        await owe(store, name, events=PARKS_AFTER)
        claimed = await claim(store)
        async with anyio.create_task_group() as group:
            for place, one in enumerate(claimed):
                settled = put_off(one, until=clock.steady() + DAY)
                group.start_soon((store, other)[place % 2].settle, [settled])

    lanes = await store.lanes(None, 10)

    assert [lane.state for lane in lanes] == [LaneState.PARKED] * 3


async def test_what_a_replica_pauses_is_paused_for_all(
    store: PostgresStore, other: PostgresStore
) -> None:
    """An operator's hand on a lane holds whichever replica it was laid on by."""
    await owe(store, "shop")
    await store.pause(ClientId("shop"))
    paused = await claim(other)
    await other.resume(ClientId("shop"))

    assert paused == []
    assert len(await claim(store)) == 1


async def test_a_stalled_replica_writes_nothing_more(
    store: PostgresStore, other: PostgresStore, clock: FakeClock
) -> None:
    """When a lease has ended and another replica has the delivery, the first one's word is void."""
    await owe(store, "shop")
    (stalled,) = await claim(store)
    clock.advance(LEASE)
    (again,) = await claim(other)

    late = await store.settle([put_off(stalled, until=clock.steady() + DAY)])
    ours = await other.settle([acknowledged(again)])

    assert (late, ours) == ([False], [True])
    assert [(record.attempt_count, record.state) for record in await records(store)] == [
        (1, "delivered")
    ]


async def test_a_replica_that_is_gone_is_taken_over(
    store: PostgresStore, other: PostgresStore, clock: FakeClock
) -> None:
    """What a replica had in flight is lent to another one when its leases end, and not before."""
    await owe(store, "shop", events=3)
    held = await claim(store)
    clock.advance(LEASE - timedelta.resolution)
    early = await claim(other)
    clock.advance(timedelta.resolution)

    taken = await claim(other)

    assert early == []
    assert {one.id for one in taken} == {one.id for one in held}


async def test_a_replica_is_woken_by_another(store: PostgresStore, other: PostgresStore) -> None:
    """What one replica accepts ends another one's wait."""
    seen = await other.wait(0, at_most=timedelta(milliseconds=1))
    await until_listening(other)

    await accept(store, an_event())

    with anyio.fail_after(10):
        assert await other.wait(seen, at_most=timedelta(hours=1)) != seen


async def until_listening(store: PostgresStore) -> None:
    """Return when the store hears the others."""
    with anyio.fail_after(10):
        while not store.listening:
            await anyio.lowlevel.checkpoint()


async def test_many_replicas_take_in_one_event_once(
    store: PostgresStore, other: PostgresStore
) -> None:
    """Of one event that comes to all replicas at one moment there is one, and one receipt."""
    receipts: list[Receipt] = []

    async def take_in(replica: PostgresStore, number: int) -> None:
        receipts.append(await accept(replica, an_event(id=f"e{number}", clients=[])))

    async with anyio.create_task_group() as group:
        for number in range(20):
            for replica in (store, other) * 3:
                group.start_soon(take_in, replica, number)

    assert len({(receipt.id, receipt.event_id) for receipt in receipts}) == 20
    assert Counter(receipt.repeated for receipt in receipts) == {True: 100, False: 20}


async def test_a_contradiction_spoils_nobody_else(
    store: PostgresStore, other: PostgresStore
) -> None:
    """Of two contents under one id one is taken in, whatever comes in at the same moment."""
    taken: list[str | None] = []

    async def take_in(replica: PostgresStore, initiator: str) -> None:
        event = an_event(id="one", initiator=initiator, clients=[])
        with suppress(Conflict):
            await replica.accept([event, an_event(clients=[])])
            taken.append(initiator)

    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(take_in, store, "rp-logout")
            group.start_soon(take_in, other, "idp-logout")

    assert len(taken) == 6
    assert len(set(taken)) == 1
    assert len(await store.events(EventFilter(take=100))) == 7


async def test_a_text_that_can_not_be_kept_spoils_nobody_else(store: PostgresStore) -> None:
    """Of many that are taken in together one that the server has no place for is refused alone."""
    events = [an_event(sub="a\0b" if number == 5 else "alice") for number in range(10)]
    refused: list[str] = []

    async def take_in(event: LogoutEvent) -> None:
        try:
            await accept(store, event)
        except StoreUnavailable:
            refused.append(event.id)

    async with anyio.create_task_group() as group:
        for event in events:
            group.start_soon(take_in, event)

    assert refused == [events[5].id]
    assert len(await store.events(EventFilter(take=100))) == 9


async def test_an_event_is_matched_once(store: PostgresStore, other: PostgresStore) -> None:
    """Replicas that match at one moment divide the events among them."""
    for name in ("shop", "mail"):
        await store.create_application(an_application(name))
    await store.accept([an_event(sid="s1", clients=["shop", "mail"]) for _ in range(60)])
    matched: list[str] = []

    async def keep_matching(replica: PostgresStore) -> None:
        while found := await replica.match(5, match):
            matched.extend(one.event.id for one in found)

    async with anyio.create_task_group() as group:
        for replica in (store, other) * 3:
            group.start_soon(keep_matching, replica)
    await match_all(store)

    assert len(matched) == len(set(matched)) == 60
    assert (await store.depth()).deliveries[DeliveryState.PENDING] == 120


async def test_a_replica_learns_what_another_one_registered(
    store: PostgresStore, other: PostgresStore
) -> None:
    """Applications and sources are those of all replicas, to one that does nothing, too."""
    source = Source(name=SourceName("op"), secrets=("whsec_a",))
    await store.create_application(an_application("shop"))
    await store.put_source(source)

    with anyio.fail_after(10):
        while not (other.applications and other.sources):
            await anyio.lowlevel.checkpoint()

    assert dict(other.applications) == dict(store.applications)
    assert dict(other.sources) == {source.name: source}


async def test_a_match_knows_the_registry_as_it_is(
    store: PostgresStore, other: PostgresStore
) -> None:
    """A match that comes after a change of another replica matches by it."""
    await store.create_application(an_application("shop", urls=["https://shop.example/old"]))
    await accept(other, an_event(clients=["shop"]))
    await store.replace_application(an_application("shop", urls=["https://shop.example/new"]))

    await match_all(other)

    assert [record.uri for record in await records(store)] == ["https://shop.example/new"]


async def test_no_match_slips_past_a_replaced_uri(
    store: PostgresStore, other: PostgresStore
) -> None:
    """However matches and a replaced URI overlap, all that is owed goes to the new one."""
    urls = [f"https://shop.example/{number}" for number in range(20)]
    await store.create_application(an_application("shop", urls=urls[:1]))

    async def keep_matching() -> None:
        for _ in range(40):
            await accept(other, an_event(sid="s1", clients=["shop"]))
            await match_all(other)

    async def keep_replacing() -> None:
        for url in urls[1:]:
            await store.replace_application(an_application("shop", urls=[url]))

    async with anyio.create_task_group() as group:
        group.start_soon(keep_matching)
        group.start_soon(keep_replacing)

    assert {record.uri for record in await records(store)} == {urls[-1]}


async def test_replicas_create_an_application_once(
    store: PostgresStore, other: PostgresStore
) -> None:
    """A client_id is taken once, by whichever replica."""
    created: list[Application] = []

    async def create(replica: PostgresStore, cap: int) -> None:
        application = an_application("shop", max_in_flight=cap)
        with suppress(Conflict):
            await replica.create_application(application)
            created.append(application)

    async with anyio.create_task_group() as group:
        for cap in range(1, 7):
            group.start_soon(create, (store, other)[cap % 2], cap)
    await store.writable()

    assert [store.applications[ClientId("shop")]] == created


async def test_replicas_that_start_at_one_moment_declare_the_same(
    store: PostgresStore, other: PostgresStore
) -> None:
    """Of several that find an application of their file missing none fails at its start."""
    filed = [an_application(f"a{number}", managed_by=ManagedBy.FILE) for number in range(10)]

    async with anyio.create_task_group() as group:
        for replica in (store, other) * 2:
            group.start_soon(partial(declare, filed, registry=replica))
    await store.delete_application(filed[0].client_id)
    filed[0] = an_application("a0", managed_by=ManagedBy.FILE, urls=["https://a.example/new"])
    await declare(filed, registry=other)

    assert await store.writable() is None
    assert sorted(store.applications) == sorted(one.client_id for one in filed)


async def test_who_prunes_prunes_alone(
    store: PostgresStore, database: str, clock: FakeClock
) -> None:
    """While one replica prunes, another one leaves it to that, and does not wait."""
    await accept(store, an_event(clients=[]))
    await match_all(store)
    clock.advance(days=2)
    with psycopg.connect(database) as another:
        another.execute(f"SELECT {PRUNING}")
        meanwhile = await store.prune(RETENTION)

    assert meanwhile == 0
    assert await store.prune(RETENTION) == 2


async def test_one_replica_prunes_at_a_time(
    store: PostgresStore, other: PostgresStore, clock: FakeClock
) -> None:
    """Replicas that prune at one moment do not get into each other's way, and nothing is left."""
    await owe(store, "shop", events=50)
    while claimed := await claim(store):
        await store.settle([acknowledged(one) for one in claimed])
    clock.advance(days=2)
    gone: list[int] = []

    async def prune(replica: PostgresStore) -> None:
        gone.append(await replica.prune(RETENTION))

    async with anyio.create_task_group() as group:
        for replica in (store, other) * 3:
            group.start_soon(prune, replica)
    while count := await store.prune(RETENTION):
        gone.append(count)

    assert sum(gone) == 50 + 50 + 50  # deliveries, events, ids
    assert set((await store.depth()).deliveries.values()) == {0}


@pytest.mark.parametrize(("scopes", "locks"), [(3, 4), (MOST_AT_ONCE, 257), (1000, 1)])
async def test_a_batch_takes_few_locks(store: PostgresStore, scopes: int, locks: int) -> None:
    """A server has some thousand locks for everybody: a large batch takes one in their place."""
    events = [an_event(sid=f"s{number}") for number in range(scopes)]

    async def count(tx: Transaction) -> object:
        lock_scopes(tx, events)
        return await tx.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")

    assert await store._engine.run(count) == locks
    assert len(await store.accept(events)) == scopes
