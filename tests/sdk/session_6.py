"""A session with auth0-python 6.x, which tells on standard output what it was answered.

Run as ``python -m tests.sdk.session_6 DOMAIN CLIENT_ID CLIENT_SECRET``.
"""

import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from auth0.management import ManagementClient
from auth0.management.clients.client import ClientsClient
from auth0.management.core.api_error import ApiError
from auth0.management.types.client_oidc_backchannel_logout_settings import (
    ClientOidcBackchannelLogoutSettings as OidcLogout,
)

from tests.sdk.examples import CLIENTS, EXAMPLES, PER_PAGE, WITHOUT_IDP_LOGOUT

_DETAILS = ("oidc_logout", "oidc_backchannel_logout")


def logged_in(domain: str, client_id: str, client_secret: str) -> ClientsClient:
    """Log in by client credentials, which happens at the first call."""
    client = ManagementClient(domain=domain, client_id=client_id, client_secret=client_secret)
    return client.clients


def told(clients: ClientsClient) -> dict[str, Any]:
    """Do everything once; return what was answered."""
    made = [
        clients.create(name=f"SDK {number}", app_type="regular_web", sso=True)
        for number in range(CLIENTS)
    ]
    ids = [str(client.client_id) for client in made]
    pages = [[str(one.client_id) for one in page] for page in _pages(clients)]
    chosen = clients.list(fields="name,app_type", include_fields=True, per_page=2)
    updates = [
        clients.update(ids[0], oidc_logout=OidcLogout.model_validate(example))
        for example in EXAMPLES
    ]
    bad = OidcLogout.model_validate(WITHOUT_IDP_LOGOUT)
    refusal = _refusal(lambda: clients.update(ids[0], oidc_logout=bad))
    shown = clients.get(ids[0])
    rotated = clients.rotate_secret(ids[0])
    for client_id in ids:
        clients.delete(client_id)
    return {
        "secrets": [client.client_secret for client in made] + [rotated.client_secret],
        "ids": ids,
        "pages": pages,
        "chosen": [_plain(one) for one in chosen.items or ()],
        "updates": [{name: _plain(one)[name] for name in _DETAILS} for one in updates],
        "shown": _plain(shown),
        "refusal": refusal,
        "gone": _refusal(lambda: clients.get(ids[0])),
    }


def _pages(clients: ClientsClient) -> list[list[Any]]:
    """Return all pages, read until there is none."""
    return [list(page.items or ()) for page in clients.list(per_page=PER_PAGE).iter_pages()]


def _plain(model: Any) -> dict[str, Any]:
    plain: dict[str, Any] = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return plain


def _refusal(ask: Callable[[], object]) -> list[Any]:
    try:
        ask()
    except ApiError as error:
        return [error.status_code, error.body["errorCode"], error.body["message"]]
    return []


if __name__ == "__main__":
    release = version("auth0-python")
    json.dump({"release": release, **told(logged_in(*sys.argv[1:]))}, sys.stdout)
