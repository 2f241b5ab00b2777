"""Rows, in the shape in which a store hands them over, and the domain's things."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from dispatcher.domain.applications import (
    Application,
    LogoutDelivery,
    ManagedBy,
    Mode,
    Subject,
    TokenType,
)
from dispatcher.domain.deliveries import Delivery, DeliveryId, LeaseId
from dispatcher.domain.events import (
    NO_METADATA,
    Audience,
    ClientId,
    EventId,
    Initiator,
    LogoutEvent,
    Participant,
    SourceName,
)
from dispatcher.domain.sources import Issuer, Scope, Source, SourceFormat
from dispatcher.stored.values import (
    maybe_micros,
    maybe_moment,
    micros,
    moment,
    number_of,
    packed,
    packed_texts,
    unpacked,
)

_EVENT, _DELIVERY, _JOIN = "ev_", "dl_", "sj_"

EVENT_COLUMNS = (
    "number, source, id, initiator, sub, sid, clients, audience, default_audience, except_sids,"
    " session_metadata, occurred_at, received_at"
)
"""What ``event_of`` reads, in its order."""


def event_id(number: int) -> EventId:
    """Return the id under which event *number* is known."""
    return EventId(f"{_EVENT}{number}")


def join_id(number: int) -> EventId:
    """Return the id under which join *number* is known."""
    return EventId(f"{_JOIN}{number}")


def delivery_id(number: int) -> DeliveryId:
    """Return the id under which delivery *number* is known."""
    return DeliveryId(f"{_DELIVERY}{number}")


def event_number(known_as: EventId) -> int | None:
    """Return the number of the event *known_as*; None where that is no event's id."""
    return number_of(known_as, _EVENT)


def delivery_number(known_as: DeliveryId) -> int | None:
    """Return the number of the delivery *known_as*; None where that is no delivery's id."""
    return number_of(known_as, _DELIVERY)


def row_of_event(event: LogoutEvent) -> tuple[str | int | None, ...]:
    """Return *event* as ``EVENT_COLUMNS`` has it, the number aside."""
    clients = None
    if event.clients is not None:
        clients = packed([[client.client_id, client.sub] for client in event.clients])
    return (
        event.source,
        event.id,
        event.initiator,
        event.sub,
        event.sid,
        clients,
        event.audience,
        event.default_audience,
        packed(event.except_sids) if event.except_sids else None,
        packed_texts(event.session_metadata),
        maybe_micros(event.occurred_at),
        micros(event.received_at),
    )


def event_of(row: Sequence[Any]) -> LogoutEvent:
    """Return the event in a row of ``EVENT_COLUMNS``."""
    number, source, source_id, initiator, sub, sid, clients, audience, default_audience = row[:9]
    except_sids, session_metadata, occurred_at, received_at = row[9:13]
    return LogoutEvent(
        source=SourceName(source),
        id=source_id,
        initiator=Initiator(initiator),
        sub=sub,
        sid=sid,
        clients=None if clients is None else _participants(clients),
        audience=audience and Audience(audience),
        default_audience=Audience(default_audience),
        except_sids=tuple(unpacked(except_sids, ())),
        session_metadata=unpacked(session_metadata, NO_METADATA),
        occurred_at=maybe_moment(occurred_at),
        received_at=moment(received_at),
        event_id=event_id(number),
    )


def _participants(clients: str) -> tuple[Participant, ...]:
    return tuple(Participant(ClientId(name), sub) for name, sub in json.loads(clients))


CLAIMED_COLUMNS = (
    "number, event, client_id, uri, sub, sid, created_at, started_at, attempt_count, tries,"
    " refusals"
)
"""What ``delivery_of`` reads, in its order."""


def delivery_of(
    row: Sequence[Any], told: Sequence[Any], *, lease: LeaseId, until: datetime
) -> Delivery:
    """Return the delivery in a row of ``CLAIMED_COLUMNS``.

    *told* is what its token will tell besides: initiator, when all the user's sessions ended (where
    they did), and the session's metadata.
    """
    number, event, client_id, uri, sub, sid, created, started, attempt_count, tries, refusals = row
    initiator, ended_at, session_metadata = told
    created_at = moment(created)
    return Delivery(
        id=delivery_id(number),
        event_id=event_id(event),
        client_id=client_id,
        uri=uri,
        sub=sub,
        sid=sid,
        initiator=initiator,
        ended_at=maybe_moment(ended_at),
        session_metadata=unpacked(session_metadata, NO_METADATA),
        created_at=created_at,
        started_at=created_at if started == created else moment(started),
        attempt_count=attempt_count,
        tries=tries,
        refusals=refusals,
        lease=lease,
        lease_until=until,
    )


def record_of_application(application: Application) -> str:
    """Return what we act on of *application*, as JSON.

    It is stored as it was read, not read from the document again: rules that were tightened since
    must not keep a store from loading.
    """
    delivery = application.delivery
    return packed(
        {
            "name": application.name,
            "urls": application.urls,
            "mode": application.mode,
            "selected": sorted(application.selected),
            "include_session_metadata": application.include_session_metadata,
            "algorithm": application.algorithm,
            "session_required": application.session_required,
            "managed_by": application.managed_by,
            "secret_hash": application.secret_hash,
            "delivery": {name: getattr(delivery, name) for name in _PLAIN_DELIVERY}
            | {name: _seconds(getattr(delivery, name)) for name in ("timeout", "horizon")},
        }
    )


_PLAIN_DELIVERY = (
    "token_type",
    "subject",
    "max_in_flight",
    "allow_addresses",
    "ca_file",
    "client_certificate_file",
    "client_key_file",
    "ca_pem",
    "client_certificate_pem",
)


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()


def application_of(
    client_id: str, document: str, record: str, client_key_pem: str | None
) -> Application:
    """Return the application that ``record_of_application`` recorded."""
    known = json.loads(record)
    return Application(
        client_id=ClientId(client_id),
        name=known["name"],
        document=json.loads(document),
        urls=tuple(known["urls"]),
        mode=Mode(known["mode"]),
        selected=frozenset(map(Initiator, known["selected"])),
        include_session_metadata=known["include_session_metadata"],
        algorithm=known["algorithm"],
        session_required=known["session_required"],
        delivery=_delivery_terms(known["delivery"]),
        managed_by=ManagedBy(known["managed_by"]),
        client_key_pem=client_key_pem,
        secret_hash=known.get("secret_hash"),
    )


def _delivery_terms(known: dict[str, Any]) -> LogoutDelivery:
    return LogoutDelivery(
        timeout=_duration(known.pop("timeout")),
        horizon=_duration(known.pop("horizon")),
        token_type=TokenType(known.pop("token_type")),
        subject=Subject(known.pop("subject")),
        allow_addresses=tuple(known.pop("allow_addresses")),
        **known,
    )


def _duration(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def record_of_source(source: Source) -> str:
    """Return *source* as JSON, its secrets aside."""
    initiators = None if source.initiators is None else sorted(source.initiators)
    return packed(
        {
            "format": source.format,
            "audience": source.audience,
            "initiators": initiators,
            "managed_by": source.managed_by,
            "issuer": source.issuer and asdict(source.issuer),
        }
    )


_PROOFS = ("secrets", "bearer_tokens", "headers", "hmac_secrets")


def secrets_of_source(source: Source) -> str:
    """Return the secrets of *source* as JSON, to be sealed."""
    return packed({name: getattr(source, name) for name in _PROOFS})


def source_of(name: str, record: str, secrets: str) -> Source:
    """Return the source that was recorded, with its secrets.

    A record of an earlier release lacks what a source could not have then.
    """
    known, proofs = json.loads(record), json.loads(secrets)
    initiators, issuer = known["initiators"], known.get("issuer")
    return Source(
        name=SourceName(name),
        format=SourceFormat(known["format"]),
        issuer=None if issuer is None else Issuer(**issuer),
        audience=Audience(known["audience"]),
        initiators=None if initiators is None else frozenset(initiators),
        managed_by=ManagedBy(known["managed_by"]),
        **{kind: tuple(proofs.get(kind, ())) for kind in _PROOFS},
    )


def row_of_scopes(scopes: frozenset[Scope]) -> str:
    """Return *scopes* as they are stored."""
    return " ".join(sorted(scopes))


def scopes_of(text: str) -> frozenset[Scope]:
    """Return the scopes that ``row_of_scopes`` stored."""
    return frozenset(map(Scope, text.split()))
