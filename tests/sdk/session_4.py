"""A session with auth0-python 4.x, which tells on standard output what it was answered.

Run as ``python -m tests.sdk.session_4 DOMAIN CLIENT_ID CLIENT_SECRET``, with that release before
the current one on the path. It has no types, and would clash with those of the current one.
"""

import json
import sys
from importlib import import_module
from typing import Any

from tests.sdk.examples import CLIENTS, EXAMPLES, PER_PAGE, WITHOUT_IDP_LOGOUT

_DETAILS = ("oidc_logout", "oidc_backchannel_logout")


def logged_in(domain: str, client_id: str, client_secret: str) -> Any:
    """Log in by client credentials."""
    grants = import_module("auth0.authentication").GetToken(domain, client_id, client_secret)
    granted = grants.client_credentials(f"https://{domain}/api/v2/")
    return import_module("auth0.management").Auth0(domain, granted["access_token"]).clients


def told(clients: Any) -> dict[str, Any]:
    """Do everything once; return what was answered."""
    made = [
        clients.create({"name": f"SDK {number}", "app_type": "regular_web", "sso": True})
        for number in range(CLIENTS)
    ]
    ids = [client["client_id"] for client in made]
    pages = [clients.all(page=page, per_page=PER_PAGE) for page in range(4)]
    chosen = clients.all(fields=["name", "app_type"], page=0, per_page=2)
    updates = [clients.update(ids[0], {"oidc_logout": example}) for example in EXAMPLES]
    refusal = _refusal(lambda: clients.update(ids[0], {"oidc_logout": WITHOUT_IDP_LOGOUT}))
    shown = clients.get(ids[0])
    rotated = clients.rotate_secret(ids[0])
    for client_id in ids:
        clients.delete(client_id)
    return {
        "secrets": [client["client_secret"] for client in made] + [rotated["client_secret"]],
        "ids": ids,
        "pages": [[client["client_id"] for client in page] for page in pages],
        "chosen": chosen,
        "updates": [{name: one[name] for name in _DETAILS} for one in updates],
        "shown": shown,
        "refusal": refusal,
        "gone": _refusal(lambda: clients.get(ids[0])),
    }


def _refusal(ask: Any) -> list[Any]:
    try:
        ask()
    except import_module("auth0.exceptions").Auth0Error as error:
        return [error.status_code, error.error_code, error.message]
    return []


if __name__ == "__main__":
    release = import_module("auth0").__version__
    json.dump({"release": release, **told(logged_in(*sys.argv[1:]))}, sys.stdout)
