"""The document: what needs no access token, and the whole of it."""

from collections.abc import Mapping
from importlib.metadata import version

from dispatcher.domain.sources import Scope
from dispatcher.web.openapi import management
from dispatcher.web.openapi.operations import (
    FORM,
    JSON,
    PROBLEM,
    Operation,
    answer,
    body,
    operation,
    refused,
)
from dispatcher.web.openapi.schemas import SCHEMAS
from dispatcher.web.openapi.shapes import TEXT, partial, ref
from dispatcher.web.openapi.webhooks import WEBHOOKS

_HTML, _CSS, _METRICS = "text/html", "text/css", "text/plain"
_CLIENT = {"client_id": TEXT, "client_secret": TEXT}
_REFUSED_BY_OAUTH = {
    **refused(400, 401, 429, error="OAuthError"),
    **refused(408, 413, 503, error="Problem", media_type=PROBLEM),
}

_OAUTH: Mapping[str, Mapping[str, Operation]] = {
    "/oauth/token": {
        "post": operation(
            "Get an access token by client credentials",
            tag="oauth",
            request=body(partial(grant_type=TEXT, scope=TEXT, audience=TEXT, **_CLIENT),
                         FORM, JSON),
            answers={200: answer("An access token.", ref("Granted")), **_REFUSED_BY_OAUTH},
            security=[{}, {"clientSecret": []}],
        )
    },
    "/oauth/revoke": {
        "post": operation(
            "Take an access token back",
            tag="oauth",
            request=body(partial(token=TEXT, **_CLIENT), FORM, JSON),
            answers={200: answer("It opens nothing."), **_REFUSED_BY_OAUTH},
            security=[{}, {"clientSecret": []}],
        )
    },
}  # fmt: skip


def _shown(summary: str, tag: str, schema: Mapping[str, object], *, media: str = JSON) -> Operation:
    return operation(summary, tag=tag, answers={200: answer(summary, schema, media)}, security=[])


def _checked(summary: str) -> Operation:
    """Describe a look at the service's health."""
    answers = {status: answer(summary, ref("Health")) for status in (200, 503)}
    return operation(summary, tag="operations", answers=answers, security=[])


_PUBLIC: Mapping[str, Mapping[str, Operation]] = {
    "/.well-known/jwks.json": {"get": _shown("The public keys", "public", ref("JwkSet"))},
    "/.well-known/openid-configuration": {
        "get": _shown("The discovery document", "public", ref("Discovery"))
    },
    "/openapi.json": {"get": _shown("This document", "public", {"type": "object"})},
    "/docs": {"get": _shown("This document, to read", "public", TEXT, media=_HTML)},
    "/docs.css": {"get": _shown("How it looks", "public", TEXT, media=_CSS)},
    "/livez": {"get": _checked("Whether the process answers")},
    "/readyz": {"get": _checked("Whether an event could be accepted and delivered now")},
    "/healthz": {"get": _checked("Both")},
    "/metrics": {"get": _shown("Metrics for Prometheus", "operations", TEXT, media=_METRICS)},
}

_SECURITY: Mapping[str, object] = {
    "accessToken": {
        "type": "oauth2",
        "flows": {
            "clientCredentials": {
                "tokenUrl": "/oauth/token",
                "scopes": {scope.value: scope.value.replace(":", " ") for scope in Scope},
            }
        },
    },
    "clientSecret": {"type": "http", "scheme": "basic"},
    "sourceToken": {"type": "http", "scheme": "bearer"},
    "webhookSignature": {
        "type": "apiKey",
        "in": "header",
        "name": "webhook-signature",
        "description": "Standard Webhooks, with webhook-id and webhook-timestamp.",
    },
}

DOCUMENT: Mapping[str, object] = {
    "openapi": "3.1.1",
    "info": {
        "title": "Back-Channel Logout Dispatcher",
        "version": version("backchannel-logout-dispatcher"),
        "description": "Tells applications that a session is over.",
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    },
    "paths": {**WEBHOOKS, **_OAUTH, **management.PATHS, **_PUBLIC},
    "components": {"schemas": SCHEMAS, "securitySchemes": _SECURITY},
}


def described(public_url: str) -> Mapping[str, object]:
    """Return the document of the service that is reached at *public_url*."""
    return {**DOCUMENT, "servers": [{"url": public_url}]}
