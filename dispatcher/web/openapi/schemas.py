"""What is sent and answered: the schemas of the document."""

from collections.abc import Iterable, Mapping

from dispatcher.domain.applications import ManagedBy, Mode, Subject, TokenType
from dispatcher.domain.deliveries import DeliveryState, OutcomeKind, Reason
from dispatcher.domain.events import Audience, EventState, UnmatchedReason
from dispatcher.domain.lanes import LaneState
from dispatcher.domain.sources import SECRET_MEMBERS, PassedOver, SourceFormat
from dispatcher.web.openapi.shapes import (
    ANYTHING,
    COUNT,
    FLAG,
    IDENTIFIER,
    INITIATOR,
    METADATA,
    MOMENT,
    TEXT,
    Schema,
    array,
    one_of,
    or_null,
    page,
    partial,
    record,
    ref,
)

_INITIATORS: Schema = {
    "type": "object",
    "description": "In mode custom the list holds rp-logout and idp-logout; all has no list.",
    "properties": {"mode": one_of(Mode), "selected_initiators": array(TEXT, uniqueItems=True)},
}
_OIDC_LOGOUT: Schema = {
    "type": "object",
    "description": "Without initiators: rp-logout and idp-logout. Without a URI: switched off.",
    "properties": {
        "backchannel_logout_urls": or_null(
            array({"type": "string", "format": "uri"}, uniqueItems=True)
        ),
        "backchannel_logout_initiators": or_null(_INITIATORS),
        "backchannel_logout_session_metadata": or_null(
            {"type": "object", "properties": {"include": or_null(FLAG)}}
        ),
    },
}
_DELIVERY: Mapping[str, Schema] = {
    "token_type": or_null(one_of(TokenType)),
    "subject": or_null(one_of(Subject)),
    "timeout": or_null({"type": "integer", "minimum": 1, "maximum": 10}),
    "max_in_flight": or_null({"type": "integer", "minimum": 1, "maximum": 256}),
    "horizon": or_null({"type": "string", "pattern": "^[0-9]{1,7}[smhd]$"}),
    "ca_pem": or_null(TEXT),
    "client_certificate_pem": or_null(TEXT),
}
_FROM_THE_FILE: Mapping[str, Schema] = {
    "allow_addresses": array(TEXT),
    "ca_file": TEXT,
    "client_certificate_file": TEXT,
    "client_key_file": TEXT,
}
_LOGOUT: Mapping[str, Schema] = {
    "oidc_logout": ref("OidcLogout"),
    "oidc_backchannel_logout": ref("OidcLogout"),
}
_ALGORITHM: Mapping[str, Schema] = {
    "backchannel_logout_session_required": FLAG,
    "jwt_configuration": {"type": "object", "properties": {"alg": or_null(TEXT)}},
    "id_token_signed_response_alg": TEXT,
}
_NAMED: Mapping[str, Schema] = {
    "client_id": IDENTIFIER,
    "name": {"type": "string", "minLength": 1, "pattern": "^[^<>]+$"},
}


def _client(required: Iterable[str], members: Mapping[str, Schema]) -> Schema:
    """Return a client object: any other root member of Auth0's is kept and shown as it is."""
    return {"type": "object", "properties": members, "required": [*required]}


def _written(required: Iterable[str]) -> Schema:
    """Return a client object as it is written, where null is as good as nothing."""
    others: Mapping[str, Schema] = {
        **_LOGOUT,
        **_ALGORITHM,
        "client_secret": IDENTIFIER,
        "logout_delivery": partial(**_DELIVERY, client_key_pem=or_null(TEXT)),
    }
    return _client(required, {**_NAMED, **{name: or_null(one) for name, one in others.items()}})


_SHOWN: Mapping[str, Schema] = {
    **_NAMED,
    **_LOGOUT,
    **_ALGORITHM,
    "logout_delivery": partial(**_DELIVERY, **_FROM_THE_FILE),
    "managed_by": one_of(ManagedBy),
}
_PARTICIPANT = record(["sub"], client_id=IDENTIFIER, sub=IDENTIFIER)
_SCOPE: Mapping[str, Schema] = {"id": IDENTIFIER, "sub": IDENTIFIER, "sid": IDENTIFIER}
_ABOUT: Mapping[str, Schema] = {"session_metadata": METADATA, "occurred_at": MOMENT}
_ENDED: Mapping[str, Schema] = {
    **_SCOPE,
    "type": {"const": "session.ended"},
    "initiator": INITIATOR,
    "clients": array(_PARTICIPANT),
    "audience": one_of(Audience),
    "except_sids": array(IDENTIFIER),
    **_ABOUT,
}
_JOINED: Mapping[str, Schema] = {
    **_SCOPE,
    "type": {"const": "session.joined"},
    "clients": array(_PARTICIPANT, minItems=1),
    "expires_at": MOMENT,
    **_ABOUT,
}
_SOMETHING: Schema = {"type": "string", "minLength": 1}
_CLOUD_EVENT: Schema = {
    "type": "object",
    "description": "Its type ends in session.ended or session.joined; data are the other members.",
    "properties": {
        "specversion": {"const": "1.0"},
        **dict.fromkeys(("id", "source", "type"), _SOMETHING),
        "time": MOMENT,
        "datacontenttype": TEXT,
        "data": ANYTHING,
        "data_base64": TEXT,
    },
    "required": ["specversion", "id", "source", "type"],
}
_ATTEMPT = record(
    number={"type": "integer", "minimum": 1},
    started_at=MOMENT,
    duration_ms={"type": "number", "minimum": 0},
    outcome=one_of(OutcomeKind),
    status=or_null({"type": "integer"}),
    error=or_null(TEXT),
    jti=or_null(TEXT),
    kid=or_null(TEXT),
)
_OF_DELIVERY: Mapping[str, Schema] = {
    "id": IDENTIFIER,
    "event_id": IDENTIFIER,
    "client_id": IDENTIFIER,
    "uri": TEXT,
    "sid": or_null(IDENTIFIER),
    "initiator": INITIATOR,
    "state": one_of(DeliveryState),
    "reason": or_null(one_of(Reason)),
    "attempt_count": COUNT,
    "next_attempt_at": or_null(MOMENT),
    "created_at": MOMENT,
    "settled_at": or_null(MOMENT),
}
_EVENT = record(
    ["sub", "sid", "clients", "audience", "except_sids", "session_metadata", "occurred_at"],
    **_ENDED,
    event_id=IDENTIFIER,
    source=TEXT,
    state=one_of(EventState),
    reason=or_null(one_of(UnmatchedReason)),
    received_at=MOMENT,
    unknown_clients=array(IDENTIFIER),
    deliveries=array(record(**_OF_DELIVERY)),
)
_SESSION = record(
    sid=IDENTIFIER,
    sub=IDENTIFIER,
    clients=array(record(client_id=IDENTIFIER, sub=IDENTIFIER, joined_at=MOMENT)),
    session_metadata=METADATA,
    created_at=MOMENT,
    expires_at=or_null(MOMENT),
    ended_at=or_null(MOMENT),
    ended_by=or_null(IDENTIFIER),
)
_LANE = record(
    client_id=IDENTIFIER,
    state=one_of(LaneState),
    pending=COUNT,
    in_flight=COUNT,
    oldest_pending_at=or_null(MOMENT),
    next_probe_at=or_null(MOMENT),
)
_SOURCE: Mapping[str, Schema] = {
    "name": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"},
    "format": one_of(SourceFormat),
    "audience": one_of(Audience),
    "initiators": array(INITIATOR),
}
_ISSUER: Mapping[str, Schema] = {"issuer": TEXT, "expected_aud": TEXT}
_PROOFS: Mapping[str, Schema] = {
    **dict.fromkeys(SECRET_MEMBERS, TEXT),
    **{f"{name}s": array(TEXT) for name in SECRET_MEMBERS},
}
_SOURCE_WRITTEN = {
    name: or_null(schema) for name, schema in {**_SOURCE, **_ISSUER, **_PROOFS}.items()
}
_SOURCE_SHOWN: Mapping[str, Schema] = {
    **_SOURCE,
    **_ISSUER,
    "jwks_uri": TEXT,
    "proofs": {
        "description": "How many secrets of each kind it has; none is ever shown.",
        **partial(**dict.fromkeys(SECRET_MEMBERS, COUNT)),
    },
    "managed_by": one_of(ManagedBy),
}
_OPTIONAL = ("initiators", *_ISSUER, "jwks_uri")
_FAULTS = array(record(field=TEXT, message=TEXT))

SCHEMAS: Mapping[str, Schema] = {
    "OidcLogout": _OIDC_LOGOUT,
    "NewClient": _written(["name"]),
    "ClientPatch": _written([]),
    "Client": _client(["client_id", "name", "managed_by"], _SHOWN),
    "ClientWithSecret": _client(
        ["client_id", "name", "managed_by", "client_secret"], {**_SHOWN, "client_secret": TEXT}
    ),
    "SomeMembersOfClient": _client([], _SHOWN),
    "SessionEnded": record(
        [name for name in _ENDED if name != "initiator"],
        **_ENDED,
    ),
    "SessionJoined": record(
        ["id", "session_metadata", "occurred_at", "expires_at"],
        **_JOINED,
    ),
    "Accepted": record(
        ["href", "warnings"],
        id=IDENTIFIER,
        event_id=IDENTIFIER,
        status={"enum": ["accepted", "recorded"]},
        href=TEXT,
        warnings=array({"const": "unknown_initiator"}),
    ),
    "PassedOver": record(status={"const": "passed_over"}, reason=one_of(PassedOver)),
    "CloudEvent": _CLOUD_EVENT,
    "TokenRefused": record(err=TEXT, description=TEXT),
    "FirstOutcomes": record(
        id=IDENTIFIER,
        event_id=IDENTIFIER,
        state=one_of(EventState),
        deliveries=array(record(client_id=IDENTIFIER, state=one_of(DeliveryState))),
    ),
    "Event": _EVENT,
    "Events": page("events", ref("Event")),
    "Delivery": record(**_OF_DELIVERY, attempts=array(_ATTEMPT, maxItems=25)),
    "Deliveries": page("deliveries", ref("Delivery")),
    "DeliveryFilter": {
        **partial(
            client_id=IDENTIFIER,
            event_id=IDENTIFIER,
            state={"enum": [DeliveryState.FAILED, DeliveryState.CANCELLED]},
            since=MOMENT,
            until=MOMENT,
        ),
        "minProperties": 1,
    },
    "Retried": record(["refused"], retried=COUNT, refused=COUNT),
    "Session": _SESSION,
    "Sessions": page("sessions", ref("Session")),
    "NewSource": record(
        [name for name in _SOURCE_WRITTEN if name != "name"],
        **{**_SOURCE_WRITTEN, "name": _SOURCE["name"]},
    ),
    "SourcePatch": partial(**{**_SOURCE_WRITTEN, "name": _SOURCE["name"]}),
    "Source": record(_OPTIONAL, **_SOURCE_SHOWN),
    "SourceWithSecret": record([*_OPTIONAL, "secret"], **_SOURCE_SHOWN, secret=TEXT),
    "Sources": page("sources", ref("Source")),
    "Lane": _LANE,
    "Lanes": page("lanes", ref("Lane")),
    "Granted": record(
        access_token=TEXT, token_type={"const": "Bearer"}, expires_in=COUNT, scope=TEXT
    ),
    "OAuthError": record(error=TEXT, error_description=TEXT),
    "Auth0Error": record(
        ["errors"],
        statusCode={"type": "integer"},
        error=TEXT,
        message=TEXT,
        errorCode=TEXT,
        errors=_FAULTS,
    ),
    "Problem": record(
        ["errors"],
        type=TEXT,
        title=TEXT,
        status={"type": "integer"},
        detail=TEXT,
        code=TEXT,
        errors=_FAULTS,
    ),
    "Health": record(
        status={"enum": ["ok", "failing"]},
        checks={"type": "object", "additionalProperties": TEXT},
    ),
    "JwkSet": {
        "type": "object",
        "properties": {"keys": array({"type": "object", "required": ["kty", "kid"]})},
        "required": ["keys"],
    },
    "Discovery": {
        "type": "object",
        "required": ["issuer", "jwks_uri", "backchannel_logout_supported"],
    },
}
