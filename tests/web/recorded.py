"""What Auth0 and Keycloak send, in the shapes that they publish.

Written from Auth0's schemas of logs and events and from the source of the Keycloak listener
``p2-inc/keycloak-events``; none of it was recorded from a running one.
"""

import hashlib
import hmac
import json
from typing import Any

USER, SESSION, CLIENT = "auth0|65a1", "xdgDkCD4rO2uLp07C8BiH8bnJzUm36uE", "shop"
JSON = {"content-type": "application/json"}
TOKEN = "a-token-of-the-source"
BEARER = {**JSON, "authorization": f"Bearer {TOKEN}"}


def auth0_log(
    kind: str, log_id: str = "log-1", details: object = None, **members: Any
) -> dict[str, Any]:
    """Return one entry of a log stream; a member given as None is left out."""
    entry = {
        "$event_schema": {"version": "1.0.0"},
        "date": "2026-11-22T09:59:58.123Z",
        "type": kind,
        "description": "",
        "client_id": CLIENT,
        "client_name": "Shop",
        "connection": "Username-Password-Authentication",
        "connection_id": "con_8zwbqZgUEdwZtyWc",
        "details": {"session_id": SESSION} if details is None else details,
        "environment_name": "prod-eu-1",
        "hostname": "acme.eu.auth0.com",
        "ip": "192.0.2.7",
        "log_id": log_id,
        "tenant_name": "acme",
        "user_agent": "Firefox 145.0.0 / Linux 0.0.0",
        "user_id": USER,
        "user_name": "ann@example.com",
        **members,
    }
    kept = {name: value for name, value in entry.items() if value is not None}
    return {"log_id": log_id, "data": kept}


def auth0_event(
    kind: str,
    after: dict[str, Any] | None = None,
    before: dict[str, Any] | None = None,
    **members: Any,
) -> dict[str, Any]:
    """Return one event of an event stream, about one user before and after."""
    user = {"user_id": USER, "email": "ann@example.com", "blocked": False}
    data: dict[str, Any] = {"object": user | (after or {}), "context": {"tenant": "acme"}}
    if before is not None:
        data["previous_object"] = user | before
    return {
        "specversion": "1.0",
        "type": kind,
        "source": "urn:auth0:acme.eu.auth0.com",
        "id": "evt_1",
        "time": "2026-11-22T09:59:58Z",
        "data": data,
        "a0tenant": "acme",
        "a0stream": "est_1",
        **members,
    }


def keycloak_access(kind: str, **members: Any) -> dict[str, Any]:
    """Return what the listener sends of something that a user did."""
    return {
        "id": "4d9c5f5e-0f0e-4f5c-8a0a-1f1f1f1f1f1f",
        "uid": "0b1c2d3e-0f0e-4f5c-8a0a-2f2f2f2f2f2f",
        "time": 1795341598123,
        "realmId": "7f0e4f5c-8a0a-4d9c-9c5f-3f3f3f3f3f3f",
        "realmName": "acme",
        "type": f"access.{kind}",
        "authDetails": {
            "realmId": "acme",
            "clientId": CLIENT,
            "userId": USER,
            "ipAddress": "192.0.2.7",
            "username": "ann",
            "sessionId": SESSION,
        },
        "details": {"redirect_uri": "https://shop.example/"},
        **members,
    }


def keycloak_admin(kind: str, path: str, **members: Any) -> dict[str, Any]:
    """Return what the listener sends of something that an administrator did."""
    resource, _, operation = kind.partition("-")
    return {
        "id": "4d9c5f5e-0f0e-4f5c-8a0a-1f1f1f1f1f1f",
        "uid": "0b1c2d3e-0f0e-4f5c-8a0a-2f2f2f2f2f2f",
        "time": 1795341598123,
        "realmId": "7f0e4f5c-8a0a-4d9c-9c5f-3f3f3f3f3f3f",
        "realmName": "acme",
        "type": f"admin.{kind}",
        "authDetails": {
            "realmId": "master",
            "clientId": "security-admin-console",
            "userId": "the-administrator",
            "ipAddress": "192.0.2.9",
            "username": "root",
            "sessionId": "the-administrators-session",
        },
        "details": {"userId": USER, "username": "ann"},
        "resourceType": resource,
        "operationType": operation,
        "resourcePath": path,
        **members,
    }


def keycloak_headers(body: bytes, secret: str = TOKEN) -> dict[str, str]:
    """Return the headers of a webhook, as the listener signs it."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {**JSON, "x-keycloak-signature": signature}


def lines(*entries: dict[str, Any]) -> bytes:
    """Return entries as JSON lines."""
    return "\n".join(map(json.dumps, entries)).encode()
