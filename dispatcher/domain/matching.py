"""Who is told of an event: the applications of the session that subscribe to its initiator.

Participants are the event's own ``clients``; else every application, where the event or its source
says ``subscribers``; else those that the session registry knows. The initiating application is told
like the others (RP-Initiated Logout 1.0 section 2).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from dispatcher.domain.applications import Application
from dispatcher.domain.deliveries import NewDelivery, Reason
from dispatcher.domain.events import ClientId, LogoutEvent, Participant, Sid, Sub, UnmatchedReason
from dispatcher.domain.sessions import Joined, Known
from dispatcher.domain.value_objects import value_object

Applications = Mapping[ClientId, Application]


@value_object(frozen=True, slots=True, kw_only=True)
class Matching:
    """The deliveries that an event owes, or the reason why it owes none."""

    deliveries: tuple[NewDelivery, ...] = ()
    unknown_clients: tuple[ClientId, ...] = ()
    reason: UnmatchedReason | None = None


@value_object(frozen=True, slots=True)
class Matched:
    """One event that has been matched, and what it owes."""

    event: LogoutEvent
    matching: Matching


Matcher = Callable[[LogoutEvent, Known, Applications], Matching | None]
"""Tells what an event owes; None where a fault of ours keeps it from telling."""


@value_object(frozen=True, slots=True)
class _Told:
    """Somebody to tell, and what the token would say: ``untold`` where it can not say it truly."""

    client_id: ClientId
    sub: Sub | None
    sid: Sid | None
    untold: Reason | None = None


def match(event: LogoutEvent, known: Known, applications: Applications) -> Matching:
    """Return what *event* owes, given what the registry knew of its scope."""
    participants = _participants(event, known, applications)
    told = [
        told
        for participant in participants
        if (application := applications.get(participant.client_id))
        and application.subscribes_to(event.initiator)
        for told in _scope(event, known, participant, application)
    ]
    deliveries = _deliveries(told, applications)
    unknown = sorted({p.client_id for p in participants} - applications.keys())
    return Matching(
        deliveries=deliveries,
        unknown_clients=tuple(unknown),
        reason=None if deliveries else _reason(event, participants, applications),
    )


def _reason(
    event: LogoutEvent, participants: list[Participant], applications: Applications
) -> UnmatchedReason:
    """Return why nobody is told: nobody that we know took part, or they do not subscribe."""
    took_part = (applications.get(participant.client_id) for participant in participants)
    if any(one is not None and not one.subscribes_to(event.initiator) for one in took_part):
        return UnmatchedReason.NO_SUBSCRIBER
    return UnmatchedReason.NO_PARTICIPANTS


def _participants(
    event: LogoutEvent, known: Known, applications: Applications
) -> list[Participant]:
    """Return who took part, each once; those who joined late come besides, however it was told."""
    if event.clients is not None:
        told = list(event.clients)
    elif event.reaches_subscribers:
        told = [Participant(client_id) for client_id in applications]
    else:
        ended = (joined for joined in known.joined if joined.sid not in event.except_sids)
        told = [Participant(joined.client_id) for joined in ended]
    late = (Participant(joined.client_id) for joined in known.late)
    return list({p.client_id: p for p in (*late, *reversed(told))}.values())


def _scope(
    event: LogoutEvent, known: Known, participant: Participant, application: Application
) -> Iterable[_Told]:
    """Return what one application is told: of one session, of each known one, or of the user."""
    client_id = participant.client_id
    joined = [j for j in (*known.joined, *known.late) if j.client_id == client_id]
    if event.sid is not None:
        return [_of_session(event, known, participant, joined, application)]
    if event.except_sids or application.wants_sid:
        return _of_each_session(event, participant, joined, application)
    if not _told_by_event(event, known, client_id):
        return _of_each_session(event, participant, joined, application)
    return [_Told(client_id, participant.sub or _sub_of(joined) or event.sub, None)]


def _told_by_event(event: LogoutEvent, known: Known, client_id: ClientId) -> bool:
    if event.clients is not None:
        return any(p.client_id == client_id for p in event.clients)
    return event.reaches_subscribers or any(j.client_id == client_id for j in known.joined)


def _of_session(
    event: LogoutEvent,
    known: Known,
    participant: Participant,
    joined: list[Joined],
    application: Application,
) -> _Told:
    sub = participant.sub or _sub_of(joined) or event.sub or known.sub
    untold = sub is None and application.wants_sub_alone
    return _Told(participant.client_id, sub, event.sid, Reason.SUB_REQUIRED if untold else None)


def _of_each_session(
    event: LogoutEvent, participant: Participant, joined: list[Joined], application: Application
) -> Iterator[_Told]:
    """Tell of every known session that is not excepted; where that can not be, say so.

    That is ``sid_required``: no session is known, or the application wants a token without ``sid``
    and is in an excepted session, which such a token would end too.
    """
    ended = [session for session in joined if session.sid not in event.except_sids]
    spared = len(ended) < len(joined)
    if not joined or (ended and spared and application.wants_sub_alone):
        yield _Told(participant.client_id, participant.sub or event.sub, None, Reason.SID_REQUIRED)
        return
    for session in ended:
        yield _Told(participant.client_id, participant.sub or session.sub, session.sid)


def _sub_of(joined: list[Joined]) -> Sub | None:
    return joined[0].sub if joined else None


def _deliveries(told: list[_Told], applications: Applications) -> tuple[NewDelivery, ...]:
    """Return one delivery for each URI of each application told, each once."""
    owed = {
        (one.client_id, uri, one.sid): NewDelivery(
            client_id=one.client_id, uri=uri, sub=one.sub, sid=one.sid, failed=one.untold
        )
        for one in told
        for uri in applications[one.client_id].urls
    }
    return tuple(owed.values())
