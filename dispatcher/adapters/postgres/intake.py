"""Taking in what sources send: events to be matched, and joins for the session registry.

What waits at one moment shares one transaction, and a handful of statements whatever its size. A
batch is taken in as a whole or not at all; one that contradicts what is known spoils no other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dispatcher.adapters.postgres.joins import Join, join_all, known_subs
from dispatcher.adapters.postgres.scopes import lock_scopes, scopes_of
from dispatcher.adapters.postgres.transactions import Transaction, columns
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

Batch = Sequence[Intake]
Taken = list[Receipt] | Conflict
"""What became of a batch."""
_Key = tuple[str, str]
_Numbers = tuple[int | None, int | None]
"""The number of an event, or of a join."""

_KNOWN = """
SELECT source, id, fingerprint, event, joined FROM intake
WHERE (source, id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
"""
_NUMBERS = """
SELECT nextval('event_number') FROM generate_series(1, $1)
"""
_JOIN_NUMBERS = "SELECT nextval('join_number') FROM generate_series(1, $1)"
_REMEMBER = """
INSERT INTO intake (source, id, fingerprint, event, joined, received_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])
ON CONFLICT (source, id) DO NOTHING
"""
_ACCEPT = f"""
INSERT INTO event ({EVENT_COLUMNS}, state)
SELECT *, '{EventState.ACCEPTED}' FROM unnest(
    $1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
    $8::text[], $9::text[], $10::text[], $11::text[], $12::bigint[], $13::bigint[])
"""  # noqa: S608 - a constant list of columns
_LOCK_SESSIONS = """
SELECT 1 FROM session WHERE sid = ANY($1::text[]) OR sub = ANY($2::text[]) ORDER BY sid FOR UPDATE
"""
_END_SESSIONS = """
WITH ended AS (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[])
        AS ended (number, ended_at, sid, sub, except_sids)),
hit AS (
    SELECT session.sid, number, ended.ended_at FROM ended JOIN session ON session.sid = ended.sid
    UNION ALL
    SELECT session.sid, number, ended.ended_at FROM ended JOIN session ON session.sub = ended.sub
    WHERE ended.sid IS NULL AND session.sid NOT IN (
        SELECT json_array_elements_text(ended.except_sids::json))),
earliest AS (SELECT DISTINCT ON (sid) sid, number, ended_at FROM hit ORDER BY sid, number),
latest AS (SELECT sid, max(ended_at) AS ended_at FROM hit GROUP BY sid)
UPDATE session SET
    ended_by = CASE WHEN session.ended_at IS NULL THEN earliest.number ELSE session.ended_by END,
    ended_at = coalesce(session.ended_at, earliest.ended_at),
    kept_from = greatest(session.kept_from, latest.ended_at)
FROM earliest JOIN latest USING (sid) WHERE session.sid = earliest.sid
"""


class Overtaken(Exception):
    """Another replica took in the same id at the same moment: look again."""


@dataclass(frozen=True, slots=True)
class _Known:
    """An intake that is known by its id: what it said, and its number."""

    fingerprint: str
    numbers: _Numbers


async def accept_all(tx: Transaction, batches: Sequence[Batch]) -> list[Taken]:
    """Store each of *batches*, or say what it contradicts.

    Raises Overtaken, having written what must be rolled back, where it must be done once more.
    """
    intakes = [intake for batch in batches for intake in batch]
    lock_scopes(tx, intakes)
    ledger = _Ledger(await _known(tx, intakes), await known_subs(tx, intakes))
    taken = [ledger.take(batch) for batch in batches]
    await _number(tx, ledger)
    await _remember(tx, ledger)
    for wave in _waves(ledger.new):
        await _write(tx, wave)
    return [one if isinstance(one, Conflict) else ledger.receipts(one) for one in taken]


async def _known(tx: Transaction, intakes: Batch) -> dict[_Key, _Known]:
    keys = {(intake.source, intake.id) for intake in intakes}
    rows = await tx.rows(_KNOWN, [source for source, _ in keys], [name for _, name in keys])
    return {(source, name): _Known(said, (event, join)) for source, name, said, event, join in rows}


@dataclass(slots=True)
class _New:
    """An intake that is taken in, its number, and that of the latest event before it."""

    intake: Intake
    fingerprint: str
    number: int = 0
    after_event: int = 0

    @property
    def numbers(self) -> _Numbers:
        """The number of the event, or of the join."""
        is_event = isinstance(self.intake, LogoutEvent)
        return (self.number, None) if is_event else (None, self.number)


class _Ledger:
    """What is known, and what comes to be known, batch after batch."""

    def __init__(self, known: dict[_Key, _Known], subs: dict[str, str]) -> None:
        self._known = known
        self._subs = subs
        self._taken: dict[_Key, _New] = {}
        self._told: set[_Key] = set()

    @property
    def new(self) -> list[_New]:
        """What is to be written, in its order."""
        return list(self._taken.values())

    def take(self, batch: Batch) -> Batch | Conflict:
        """Take *batch* in; return the first contradiction, and nothing of it is taken in."""
        taken, subs = dict(self._taken), dict(self._subs)
        for index, intake in enumerate(batch):
            try:
                self._take(intake)
            except Conflict as conflict:
                self._taken, self._subs = taken, subs
                return Conflict(f"[{index}]: {conflict.message}")
        return batch

    def _take(self, intake: Intake) -> None:
        key, said = (intake.source, intake.id), fingerprint(intake)
        known = self._known.get(key) or self._taken.get(key)
        if known is not None:
            if known.fingerprint != said:
                raise Conflict(f"The id {intake.id} was used before, with other content.")
            return
        if isinstance(intake, SessionJoined) and (
            self._subs.setdefault(intake.sid, intake.sub) != intake.sub
        ):
            raise Conflict("The session is known with another sub.")
        self._taken[key] = _New(intake, said)

    def receipts(self, batch: Batch) -> list[Receipt]:
        """Return the receipts of a batch that was taken in, asked for in the order of taking."""
        receipts: list[Receipt] = []
        for intake in batch:
            key = intake.source, intake.id
            known = self._known.get(key) or self._taken[key]
            repeated = key in self._known or key in self._told
            self._told.add(key)
            event, joined = known.numbers
            known_as = join_id(joined or 0) if event is None else event_id(event)
            receipts.append(Receipt(id=intake.id, event_id=known_as, repeated=repeated))
        return receipts


async def _number(tx: Transaction, ledger: _Ledger) -> None:
    """Give what is new its numbers; a join remembers the latest event, of any scope, before it."""
    new = ledger.new
    joins = [one for one in new if isinstance(one.intake, SessionJoined)]
    events = len(new) - len(joins)
    # One more than there are events, so that the first join has something to be after.
    numbers = iter(await tx.rows(_NUMBERS, events + bool(joins)))
    joined = iter(await tx.rows(_JOIN_NUMBERS, len(joins)) if joins else ())
    latest = next(numbers)[0] if joins else 0
    for one in new:
        one.after_event = latest
        if isinstance(one.intake, LogoutEvent):
            latest = one.number = next(numbers)[0]
        else:
            one.number = next(joined)[0]


async def _remember(tx: Transaction, ledger: _Ledger) -> None:
    """Remember the ids; in order, so that replicas wait for each other in no circle."""
    new = sorted(ledger.new, key=lambda one: (one.intake.source, one.intake.id))
    if not new:
        return
    rows = [
        (one.intake.source, one.intake.id, one.fingerprint, *one.numbers, _received_at(one))
        for one in new
    ]
    if await tx.count(_REMEMBER, *columns(rows)) < len(new):
        raise Overtaken


def _received_at(one: _New) -> int:
    return micros(one.intake.received_at)


def _waves(new: Sequence[_New]) -> list[list[_New]]:
    """Divide what is new, so that in no wave a join meets anything else of its scopes."""
    waves: list[list[_New]] = []
    events: dict[str, int] = {}
    joins: dict[str, int] = {}
    for one in new:
        is_event = isinstance(one.intake, LogoutEvent)
        scopes = scopes_of(one.intake)
        after = [joins.get(scope, -1) + 1 for scope in scopes]
        after += [events.get(scope, -1) + (not is_event) for scope in scopes]
        wave = max(0, *after)
        (events if is_event else joins).update(dict.fromkeys(scopes, wave))
        waves += [[] for _ in range(wave + 1 - len(waves))]
        waves[wave].append(one)
    return waves


async def _write(tx: Transaction, wave: Sequence[_New]) -> None:
    """Write what meets nothing else of its scopes: joins, then events."""
    joins = [
        Join(one.intake, one.after_event) for one in wave if isinstance(one.intake, SessionJoined)
    ]
    events = [(one.number, one.intake) for one in wave if isinstance(one.intake, LogoutEvent)]
    if joins:
        await join_all(tx, joins)
    if events:
        await _accept_events(tx, events)


async def _accept_events(tx: Transaction, events: Sequence[tuple[int, LogoutEvent]]) -> None:
    """Store *events* to be matched, and note that their sessions are over."""
    tx.write(_ACCEPT, *columns([(number, *row_of_event(event)) for number, event in events]))
    sids = [event.sid for _, event in events if not event.user_wide]
    subs = [event.sub for _, event in events if event.user_wide]
    if await tx.rows(_LOCK_SESSIONS, sids, subs):
        rows = [
            (
                number,
                micros(event.ended_at),
                None if event.user_wide else event.sid,
                event.sub if event.user_wide else None,
                packed(event.except_sids),
            )
            for number, event in events
        ]
        tx.write(_END_SESSIONS, *columns(rows))
    tx.stir()
