"""The native format: one JSON object for an event, or an array of up to 1,000 of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from dispatcher.domain.errors import Fault, InvalidEvent
from dispatcher.domain.events import (
    IDENTIFIER_RULE,
    NO_METADATA,
    Audience,
    ClientId,
    Initiator,
    Intake,
    LogoutEvent,
    Participant,
    SessionJoined,
    Sid,
    Sub,
    is_identifier,
    is_initiator,
)
from dispatcher.domain.reading import Reader
from dispatcher.domain.sources import Source
from dispatcher.web.bodies import decode, is_storable, require_json
from dispatcher.web.formats.told import Told, Webhook

MOST_EVENTS = 1000
MOST_METADATA, LONGEST_METADATA = 25, 255

_INITIATOR_RULE = "a name such as session-revoked: a-z, then up to 63 of a-z, 0-9 and -"
_METADATA_RULE = f"a string of at most {LONGEST_METADATA} characters"


class EventType(StrEnum):
    """What a source may tell of."""

    ENDED = "session.ended"
    JOINED = "session.joined"


_SHARED = frozenset({"id", "type", "sub", "sid", "clients", "session_metadata", "occurred_at"})
_MEMBERS: Mapping[EventType, frozenset[str]] = {
    EventType.ENDED: _SHARED | {"initiator", "audience", "except_sids"},
    EventType.JOINED: _SHARED | {"expires_at"},
}
_CLIENT_MEMBERS = frozenset({"client_id", "sub"})


def read(webhook: Webhook) -> Told:
    """Read a webhook; raise UnknownFormat, or InvalidEvent with every fault of every item."""
    require_json(webhook.headers)
    document = decode(webhook.body, error=InvalidEvent)
    webhook_id = webhook.headers.get(b"webhook-id")
    intakes = parse(
        document,
        source=webhook.source,
        webhook_id=None if webhook_id is None else webhook_id.decode("latin-1"),
        received_at=webhook.received_at,
    )
    return Told(intakes, listed=isinstance(document, list))


@dataclass(frozen=True, slots=True)
class Delivered:
    """By whom, under which ``webhook-id`` and when an event was brought."""

    source: Source
    webhook_id: str | None
    at: datetime


def parse(
    document: object, *, source: Source, webhook_id: str | None, received_at: datetime
) -> tuple[Intake, ...]:
    """Read one event or an array of them; raise InvalidEvent with every fault of every item."""
    faults: list[Fault] = []
    if isinstance(document, list):
        if not 1 <= len(document) <= MOST_EVENTS:
            raise InvalidEvent([Fault("", f"an array must hold 1 to {MOST_EVENTS} events")])
        brought = Delivered(source, None, received_at)
        intakes = [
            read_intake(Reader(item, path=f"[{index}]", faults=faults), brought)
            for index, item in enumerate(document)
        ]
    else:
        brought = Delivered(source, webhook_id, received_at)
        intakes = [read_intake(Reader(document, faults=faults), brought)]
    if faults:
        raise InvalidEvent(faults)
    return tuple(intake for intake in intakes if intake is not None)


def read_intake(event: Reader, brought: Delivered) -> Intake | None:
    """Read one event or join; None where it is neither, the faults having been noted."""
    kind = event.choice("type", EventType, _TYPES) if "type" in event else EventType.ENDED
    if kind is None or not event.is_object:
        return None
    _refuse_others(event, kind)
    match kind:
        case EventType.ENDED:
            return _ended(event, brought)
        case EventType.JOINED:
            return _joined(event, brought)
        case _:
            assert_never(kind)


_TYPES = [*EventType]


def _refuse_others(event: Reader, kind: EventType) -> None:
    """Refuse members that are unknown, and those that belong to the other type only."""
    event.refuse_others(_ALL_MEMBERS)
    for name in sorted(event.document.keys() & _OF_OTHERS[kind]):
        event.fault(name, f"is not a member of a {kind.value}")


_ALL_MEMBERS = frozenset[str]().union(*_MEMBERS.values())
_OF_OTHERS = {kind: _ALL_MEMBERS - members for kind, members in _MEMBERS.items()}


def _ended(event: Reader, brought: Delivered) -> LogoutEvent:
    sub, sid = _sub(event), _sid(event)
    clients = _clients(event)
    audience = event.choice("audience", Audience, _AUDIENCES) if "audience" in event else None
    excepted = event.texts("except_sids", ok=is_identifier, rule=IDENTIFIER_RULE)
    _check_scope(event)
    if clients is not None and audience is Audience.SUBSCRIBERS:
        event.fault("audience", "contradicts clients: give one of them")
    return LogoutEvent(
        source=brought.source.name,
        id=_id(event, brought),
        initiator=Initiator(event.required("initiator", ok=is_initiator, rule=_INITIATOR_RULE)),
        sub=sub,
        sid=sid,
        clients=clients,
        audience=audience,
        default_audience=brought.source.audience,
        except_sids=tuple(Sid(one) for one in excepted or ()),
        session_metadata=_metadata(event),
        occurred_at=event.moment("occurred_at"),
        received_at=brought.at,
    )


_AUDIENCES = [*Audience]


_SCOPE = ("sid", "clients", "except_sids")


def _check_scope(event: Reader) -> None:
    # A source whose variable is unset must not end all of a user's sessions, or tell everybody.
    for name in _SCOPE:
        if event.document.get(name, ...) is None:
            event.fault(name, "is null: leave it out where it is not meant")
    if "sub" not in event and "sid" not in event:
        event.fault("sub", "is required, or sid: an event without both ends no session")
    if "except_sids" in event and "sid" in event:
        event.fault("except_sids", "goes with sub alone: an event with sid ends that session only")


def _joined(event: Reader, brought: Delivered) -> SessionJoined:
    clients = _clients(event)
    if not clients:
        event.fault("clients", "must name at least one application")
    for name in ("sid", "sub"):
        if name not in event:
            event.fault(name, "is required")
    return SessionJoined(
        source=brought.source.name,
        id=_id(event, brought),
        sid=_sid(event) or Sid(""),
        sub=_sub(event) or Sub(""),
        clients=clients or (),
        session_metadata=_metadata(event),
        occurred_at=event.moment("occurred_at"),
        expires_at=event.moment("expires_at"),
        received_at=brought.at,
    )


def _id(event: Reader, brought: Delivered) -> str:
    """Read the id; the ``webhook-id`` header stands in for one that the body does not give."""
    if "id" in event or brought.webhook_id is None:
        return event.required("id", ok=is_identifier, rule=IDENTIFIER_RULE)
    if not is_identifier(brought.webhook_id):
        event.fault("id", f"comes from the header webhook-id, which must be {IDENTIFIER_RULE}")
    return brought.webhook_id


def _sub(reader: Reader) -> Sub | None:
    text = reader.text("sub", ok=is_identifier, rule=IDENTIFIER_RULE)
    return None if text is None else Sub(text)


def _sid(reader: Reader) -> Sid | None:
    text = reader.text("sid", ok=is_identifier, rule=IDENTIFIER_RULE)
    return None if text is None else Sid(text)


def _clients(event: Reader) -> tuple[Participant, ...] | None:
    if "clients" not in event:
        return None
    clients = tuple(
        _participant(Reader(item, path=path, faults=event.faults))
        for path, item in event.items("clients")
    )
    event.unique("clients", [client.client_id for client in clients if client.client_id])
    return clients


def _participant(client: Reader) -> Participant:
    if not client.is_object:
        return Participant(ClientId(""))
    client.refuse_others(_CLIENT_MEMBERS)
    client_id = client.required("client_id", ok=is_identifier, rule=IDENTIFIER_RULE)
    return Participant(ClientId(client_id), _sub(client))


def _metadata(event: Reader) -> Mapping[str, str]:
    metadata = event.member("session_metadata")
    if metadata is None:
        return NO_METADATA
    if len(metadata.document) > MOST_METADATA:
        event.fault("session_metadata", f"must not hold more than {MOST_METADATA} members")
        return NO_METADATA
    read: dict[str, str] = {}
    for name, value in metadata.document.items():
        if isinstance(value, str) and is_metadata(name) and is_metadata(value):
            read[name] = value
        else:
            metadata.fault(name, f"its name and its value must each be {_METADATA_RULE}")
    return read


def is_metadata(text: str) -> bool:
    """Whether *text* may be a name or a value of a session's metadata."""
    return len(text) <= LONGEST_METADATA and is_storable(text)
