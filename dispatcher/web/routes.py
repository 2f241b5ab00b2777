"""Every URL of the service, on one screen."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dispatcher.domain.errors import DispatcherError, NotFound
from dispatcher.domain.sources import Scope
from dispatcher.ports import Telemetry
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
from dispatcher.web.oauth import OAuth, OAuthError, render_oauth_error
from dispatcher.web.problems import MethodNotAllowed, is_internal, render
from dispatcher.web.retries import Retries
from dispatcher.web.sessions import SessionViews
from dispatcher.web.sources import Sources


def build(doors: Doors, *, management: bool = True) -> Starlette:
    """Build the service; without health and metrics where *management* is served elsewhere."""
    operational = _operational(doors) if management else []
    return _app([*_service(doors), *operational], doors.telemetry)


def build_management(doors: Doors) -> Starlette:
    """Build what the management listener serves."""
    return _app(_operational(doors), doors.telemetry)


def _service(doors: Doors) -> list[BaseRoute]:
    may = ApiGate(registry=doors.registry, verifier=doors.verifier)
    return [
        *_open(doors),
        *_clients(doors, may),
        *_sources(doors, may),
        *_records(doors, may),
        *_hands(doors, may),
    ]


def _open(doors: Doors) -> list[BaseRoute]:
    """Return what needs no access token: sources prove themselves, and what is public."""
    ingest, oauth, public, docs = Ingest(doors), OAuth(doors), Discovery(doors), Docs(doors)
    return [
        at("/webhooks/{source}", POST=ingest.receive),
        at(discovery.JWKS, GET=public.jwks),
        at(discovery.CONFIGURATION, GET=public.configuration),
        at("/oauth/token", POST=oauth.token),
        at("/oauth/revoke", POST=oauth.revoke),
        at("/openapi.json", GET=docs.document),
        at("/docs", GET=docs.page),
        at("/docs.css", GET=docs.style),
    ]


def _clients(doors: Doors, may: ApiGate) -> list[BaseRoute]:
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


def _sources(doors: Doors, may: ApiGate) -> list[BaseRoute]:
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


def _records(doors: Doors, may: ApiGate) -> list[BaseRoute]:
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


def _hands(doors: Doors, may: ApiGate) -> list[BaseRoute]:
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


def _operational(doors: Doors) -> list[BaseRoute]:
    health = Health(doors)
    return [
        at("/livez", GET=health.live),
        at("/readyz", GET=health.ready),
        at("/healthz", GET=health.whole),
        at("/metrics", GET=health.metrics),
    ]


def at(path: str, **methods: Handler) -> Route:
    """Return the route to *path*, with one handler for each method that it allows."""

    async def by_method(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await methods[method](request)

    return Route(path, by_method, methods=list(methods))


def _app(routes: list[BaseRoute], telemetry: Telemetry) -> Starlette:
    async def dispatcher_error(request: Request, error: Exception) -> Response:
        if is_internal(error):
            telemetry.worker_failed("web", error)
        return render(error, path=request.scope["path"])

    app = Starlette(
        routes=routes,
        middleware=[Middleware(Envelope, telemetry=telemetry)],
        exception_handlers={
            DispatcherError: dispatcher_error,
            OAuthError: render_oauth_error,
            HTTPException: _routing_error,
            ClientDisconnect: _nobody_listens,
        },
    )
    # A webhook that is redirected is a webhook that is lost: senders do not follow.
    app.router.redirect_slashes = False
    return app


async def _routing_error(request: Request, error: Exception) -> Response:
    """Answer that there is no such URL, or no such method at it."""
    headers = error.headers if isinstance(error, HTTPException) else None
    missing = isinstance(error, HTTPException) and error.status_code == 404  # noqa: PLR2004 - a status
    told = NotFound("There is nothing at this path.") if missing else MethodNotAllowed()
    return render(told, path=request.scope["path"], headers=headers)


async def _nobody_listens(_: Request, __: Exception) -> Response:
    """Answer nobody: the client went away before its request was whole."""
    return Response(status_code=400)
