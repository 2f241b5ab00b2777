"""Intake: stored once, whole batches or nothing, on disk when it is acknowledged."""

from dataclasses import replace
from datetime import timedelta

import pytest

from dispatcher.domain.errors import Conflict, DiskReserve
from dispatcher.domain.events import EventState, Intake
from dispatcher.domain.ledger import EventFilter
from tests.contract.steps import accept, claim, match_all, owe
from tests.contract.stores import Reopen, Store
from tests.kit.builders import a_join, acknowledged, an_event
from tests.kit.clock import NOON

MORE_THAN_ANY_DISK = 1 << 62


async def test_a_repeat_gets_the_receipt_of_the_first(store: Store) -> None:
    """The same id with the same content is the same event, and the receipt says so."""
    event = an_event()
    first = await accept(store, event)

    again = await accept(store, replace(event, occurred_at=NOON - timedelta(minutes=1)))

    assert (first.repeated, again.repeated) == (False, True)
    assert again.event_id == first.event_id
    assert len(await store.events(EventFilter())) == 1


async def test_a_join_repeats_like_an_event(store: Store) -> None:
    """A join has an id of its own, which its repeat gets as well."""
    join = a_join("shop")

    first, again = await store.accept([join, join])

    assert first.event_id.startswith("sj_")
    assert (again.event_id, again.repeated) == (first.event_id, True)


async def test_an_id_belongs_to_its_source(store: Store) -> None:
    """Two sources may use the same id for different events."""
    ours = await accept(store, an_event(id="1", source="op"))

    theirs = await accept(store, an_event(id="1", source="hr", sub="bob"))

    assert theirs.event_id != ours.event_id
    assert not theirs.repeated


async def test_an_id_with_other_content_is_a_conflict(store: Store) -> None:
    """An id that comes back with other content is refused, and nothing changes."""
    await accept(store, an_event(id="1", sub="alice"))

    with pytest.raises(Conflict, match=r"\[0\]"):
        await accept(store, an_event(id="1", sub="bob"))

    assert [record.event.sub for record in await store.events(EventFilter())] == ["alice"]


async def test_an_event_does_not_repeat_a_join(store: Store) -> None:
    """An event that uses the id of a join is a conflict."""
    await accept(store, a_join(id="1"))

    with pytest.raises(Conflict):
        await accept(store, an_event(id="1"))

    assert await store.events(EventFilter()) == []


async def test_a_batch_is_stored_whole_or_not_at_all(store: Store) -> None:
    """A batch whose fourth intake contradicts leaves no trace, and the conflict names it."""
    await accept(store, an_event(id="1", sub="alice"))
    batch: list[Intake] = [an_event(), a_join(sid="s9"), an_event(), an_event(id="1", sub="bob")]

    with pytest.raises(Conflict, match=r"\[3\]"):
        await store.accept(batch)

    assert len(await store.events(EventFilter())) == 1
    assert await store.session(a_join(sid="s9").sid) is None


async def test_what_was_accepted_is_on_disk(store: Store, reopen: Reopen) -> None:
    """An accepted event is there after a restart, word for word, and waits to be matched."""
    event = an_event(
        sid="s1",
        clients=["shop"],
        session_metadata={"tenant": "ä\0\ud800"},
        occurred_at=NOON - timedelta(hours=1),
    )
    receipt = await accept(store, event)

    after = await reopen()

    record = await after.event(receipt.event_id)
    assert record is not None
    assert record.event == replace(event, event_id=receipt.event_id)
    assert record.state is EventState.ACCEPTED


async def test_a_repeat_is_known_after_a_restart(store: Store, reopen: Reopen) -> None:
    """Ids are remembered across restarts."""
    event = an_event()
    first = await accept(store, event)

    again = await accept(await reopen(), event)

    assert (again.event_id, again.repeated) == (first.event_id, True)


async def test_a_session_keeps_its_user(store: Store) -> None:
    """A join that gives a known session to another user is a conflict."""
    await accept(store, a_join("shop", sid="s1", sub="alice"))

    with pytest.raises(Conflict):
        await accept(store, a_join("mail", sid="s1", sub="bob"))

    session = await store.session(a_join(sid="s1").sid)
    assert session is not None
    assert [joined.client_id for joined in session.clients] == ["shop"]


@pytest.mark.one_process("a server's disk is not the store's to watch")
async def test_intake_is_refused_below_the_disks_reserve(store: Store, reopen: Reopen) -> None:
    """With the disk nearly full nothing is accepted, while outcomes are still recorded."""
    await owe(store, "shop")
    low = await reopen(disk_reserve=MORE_THAN_ANY_DISK)

    with pytest.raises(DiskReserve):
        await accept(low, an_event())

    assert low.disk_low()
    assert await low.settle([acknowledged(one) for one in await claim(low)]) == [True]
    assert await match_all(low) == []


async def test_a_store_tells_that_it_can_be_written(store: Store) -> None:
    """A healthy store has written, and rolled back, when it says that nothing is wrong."""
    wrong = await store.writable()

    assert wrong is None
    assert not store.disk_low()
