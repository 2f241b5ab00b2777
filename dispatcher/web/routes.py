"""Every URL of the service, on one screen."""

from collections.abc import Collection, Mapping, Sequence

from starlette.requests import Request
from starlette.routing import BaseRoute, Route, Router
from starlette.types import Receive, Send
from starlette.types import Scope as Asked

from dispatcher.domain.errors import NotFound
from dispatcher.domain.sources import Scope
from dispatcher.web import discovery
from dispatcher.web.clients import Clients
from dispatcher.web.discovery import Discovery
from dispatcher.web.docs import Docs
from dispatcher.web.doors import Doors
from dispatcher.web.envelope import Envelope
from dispatcher.web.gates import ApiGate, Handler
from dispatcher.web.health import Health
from dispatcher.web.ingest import Ingest
from dispatcher.web.lanes import Lanes
from dispatcher.web.ledger import Deliveries, Events
from dispatcher.web.oauth import OAuth
from dispatcher.web.problems import MethodNotAllowed
from dispatcher.web.retries import Retries
from dispatcher.web.sessions import SessionViews
from dispatcher.web.sources import Sources


def build(doors: Doors, *, management: bool = True) -> Envelope:
    """Build the service; without health and metrics where *management* is served elsewhere."""
    operational = operational_routes(doors) if management else []
    return _app([*service_routes(doors), *operational], doors)


def build_management(doors: Doors) -> Envelope:
    """Build what the management listener serves."""
    return _app(operational_routes(doors), doors)


def service_routes(doors: Doors) -> list[Route]:
    """Return what the service is asked for."""
    may = ApiGate(registry=doors.registry, verifier=doors.verifier)
    return [
        *_open(doors),
        *_clients(doors, may),
        *_sources(doors, may),
        # Before the records, one of which might have any name: the first route that fits is it.
        *_hands(doors, may),
        *_records(doors, may),
    ]


def _open(doors: Doors) -> list[Route]:
    """Return what needs no access token: sources prove themselves, and what is public."""
    ingest, oauth, public, docs = Ingest(doors), OAuth(doors), Discovery(doors), Docs(doors)
    return [
        at("/webhooks/{source}", POST=ingest.receive, OPTIONS=ingest.consent),
        at(discovery.JWKS, GET=public.jwks),
        at(discovery.CONFIGURATION, GET=public.configuration),
        at("/oauth/token", POST=oauth.token),
        at("/oauth/revoke", POST=oauth.revoke),
        at("/openapi.json", GET=docs.document),
        at("/docs", GET=docs.page),
        at("/docs.css", GET=docs.style),
    ]


def _clients(doors: Doors, may: ApiGate) -> list[Route]:
    """Return applications, as Auth0 keeps its clients."""
    clients = Clients(doors)
    return [
        at(
            "/api/v2/clients",
            GET=may(Scope.READ_CLIENTS, clients.page),
            POST=may(Scope.CREATE_CLIENTS, clients.create),
        ),
        at(
            "/api/v2/clients/{client_id:segment}",
            GET=may(Scope.READ_CLIENTS, clients.show),
            PATCH=may(Scope.UPDATE_CLIENTS, clients.update),
            DELETE=may(Scope.DELETE_CLIENTS, clients.delete),
        ),
        at(
            "/api/v2/clients/{client_id:segment}/rotate-secret",
            POST=may(Scope.UPDATE_CLIENTS, clients.rotate_secret),
        ),
    ]


def _sources(doors: Doors, may: ApiGate) -> list[Route]:
    """Return who may send events."""
    sources = Sources(doors)
    return [
        at(
            "/api/v2/sources",
            GET=may(Scope.READ_SOURCES, sources.page),
            POST=may(Scope.UPDATE_SOURCES, sources.create),
        ),
        at(
            "/api/v2/sources/{name:segment}",
            GET=may(Scope.READ_SOURCES, sources.show),
            PATCH=may(Scope.UPDATE_SOURCES, sources.update),
            DELETE=may(Scope.UPDATE_SOURCES, sources.delete),
        ),
    ]


def _records(doors: Doors, may: ApiGate) -> list[Route]:
    """Return what happened, to read."""
    sessions, lanes = SessionViews(doors), Lanes(doors)
    events, deliveries = Events(doors), Deliveries(doors)
    return [
        at("/api/v2/sessions/{sid:segment}", GET=may(Scope.READ_SESSIONS, sessions.show)),
        at("/api/v2/users/{sub:segment}/sessions", GET=may(Scope.READ_SESSIONS, sessions.of_user)),
        at("/api/v2/events", GET=may(Scope.READ_EVENTS, events.page)),
        at("/api/v2/events/{event_id:segment}", GET=may(Scope.READ_EVENTS, events.show)),
        at("/api/v2/deliveries", GET=may(Scope.READ_EVENTS, deliveries.page)),
        at("/api/v2/deliveries/{delivery_id:segment}", GET=may(Scope.READ_EVENTS, deliveries.show)),
        at("/api/v2/lanes", GET=may(Scope.READ_EVENTS, lanes.page)),
    ]


def _hands(doors: Doors, may: ApiGate) -> list[Route]:
    """Return what an operator does by hand."""
    lanes, retries = Lanes(doors), Retries(doors)
    return [
        at("/api/v2/lanes/{client_id:segment}/pause", POST=may(Scope.UPDATE_CLIENTS, lanes.pause)),
        at(
            "/api/v2/lanes/{client_id:segment}/resume",
            POST=may(Scope.UPDATE_CLIENTS, lanes.resume),
        ),
        at("/api/v2/deliveries/retry", POST=may(Scope.REPLAY_DELIVERIES, retries.all_of)),
        at(
            "/api/v2/deliveries/{delivery_id:segment}/retry",
            POST=may(Scope.REPLAY_DELIVERIES, retries.one),
        ),
    ]


def operational_routes(doors: Doors) -> list[Route]:
    """Return what those who run the service look at."""
    health = Health(doors)
    return [
        at("/livez", GET=health.live),
        at("/readyz", GET=health.ready),
        at("/healthz", GET=health.whole),
        at("/metrics", GET=health.metrics),
    ]


def at(path: str, **methods: Handler) -> Route:
    """Return the route to *path*, with one handler for each method that it allows."""
    return Route(path, Resource(methods), name=path)


class Resource:
    """What is at one path: an application that has a handler for each method."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = dict(handlers)
        if "GET" in handlers:
            self._handlers["HEAD"] = handlers["GET"]

    @property
    def methods(self) -> Collection[str]:
        """The methods that are allowed here."""
        return self._handlers.keys()

    async def __call__(self, scope: Asked, receive: Receive, send: Send) -> None:
        """Answer one request; raise MethodNotAllowed."""
        handler = self._handlers.get(scope["method"])
        if handler is None:
            raise MethodNotAllowed(self.methods)
        response = await handler(Request(scope, receive, send))
        await response(scope, receive, send)


def _app(routes: Sequence[BaseRoute], doors: Doors) -> Envelope:
    # A webhook that is redirected is a webhook that is lost: senders do not follow.
    router = Router(routes, redirect_slashes=False, default=_nothing)
    return Envelope(router, telemetry=doors.telemetry)


async def _nothing(_: Asked, __: Receive, ___: Send) -> None:
    raise NotFound("There is nothing at this path.")
