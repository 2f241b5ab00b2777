"""Auth0's own SDK for Python works against the service as it is, over TLS, in both generations."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.kit.service import ROOT, Service, free_port
from tests.kit.tls_front import TlsFront
from tests.sdk.examples import CLIENTS, PASSWORD_CHANGED_TOO, PER_PAGE, SUBSCRIBE_TO_ALL, URI

OLDER = Path(sys.prefix) / "auth0-4"
"""Where ``make setup`` puts the older generation: two can not be in one environment."""
DEFAULT = {"mode": "custom", "selected_initiators": ["rp-logout", "idp-logout"]}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, TlsFront]]:
    """Start the service, with TLS in front of it."""
    folder = tmp_path_factory.mktemp("sdk")
    port = free_port()
    with TlsFront(folder, to=port) as front:
        url = f"https://127.0.0.1:{front.port}"
        environment = {"DISPATCHER_ALGORITHMS": "RS256", "DISPATCHER_PUBLIC_URL": url}
        with Service(folder, [], environment, port=port) as service:
            service.start()
            yield service, front
            service.stop()


def session(served: tuple[Service, TlsFront], generation: str) -> dict[str, Any]:
    """Let one generation of the SDK do everything; return what it was told."""
    service, front = served
    first = [str(OLDER)] if generation == "4" else []
    trust = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), str(front.authority))
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join([*first, str(ROOT)]),
        **trust,
    }
    domain = f"127.0.0.1:{front.port}"
    done = subprocess.run(
        [sys.executable, "-m", f"tests.sdk.session_{generation}", domain, "ops",
         service.client_secret],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture(scope="module", params=["4", "6"])
def told(served: tuple[Service, TlsFront], request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return what one generation of the SDK was told, in one session."""
    told = session(served, request.param)
    assert told["release"].split(".")[0] == request.param
    return told


def test_clients_are_created_each_with_a_secret(told: dict[str, Any]) -> None:
    """Each client that is created, and each rotation, yields an id or a secret of its own."""
    assert len(set(told["ids"])) == CLIENTS
    assert len(set(told["secrets"])) == CLIENTS + 1
    assert all(len(secret) == 64 for secret in told["secrets"])


def test_every_page_is_read_to_the_end(told: dict[str, Any]) -> None:
    """Over several pages every client is met once, in order, and the end is recognised."""
    met = [client_id for page in told["pages"] for client_id in page]

    assert met == told["ids"]
    assert [len(page) for page in told["pages"] if page] == [PER_PAGE, PER_PAGE, 1]


def test_members_can_be_chosen(told: dict[str, Any]) -> None:
    """A page of chosen members has these alone."""
    assert told["chosen"] == [
        {"name": f"SDK {number}", "app_type": "regular_web"} for number in range(2)
    ]


def test_every_example_of_the_product_works(told: dict[str, Any]) -> None:
    """Subscribe to all; one more beside the two required; the URI alone; no URI: each as answered.

    The deprecated alias mirrors the URIs each time.
    """
    to_all, one_more, unsubscribed, off = told["updates"]

    mirrored = {"backchannel_logout_urls": [URI]}
    assert to_all == {"oidc_logout": SUBSCRIBE_TO_ALL, "oidc_backchannel_logout": mirrored}
    assert one_more == {"oidc_logout": PASSWORD_CHANGED_TOO, "oidc_backchannel_logout": mirrored}
    assert unsubscribed == {
        "oidc_logout": {**mirrored, "backchannel_logout_initiators": DEFAULT},
        "oidc_backchannel_logout": mirrored,
    }
    assert off["oidc_logout"]["backchannel_logout_urls"] == []
    assert off["oidc_backchannel_logout"] == {}


def test_a_client_is_read_as_it_was_written(told: dict[str, Any]) -> None:
    """What means nothing here is kept, and a secret is not shown again."""
    shown = told["shown"]

    assert (shown["name"], shown["app_type"], shown["sso"]) == ("SDK 0", "regular_web", True)
    assert shown["client_id"] == told["ids"][0]
    assert "client_secret" not in shown


def test_errors_are_raised_as_auth0s_own(told: dict[str, Any]) -> None:
    """A refusal carries Auth0's status, code and text, which names the property."""
    status, code, message = told["refusal"]

    assert (status, code) == (400, "invalid_body")
    assert message.startswith("Payload validation error: '")
    assert "on property oidc_logout.backchannel_logout_initiators.selected_initiators" in message
    assert told["gone"][:2] == [404, "inexistent_client"]


def test_a_deleted_client_is_gone(served: tuple[Service, TlsFront], told: dict[str, Any]) -> None:
    """After the session none of its clients is left."""
    service, _ = served
    with service.api() as api:
        left = api.get("/api/v2/clients").raise_for_status().json()

    assert left == []
    assert told["ids"]


def test_the_service_is_reached_through_its_front_alone(
    served: tuple[Service, TlsFront],
) -> None:
    """The SDK spoke TLS: whoever does not trust the front's authority is not let near."""
    _, front = served

    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"https://127.0.0.1:{front.port}/livez")
