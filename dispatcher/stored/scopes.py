"""Matching: what the registry knows of an event's scope, and what is written of what it owes."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dispatcher.domain.deliveries import NewDelivery
from dispatcher.domain.events import NO_METADATA, EventState
from dispatcher.domain.matching import Applications, Matched, Matcher, Matching
from dispatcher.domain.sessions import Joined, Known
from dispatcher.stored.rows import event_of
from dispatcher.stored.values import moment, packed, unpacked


@dataclass(slots=True)
class Scope:
    """What the registry knows of one event, as it is gathered."""

    known: Known = field(default_factory=Known)
    joined: list[Joined] = field(default_factory=list)
    late: list[Joined] = field(default_factory=list)
    latecomers: set[str] = field(default_factory=set)
    """Who joined late and has not been matched yet."""


def gathered(
    sessions: Iterable[Sequence[Any]], joined: Iterable[Sequence[Any]]
) -> dict[int, Scope]:
    """Return what the registry knows of each event, by its number.

    *sessions* are rows of event, ``sub`` and metadata; *joined* of event, whether it was joined
    before, whether a late join was matched, client_id, ``sid``, ``sub`` and when it joined.
    """
    scopes: dict[int, Scope] = defaultdict(Scope)
    for event, sub, session_metadata in sessions:
        metadata = unpacked(session_metadata, NO_METADATA)
        scopes[event].known = Known(sub=sub, session_metadata=metadata)
    for event, in_time, late_matched, client_id, sid, sub, joined_at in joined:
        one = Joined(client_id, sid, sub, moment(joined_at))
        scope = scopes[event]
        (scope.joined if in_time else scope.late).append(one)
        if late_matched == 0:
            scope.latecomers.add(client_id)
    return scopes


def matched_of(
    row: Sequence[Any], scope: Scope, matcher: Matcher, applications: Applications
) -> Matched | None:
    """Match the event in *row*, which ends with its state; whom it told once stands.

    None where the matcher can not tell.
    """
    event = event_of(row)
    known = replace(scope.known, joined=tuple(scope.joined), late=tuple(scope.late))
    matching = matcher(event, known, applications)
    if matching is None:
        return None
    if row[-1] != EventState.ACCEPTED:
        matching = _of_latecomers(matching, scope)
    return Matched(event, matching)


def _of_latecomers(matching: Matching, scope: Scope) -> Matching:
    """Keep what is owed for a late join; whom the event told the first time stands.

    Else a URI or an application added since then would be told of a session that it never had.
    """
    owed = tuple(one for one in matching.deliveries if one.client_id in scope.latecomers)
    return replace(matching, deliveries=owed)


def row_of_owed(event: int, new: NewDelivery) -> list[object]:
    """Return what is owed of event number *event* as a row."""
    return [event, new.client_id, new.uri, new.sub, new.sid, new.failed]


def row_of_outcome(row: Sequence[Any], matching: Matching, owed: int) -> list[object]:
    """Return what is written of an event that was matched; what was matched once stays so."""
    number, was = row[0], EventState(row[-1])
    matched = bool(matching.deliveries) or was is EventState.MATCHED
    state = EventState.MATCHED if matched else EventState.UNMATCHED
    unknown = packed(matching.unknown_clients) if matching.unknown_clients else None
    return [number, state, None if matched else matching.reason, unknown, owed]
