"""The paths of the management API."""

from collections.abc import Mapping

from dispatcher.domain.deliveries import DeliveryState
from dispatcher.domain.events import EventState
from dispatcher.domain.ledger import MOST_PER_PAGE
from dispatcher.domain.sources import Scope
from dispatcher.web.openapi.operations import (
    Operation,
    answer,
    api,
    body,
    cursor,
    in_path,
    in_query,
    members,
)
from dispatcher.web.openapi.shapes import (
    COUNT,
    FLAG,
    IDENTIFIER,
    INITIATOR,
    MOMENT,
    array,
    one_of,
    record,
    ref,
)
from dispatcher.web.openapi.sources import SOURCES

_CLIENT = in_path("client_id")
_DELIVERY = in_path("delivery_id")
_SOME = array(ref("SomeMembersOfClient"))
_PAGES_OF_CLIENTS = {
    "oneOf": [
        _SOME,
        record(total=COUNT, start=COUNT, limit=COUNT, clients=_SOME),
        record(clients=_SOME, next={"type": ["string", "null"]}),
    ]
}
_SPAN = [in_query("since", MOMENT), in_query("until", MOMENT)]

_CLIENTS: Mapping[str, Mapping[str, Operation]] = {
    "/api/v2/clients": {
        "get": api(
            "List applications, as Auth0's clients",
            Scope.READ_CLIENTS,
            tag="clients",
            answers={200: answer("A bare array; with include_totals or from/take, an object.",
                                 _PAGES_OF_CLIENTS)},
            refusals=[400],
            parameters=[
                in_query("page", COUNT),
                in_query("per_page", {**COUNT, "maximum": MOST_PER_PAGE}),
                in_query("include_totals", FLAG),
                *cursor(),
                *members(),
                in_query("is_global", FLAG),
                in_query("is_first_party", FLAG),
                in_query("app_type"),
            ],
        ),
        "post": api(
            "Create an application",
            Scope.CREATE_CLIENTS,
            tag="clients",
            answers={201: answer("The client, with its secret.", ref("ClientWithSecret"))},
            refusals=[409],
            request=body(ref("NewClient")),
        ),
    },
    "/api/v2/clients/{client_id}": {
        "get": api(
            "Show an application",
            Scope.READ_CLIENTS,
            tag="clients",
            answers={200: answer("The client.", ref("SomeMembersOfClient"))},
            refusals=[400, 404],
            parameters=[_CLIENT, *members()],
        ),
        "patch": api(
            "Replace each root member that is given; null removes it",
            Scope.UPDATE_CLIENTS,
            tag="clients",
            answers={200: answer("The client.", ref("Client"))},
            refusals=[404, 409],
            parameters=[_CLIENT],
            request=body(ref("ClientPatch")),
        ),
        "delete": api(
            "Delete an application",
            Scope.DELETE_CLIENTS,
            tag="clients",
            answers={204: answer("It is not there (any more).")},
            refusals=[404, 409],
            parameters=[_CLIENT],
        ),
    },
    "/api/v2/clients/{client_id}/rotate-secret": {
        "post": api(
            "Make another client_secret",
            Scope.UPDATE_CLIENTS,
            tag="clients",
            answers={200: answer("The client, with its secret.", ref("ClientWithSecret"))},
            refusals=[404, 409],
            parameters=[_CLIENT],
        )
    },
}  # fmt: skip

_RECORDS: Mapping[str, Mapping[str, Operation]] = {
    "/api/v2/sessions/{sid}": {
        "get": api(
            "Show a session",
            Scope.READ_SESSIONS,
            tag="sessions",
            answers={200: answer("The session.", ref("Session"))},
            refusals=[404],
            parameters=[in_path("sid")],
        )
    },
    "/api/v2/users/{sub}/sessions": {
        "get": api(
            "List a user's sessions, newest first",
            Scope.READ_SESSIONS,
            tag="sessions",
            answers={200: answer("A page of sessions.", ref("Sessions"))},
            refusals=[400, 404],
            parameters=[in_path("sub"), *cursor()],
        )
    },
    "/api/v2/events": {
        "get": api(
            "List events, newest first",
            Scope.READ_EVENTS,
            tag="events",
            answers={200: answer("A page of events.", ref("Events"))},
            refusals=[400],
            parameters=[
                *cursor(),
                in_query("initiator", INITIATOR),
                in_query("sub", IDENTIFIER),
                in_query("sid", IDENTIFIER),
                in_query("state", one_of(EventState)),
                *_SPAN,
            ],
        )
    },
    "/api/v2/events/{event_id}": {
        "get": api(
            "Show an event with its deliveries",
            Scope.READ_EVENTS,
            tag="events",
            answers={200: answer("The event.", ref("Event"))},
            refusals=[404],
            parameters=[in_path("event_id")],
        )
    },
    "/api/v2/deliveries": {
        "get": api(
            "List deliveries, newest first, each with its attempts",
            Scope.READ_EVENTS,
            tag="deliveries",
            answers={200: answer("A page of deliveries.", ref("Deliveries"))},
            refusals=[400],
            parameters=[
                *cursor(),
                in_query("client_id", IDENTIFIER),
                in_query("event_id", IDENTIFIER),
                in_query("state", one_of(DeliveryState, more=["parked"])),
                *_SPAN,
            ],
        )
    },
    "/api/v2/deliveries/{delivery_id}": {
        "get": api(
            "Show a delivery with its attempts",
            Scope.READ_EVENTS,
            tag="deliveries",
            answers={200: answer("The delivery.", ref("Delivery"))},
            refusals=[404],
            parameters=[_DELIVERY],
        )
    },
    "/api/v2/lanes": {
        "get": api(
            "List how each application's deliveries are going",
            Scope.READ_EVENTS,
            tag="lanes",
            answers={200: answer("A page of lanes.", ref("Lanes"))},
            refusals=[400],
            parameters=cursor(),
        )
    },
}

_HANDS: Mapping[str, Mapping[str, Operation]] = {
    "/api/v2/lanes/{client_id}/pause": {
        "post": api(
            "Start nothing more for an application",
            Scope.UPDATE_CLIENTS,
            tag="lanes",
            answers={204: answer("Its lane is paused.")},
            refusals=[404],
            parameters=[_CLIENT],
        )
    },
    "/api/v2/lanes/{client_id}/resume": {
        "post": api(
            "Let a paused application's deliveries go on",
            Scope.UPDATE_CLIENTS,
            tag="lanes",
            answers={204: answer("Its lane is not paused.")},
            refusals=[404],
            parameters=[_CLIENT],
        )
    },
    "/api/v2/deliveries/retry": {
        "post": api(
            "Try everything again that a filter names",
            Scope.REPLAY_DELIVERIES,
            tag="deliveries",
            answers={202: answer("How many are pending again.", ref("Retried"))},
            request=body(ref("DeliveryFilter")),
        )
    },
    "/api/v2/deliveries/{delivery_id}/retry": {
        "post": api(
            "Try one delivery again that failed or was cancelled",
            Scope.REPLAY_DELIVERIES,
            tag="deliveries",
            answers={202: answer("It is pending again.", ref("Retried"))},
            refusals=[404, 409],
            parameters=[_DELIVERY],
        )
    },
}

PATHS: Mapping[str, Mapping[str, Operation]] = {
    **_CLIENTS,
    **SOURCES,
    **_RECORDS,
    **_HANDS,
}
