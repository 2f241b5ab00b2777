"""Taking in what sources send: events to be matched, and joins for the session registry.

Events that wait at one moment are taken in by a handful of statements, joins one by one. A batch is
taken in as a whole or not at all; one that contradicts what is known spoils no other.
"""

from collections.abc import Iterator, Sequence
from itertools import count
from typing import assert_never

from dispatcher.adapters.sqlite.joins import join, known_subs
from dispatcher.adapters.sqlite.transactions import Transaction
from dispatcher.domain.errors import Conflict
from dispatcher.domain.events import EventState, LogoutEvent, SessionJoined
from dispatcher.stored.intake import Batch, Key, New, Remembered, Taken, TakingIn
from dispatcher.stored.rows import EVENT_COLUMNS, row_of_event
from dispatcher.stored.values import packed, packed_plainly


def _fields(columns: int) -> str:
    return ", ".join(f"value ->> {column}" for column in range(columns))


_KNOWN = """
SELECT json_group_array(json_array(source, intake.id, fingerprint, event, joined))
FROM jsonb_each(?) CROSS JOIN intake ON source = value ->> 0 AND intake.id = value ->> 1
"""
_LATEST = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'event'"
_NUMBER_JOINS = "UPDATE meta SET joins = joins + ? RETURNING joins"
_REMEMBER = f"""
INSERT INTO intake (source, id, fingerprint, event, joined, received_at)
SELECT {_fields(6)} FROM jsonb_each(?)
"""  # noqa: S608 - constants
_ACCEPT = f"""
INSERT INTO event ({EVENT_COLUMNS}, state)
SELECT {_fields(13)}, '{EventState.ACCEPTED}' FROM jsonb_each(?)
"""  # noqa: S608 - constants
_END_SESSIONS = """
WITH hit (sid, number, ended_at) AS (
    SELECT session.sid, number, coalesce(occurred_at, received_at)
    FROM event JOIN session ON session.sid = event.sid
    WHERE number BETWEEN ?1 AND ?2
    UNION ALL SELECT * FROM (
        SELECT session.sid, number, coalesce(occurred_at, received_at)
        FROM event JOIN session ON session.sub = event.sub
        WHERE number BETWEEN ?1 AND ?2 AND event.sid IS NULL
        EXCEPT SELECT value, number, coalesce(occurred_at, received_at)
        FROM event CROSS JOIN json_each(except_sids) WHERE number BETWEEN ?1 AND ?2)),
ended AS (SELECT sid, min(number) AS earliest, max(ended_at) AS latest FROM hit GROUP BY sid)
UPDATE session SET
    ended_by = iif(ended_at IS NULL, earliest, ended_by),
    ended_at = coalesce(ended_at,
        (SELECT coalesce(occurred_at, received_at) FROM event WHERE number = earliest)),
    kept_from = max(kept_from, latest)
FROM ended WHERE session.sid = ended.sid
"""

_ROWS_AT_ONCE = 500


def accept_all(tx: Transaction, batches: Sequence[Batch]) -> list[Taken]:
    """Store each of *batches*, or say what it contradicts."""
    intakes = [intake for batch in batches for intake in batch]
    taking = TakingIn(_known(tx, intakes), known_subs(tx, intakes))
    taken = [taking.take(batch) for batch in batches]
    if taking.new:
        _write(tx, taking.new)
    return [one if isinstance(one, Conflict) else taking.receipts(one) for one in taken]


def _known(tx: Transaction, intakes: Batch) -> dict[Key, Remembered]:
    keys = {(intake.source, intake.id) for intake in intakes}
    return {
        (source, name): Remembered(said, (event, joined))
        for source, name, said, event, joined in tx.read(_KNOWN, packed([*keys]))
    }


def _write(tx: Transaction, new: Sequence[New]) -> None:
    """Write what is *new*, in its order: a join finds the events before it, and no later one."""
    _number(tx, new)
    events: list[tuple[int, LogoutEvent]] = []
    for one in new:
        match one.intake:
            case LogoutEvent() as event:
                events.append((one.number, event))
            case SessionJoined() as joined:
                _accept_events(tx, events)
                events = []
                join(tx, joined, after_event=one.after_event)
            case _:
                assert_never(one.intake)
    _accept_events(tx, events)
    _write_rows(tx, _REMEMBER, [one.row for one in new])


def _write_rows(tx: Transaction, sql: str, rows: Sequence[Sequence[str | int | None]]) -> None:
    """Write *rows*, some at a time: nothing else goes on while their text is made."""
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        tx.write(sql, packed_plainly(rows[start : start + _ROWS_AT_ONCE]))


def _number(tx: Transaction, new: Sequence[New]) -> None:
    """Give what is new its numbers; a join remembers the latest event, of any scope, before it."""
    latest = int(tx.read(_LATEST))
    joins = _joins_from(tx, sum(isinstance(one.intake, SessionJoined) for one in new))
    for one in new:
        one.after_event = latest
        if isinstance(one.intake, LogoutEvent):
            latest = one.number = latest + 1
        else:
            one.number = next(joins)


def _joins_from(tx: Transaction, joins: int) -> Iterator[int]:
    """Return the numbers of so many *joins*, and of none that comes after."""
    last = int(tx.read(_NUMBER_JOINS, joins)) if joins else 0
    return count(last - joins + 1)


def _accept_events(tx: Transaction, events: Sequence[tuple[int, LogoutEvent]]) -> None:
    """Store *events* to be matched, and note that their sessions are over."""
    if events:
        _write_rows(tx, _ACCEPT, [(number, *row_of_event(event)) for number, event in events])
        (first, _), (last, _) = events[0], events[-1]
        tx.write(_END_SESSIONS, first, last)
        tx.stir()
