"""Two running services: one as it is tested, over http, and one as it is deployed, over https."""

import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.kit.service import Service
from tests.spec.stage import Stage, an_application
from tests.spec.wire import RecordingRp

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
ODD_QUERY = "/odd%2Fpath?tenant=a%20b&x=1&x=&=y&z=%C3%a9+e;q='()*!&logout_token=mine&&"
END_SESSION = "https://op.example/oidc/logout"


def applications(rp: RecordingRp) -> list[dict[str, Any]]:
    """Return one application for each setting that makes its tokens different."""
    uri = rp.uri()
    return [
        an_application("plain", uri),
        an_application("wiki", rp.uri("/wiki")),
        an_application("shop", rp.uri("/shop")),
        an_application("queried", rp.uri(ODD_QUERY)),
        an_application("rootless", rp.uri("")),
        an_application("two-uris", rp.uri("/first"), rp.uri("/second")),
        an_application("no-uri"),
        *(an_application(f"alg-{alg}", uri, jwt_configuration={"alg": alg}) for alg in ALGORITHMS),
        an_application("alg-registered", uri, id_token_signed_response_alg="ES256"),
        an_application("typ-logout", uri, logout_delivery={"token_type": "logout+jwt"}),
        an_application("typ-jwt", uri, logout_delivery={"token_type": "JWT"}),
        an_application("typ-none", uri, logout_delivery={"token_type": "none"}),
        an_application("by-sid", uri, logout_delivery={"subject": "sid"}),
        an_application("by-sub", uri, logout_delivery={"subject": "sub"}),
        an_application("needs-sid", uri, backchannel_logout_session_required=True),
        _with_metadata(an_application("told-more", uri)),
    ]


def _with_metadata(application: dict[str, Any]) -> dict[str, Any]:
    """Have an application told the session's metadata."""
    application["oidc_logout"]["backchannel_logout_session_metadata"] = {"include": True}
    return application


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Run the service with every application, which all live on one server over http."""
    rp = RecordingRp()
    service = Service(tmp_path_factory.mktemp("stage"), applications(rp))
    service.start()
    stage = Stage(service, rp)
    yield stage
    stage.close()
    service.stop()
    rp.close()


@dataclass(frozen=True)
class DeployedOp:
    """The service where http is not allowed, and three servers of different ideas of TLS."""

    stage: Stage
    modern: RecordingRp
    older: RecordingRp
    obsolete: RecordingRp


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployedOp]:
    """Run the service as an OP's discovery document presents it, with applications over TLS."""
    folder = tmp_path_factory.mktemp("deployed")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    cert = ca.issue_cert("127.0.0.1", key_type=trustme.KeyType.RSA)
    servers = {
        "tls13": RecordingRp(_context(cert)),
        "tls12": RecordingRp(_context(cert, most=ssl.TLSVersion.TLSv1_2)),
        "obsolete": RecordingRp(_context(cert, most=ssl.TLSVersion.TLSv1_2, ciphers="AES256-SHA")),
    }
    service = Service(
        folder,
        [
            an_application(
                client_id, server.uri("/backchannel_logout"),
                backchannel_logout_session_required=True,
                logout_delivery={"ca_file": str(folder / "ca.pem")},
            )
            for client_id, server in servers.items()
        ],
        environment={
            "DISPATCHER_EGRESS_ALLOW_HTTP": "false",
            "DISPATCHER_PUBLIC_URL": "https://op.example",
            "DISPATCHER_DISCOVERY_EXTRA": str(_discovery_extra(folder)),
        },
    )  # fmt: skip
    service.start()
    stage = Stage(service, servers["tls13"])
    yield DeployedOp(stage, servers["tls13"], servers["tls12"], servers["obsolete"])
    stage.close()
    service.stop()
    for server in servers.values():
        server.close()


def _context(
    cert: trustme.LeafCert, *, most: ssl.TLSVersion | None = None, ciphers: str | None = None
) -> ssl.SSLContext:
    """Return what a server speaks: the newest version, unless *most* limits it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    cert.configure_cert(context)
    if most is not None:
        context.maximum_version = most
    if ciphers is not None:
        context.set_ciphers(ciphers)
    return context


def _discovery_extra(folder: Path) -> Path:
    """Write the members of an OP's own discovery document; some contradict what we vouch for."""
    extra = folder / "discovery.json"
    extra.write_text(
        json.dumps(
            {
                "authorization_endpoint": "https://op.example/oidc/authorize",
                "token_endpoint": "https://op.example/oidc/token",
                "end_session_endpoint": END_SESSION,
                "issuer": "https://another.example",
                "backchannel_logout_supported": "true",
                "backchannel_logout_session_supported": False,
            }
        ),
        encoding="utf-8",
    )
    return extra
