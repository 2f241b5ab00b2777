"""Taking in what waits at one moment: by the same few statements, each batch judged by itself."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.adapters.sqlite.intake import accept_all
from dispatcher.adapters.sqlite.transactions import Answer, Joint, Scribe
from dispatcher.domain.errors import Conflict
from dispatcher.domain.events import Intake, Sub
from dispatcher.domain.ledger import EventFilter
from dispatcher.stored.values import micros
from tests.adapters.sqlite.conftest import Open
from tests.kit.builders import a_join, an_event
from tests.kit.clock import NOON


@pytest.fixture
async def scribe(store: SqliteStore) -> AsyncIterator[Scribe]:
    """Return what writes in a store whose writer has ended: a group is what a test makes it."""
    await store.close()
    yield store._engine.scribe
    store._engine.scribe.close()


def taken_in(scribe: Scribe, *batches: Sequence[Intake]) -> list[Answer]:
    """Take *batches* in at one moment; return what each is told."""
    answers, _ = scribe.write([Joint(accept_all, batch) for batch in batches])
    return answers


def statements_for(scribe: Scribe, *batches: Sequence[Intake]) -> int:
    """Return how many statements it takes to take *batches* in."""
    seen: list[str] = []

    def note(_: Any, sql: str, __: Any) -> bool:
        seen.append(sql)
        return True

    connection = scribe._connected()
    connection.exec_trace = note
    answers = taken_in(scribe, *batches)
    connection.exec_trace = None
    assert [answer.error for answer in answers] == [None] * len(batches)
    return len(seen)


async def test_many_events_take_no_more_statements_than_one(scribe: Scribe) -> None:
    """Events of many webhooks that wait at one moment are written by the statements of one."""
    one = statements_for(scribe, [an_event(sid="s-1")])

    many = statements_for(scribe, *([an_event(sid=f"s-{number}")] for number in range(50)))

    assert many == one


async def test_batches_of_one_moment_are_judged_in_turn(scribe: Scribe) -> None:
    """What came first is what a repeat repeats and another content contradicts; nobody else is hit.

    A batch that contradicts leaves nothing behind that a later one would meet.
    """
    event, other = an_event(sid="s-1"), an_event(sid="s-2")
    changed = replace(event, sub=Sub("mallory"))

    first, repeat, contradicts, later = taken_in(
        scribe, [event], [event], [other, changed], [other, other]
    )

    assert [receipt.repeated for receipt in first.get()] == [False]
    assert [receipt.repeated for receipt in repeat.get()] == [True]
    assert isinstance(contradicts.error, Conflict)
    assert contradicts.error.message.startswith("[1]")
    assert [receipt.repeated for receipt in later.get()] == [False, True]
    assert first.get()[0].event_id == repeat.get()[0].event_id != later.get()[0].event_id


async def test_a_text_that_no_store_can_hold_spoils_its_own_batch(
    scribe: Scribe, opens: Open
) -> None:
    """Where a batch can not be written those of the same moment are, and can be read."""
    broken = [an_event(sub="half \ud800"), an_event()]

    fine, spoilt, too = taken_in(scribe, [an_event()], broken, [an_event(sub="nul \0, ü, 😀")])

    assert isinstance(spoilt.error, UnicodeError)
    numbers = [receipt.event_id for answer in (fine, too) for receipt in answer.get()]
    scribe.close()
    shown = await (await opens()).events(EventFilter())
    assert {one.event.event_id for one in shown} == set(numbers)
    assert {one.event.sub for one in shown} == {"alice", "nul \0, ü, 😀"}


@pytest.mark.parametrize(
    "broken",
    [
        a_join("shop", id="half \ud800"),
        a_join("half \ud800"),
        a_join("shop", sub="half \ud800"),
        an_event(id="half \ud800"),
    ],
    ids=["id of a join", "client_id", "sub", "id of an event"],
)
async def test_half_a_character_is_refused_wherever_it_stands(
    scribe: Scribe, broken: Intake
) -> None:
    """What could be stored escaped, and then never be read again, is not stored."""
    [answer] = taken_in(scribe, [broken])

    assert isinstance(answer.error, UnicodeError)


async def test_many_at_once_are_written_some_at_a_time(scribe: Scribe) -> None:
    """A group of any size is taken in whole, each under its own number, and known afterwards."""
    batches = [[an_event(sid=f"s-{number}") for number in range(400)] for _ in range(3)]

    answers = taken_in(scribe, *batches)
    [found], _ = scribe.write([lambda tx: tx.read("SELECT json_group_array(id) FROM event")])

    assert found.get() == [event.id for batch in batches for event in batch]
    told = [receipt.event_id for answer in answers for receipt in answer.get()]
    assert told == [f"ev_{number}" for number in range(1, 1201)]
    again = [receipt for answer in taken_in(scribe, *batches) for receipt in answer.get()]
    assert [receipt.event_id for receipt in again if receipt.repeated] == told


async def test_a_session_is_not_known_by_what_was_refused(scribe: Scribe) -> None:
    """The user that a contradicting batch names for a session is forgotten with the batch."""
    event = an_event()
    other = a_join("shop", sub="other", sid="s-1")
    contradicts: list[Intake] = [other, replace(event, sub=Sub("mallory"))]

    _, refused, joined = taken_in(
        scribe, [event], contradicts, [a_join("shop", sub="bob", sid="s-1")]
    )

    assert isinstance(refused.error, Conflict)
    assert [receipt.event_id for receipt in joined.get()] == ["sj_1"]


async def test_the_order_within_a_batch_is_kept(scribe: Scribe) -> None:
    """A join concerns the events after it in its batch; those before it end it if they say so."""
    earlier, later = an_event(sub="bob"), an_event(sub="bob")
    joined = a_join("shop", sub="bob", sid="s-1")

    [answer] = taken_in(scribe, [earlier, joined, later])
    before, _, after = (receipt.event_id for receipt in answer.get())
    [found], _ = scribe.write([lambda tx: tx.read("SELECT after_event FROM session_client")])

    assert (before, after) == (f"ev_{found.get()}", f"ev_{found.get() + 1}")


async def test_of_ends_at_one_moment_the_first_has_ended_the_session(scribe: Scribe) -> None:
    """A session is ended by the first event, by ``sid`` or by ``sub``, and kept from the latest."""
    taken_in(scribe, [a_join("shop", sub="bob", sid="s-1"), a_join("shop", sub="bob", sid="s-2")])
    later = NOON + timedelta(hours=1)

    [wide, _, _] = taken_in(
        scribe,
        [an_event(sub="bob", except_sids=["s-2"])],
        [an_event(sub="bob", sid="s-1", received_at=later)],
        [an_event(sub="bob", sid="unknown")],
    )
    [found], _ = scribe.write(
        [
            lambda tx: tx.read(
                "SELECT json_group_object(sid, json_array(ended_by, ended_at, kept_from))"
                " FROM session"
            )
        ]
    )

    number = int(wide.get()[0].event_id.removeprefix("ev_"))
    assert found.get() == {
        "s-1": [number, micros(NOON), micros(later)],
        "s-2": [None, None, micros(NOON)],
    }
