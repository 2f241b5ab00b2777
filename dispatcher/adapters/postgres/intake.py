"""Taking in what sources send: events to be matched, and joins for the session registry.

What waits at one moment shares one transaction, and a handful of statements whatever its size. A
batch is taken in as a whole or not at all; one that contradicts what is known spoils no other.
"""

from collections.abc import Sequence

from dispatcher.adapters.postgres.joins import Join, join_all, known_subs
from dispatcher.adapters.postgres.scopes import lock_scopes, scopes_of
from dispatcher.adapters.postgres.transactions import Transaction, columns
from dispatcher.domain.errors import Conflict
from dispatcher.domain.events import EventState, LogoutEvent, SessionJoined
from dispatcher.stored.intake import Batch, Key, New, Remembered, Taken, TakingIn
from dispatcher.stored.rows import EVENT_COLUMNS, row_of_event
from dispatcher.stored.values import micros, packed

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


async def accept_all(tx: Transaction, batches: Sequence[Batch]) -> list[Taken]:
    """Store each of *batches*, or say what it contradicts.

    Raises Overtaken, having written what must be rolled back, where it must be done once more.
    """
    intakes = [intake for batch in batches for intake in batch]
    lock_scopes(tx, intakes)
    taking = TakingIn(await _known(tx, intakes), await known_subs(tx, intakes))
    taken = [taking.take(batch) for batch in batches]
    await _number(tx, taking)
    await _remember(tx, taking)
    for wave in _waves(taking.new):
        await _write(tx, wave)
    return [one if isinstance(one, Conflict) else taking.receipts(one) for one in taken]


async def _known(tx: Transaction, intakes: Batch) -> dict[Key, Remembered]:
    keys = {(intake.source, intake.id) for intake in intakes}
    rows = await tx.rows(_KNOWN, [source for source, _ in keys], [name for _, name in keys])
    return {
        (source, name): Remembered(said, (event, join)) for source, name, said, event, join in rows
    }


async def _number(tx: Transaction, taking: TakingIn) -> None:
    """Give what is new its numbers; a join remembers the latest event, of any scope, before it."""
    new = taking.new
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


async def _remember(tx: Transaction, taking: TakingIn) -> None:
    """Remember the ids; in order, so that replicas wait for each other in no circle."""
    new = sorted(taking.new, key=lambda one: (one.intake.source, one.intake.id))
    if not new:
        return
    if await tx.count(_REMEMBER, *columns([one.row for one in new])) < len(new):
        raise Overtaken


def _waves(new: Sequence[New]) -> list[list[New]]:
    """Divide what is new, so that in no wave a join meets anything else of its scopes."""
    waves: list[list[New]] = []
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


async def _write(tx: Transaction, wave: Sequence[New]) -> None:
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
