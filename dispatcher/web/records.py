"""Events, deliveries, attempts and sessions as the API shows them."""

from datetime import timedelta

from dispatcher.domain.events import LogoutEvent, Participant
from dispatcher.domain.ledger import AttemptRecord, DeliveryRecord, EventRecord, LaneRecord
from dispatcher.domain.sessions import Joined, Session
from dispatcher.web.answers import moment, moment_or_none

_MILLISECOND = timedelta(milliseconds=1)


def event(record: EventRecord) -> dict[str, object]:
    """Show an event: the members that were posted, and what became of it."""
    return _posted(record.event) | {
        "event_id": record.event.event_id,
        "source": record.event.source,
        "state": record.state.value,
        "reason": record.reason and record.reason.value,
        "received_at": moment(record.event.received_at),
        "unknown_clients": list(record.unknown_clients),
        "deliveries": [_delivery(one) for one in record.deliveries],
    }


def delivery(record: DeliveryRecord) -> dict[str, object]:
    """Show a delivery with its attempts."""
    return _delivery(record) | {"attempts": [_attempt(one) for one in record.attempts]}


def lane(record: LaneRecord) -> dict[str, object]:
    """Show a lane."""
    return {
        "client_id": record.client_id,
        "state": record.state.value,
        "pending": record.pending,
        "in_flight": record.in_flight,
        "oldest_pending_at": moment_or_none(record.oldest_pending_at),
        "next_probe_at": moment_or_none(record.next_probe_at),
    }


def session(record: Session) -> dict[str, object]:
    """Show a session."""
    return {
        "sid": record.sid,
        "sub": record.sub,
        "clients": [_joined(one) for one in record.clients],
        "session_metadata": dict(record.session_metadata),
        "created_at": moment(record.created_at),
        "expires_at": moment_or_none(record.expires_at),
        "ended_at": moment_or_none(record.ended_at),
        "ended_by": record.ended_by,
    }


def _posted(told: LogoutEvent) -> dict[str, object]:
    posted: dict[str, object] = {
        "id": told.id,
        "type": "session.ended",
        "initiator": told.initiator,
        "sub": told.sub,
        "sid": told.sid,
        "clients": None if told.clients is None else [_participant(one) for one in told.clients],
        "audience": told.audience and told.audience.value,
        "except_sids": list(told.except_sids) or None,
        "session_metadata": dict(told.session_metadata) or None,
        "occurred_at": moment_or_none(told.occurred_at),
    }
    return {name: value for name, value in posted.items() if value is not None}


def _participant(client: Participant) -> dict[str, object]:
    shown: dict[str, object] = {"client_id": client.client_id}
    return shown if client.sub is None else {**shown, "sub": client.sub}


def _delivery(record: DeliveryRecord) -> dict[str, object]:
    return {
        "id": record.id,
        "event_id": record.event_id,
        "client_id": record.client_id,
        "uri": record.uri,
        "sid": record.sid,
        "initiator": record.initiator,
        "state": record.state.value,
        "reason": record.reason and record.reason.value,
        "attempt_count": record.attempt_count,
        "next_attempt_at": moment_or_none(record.due_at),
        "created_at": moment(record.created_at),
        "settled_at": moment_or_none(record.settled_at),
    }


def _attempt(record: AttemptRecord) -> dict[str, object]:
    return {
        "number": record.number,
        "started_at": moment(record.started_at),
        "duration_ms": round(record.duration / _MILLISECOND, 3),
        "outcome": record.outcome.value,
        "status": record.status,
        "error": record.error,
        "jti": record.jti,
        "kid": record.kid,
    }


def _joined(record: Joined) -> dict[str, object]:
    return {
        "client_id": record.client_id,
        "sub": record.sub,
        "joined_at": moment(record.joined_at),
    }
