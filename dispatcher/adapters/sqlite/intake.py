"""Taking in what sources send: events to be matched, and joins for the session registry."""

from collections.abc import Iterator, Sequence
from typing import assert_never

from dispatcher.adapters.sqlite.joins import join
from dispatcher.adapters.sqlite.transactions import Transaction
from dispatcher.domain.errors import Conflict
from dispatcher.domain.events import (
    EventState,
    Intake,
    LogoutEvent,
    Receipt,
    SessionJoined,
    fingerprint,
)
from dispatcher.stored.rows import EVENT_COLUMNS, event_id, join_id, row_of_event
from dispatcher.stored.values import micros, packed

_KNOWN = """
SELECT json_array(fingerprint, event, joined) FROM intake WHERE source = ?1 AND id = ?2
"""
_REMEMBER = """
INSERT INTO intake (source, id, fingerprint, event, joined, received_at) VALUES (?, ?, ?, ?, ?, ?)
"""
_ACCEPT = f"""
INSERT INTO event ({EVENT_COLUMNS.removeprefix("number, ")}, state)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""  # noqa: S608 - a constant list of columns
_END_SESSION = """
UPDATE session SET ended_by = iif(ended_at IS NULL, ?1, ended_by),
    ended_at = coalesce(ended_at, ?2), kept_from = max(kept_from, ?2)
WHERE sid = ?3
"""
_END_SESSIONS = """
UPDATE session SET ended_by = iif(ended_at IS NULL, ?1, ended_by),
    ended_at = coalesce(ended_at, ?2), kept_from = max(kept_from, ?2)
WHERE sub = ?3 AND sid NOT IN (SELECT value FROM json_each(?4))
"""


def accept(tx: Transaction, batch: Sequence[Intake]) -> list[Receipt]:
    """Store *batch*; raise Conflict, naming the index, for the first that contradicts."""
    return list(_taken_in(tx, batch))


def _taken_in(tx: Transaction, batch: Sequence[Intake]) -> Iterator[Receipt]:
    for index, intake in enumerate(batch):
        try:
            yield _take_in(tx, intake)
        except Conflict as conflict:
            raise Conflict(f"[{index}]: {conflict.message}") from None


def _take_in(tx: Transaction, intake: Intake) -> Receipt:
    digest = fingerprint(intake)
    known = tx.read(_KNOWN, intake.source, intake.id)
    if known is not None:
        return _repeated(intake, digest, *known)
    event, joined = None, None
    match intake:
        case LogoutEvent():
            event = _accept_event(tx, intake)
        case SessionJoined():
            joined = join(tx, intake)
        case _:
            assert_never(intake)
    received_at = micros(intake.received_at)
    tx.write(_REMEMBER, intake.source, intake.id, digest, event, joined, received_at)
    return _receipt(intake, event, joined, repeated=False)


def _repeated(
    intake: Intake, digest: str, known_digest: str, event: int | None, joined: int | None
) -> Receipt:
    if digest != known_digest:
        raise Conflict(f"The id {intake.id} was used before, with other content.")
    return _receipt(intake, event, joined, repeated=True)


def _receipt(intake: Intake, event: int | None, joined: int | None, *, repeated: bool) -> Receipt:
    known_as = join_id(joined or 0) if event is None else event_id(event)
    return Receipt(id=intake.id, event_id=known_as, repeated=repeated)


def _accept_event(tx: Transaction, event: LogoutEvent) -> int:
    """Store *event* to be matched, and note that its sessions are over."""
    tx.write(_ACCEPT, *row_of_event(event), EventState.ACCEPTED)
    number = tx.connection.last_insert_rowid()
    ended_at = micros(event.ended_at)
    if event.user_wide:
        tx.write(_END_SESSIONS, number, ended_at, event.sub, packed(event.except_sids))
    else:
        tx.write(_END_SESSION, number, ended_at, event.sid)
    tx.stir()
    return number
