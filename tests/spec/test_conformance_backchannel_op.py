"""The OpenID conformance suite's plan "Back-Channel OP", condition by condition.

Tests are named after the suite's own conditions (certification test plan
``oidcc-backchannel-rp-initiated-logout``); the second module's run over one request that an
RP-initiated logout caused. Its conditions on the front channel (``CheckPostLogoutState``,
``CheckForUnexpectedParametersInPostLogoutRedirect``) concern the OP's own pages. What the suite
leaves out, though the specification asks for it, follows at the end.
"""

import time
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.spec.conftest import END_SESSION, DeployedOp
from tests.spec.stage import LOGOUT_EVENT, Stage, unique
from tests.spec.wire import Capture, RecordingRp

# TLS 1.2 cipher suites that BCP 195 recommends, as OpenSSL writes them.
SECURE_CIPHERS = {
    "DHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "DHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
}


@dataclass(frozen=True)
class Logout:
    """A user who logged in at an RP and logged out there, and the request that this caused."""

    op: Stage
    client_id: str
    sub: str
    sid: str
    capture: Capture

    @property
    def token(self) -> jwt.Token:
        """The logout token, verified."""
        return self.op.verified(self.capture)


def log_in_and_out(op: Stage, rp: RecordingRp, client_id: str) -> Logout:
    """Log a user in at the RP (its ID Token has this `sub` and `sid`), and out again."""
    sub, sid = unique("sub"), unique("sid")
    op.joins(client_id, sub=sub, sid=sid)
    op.ends(sid=sid, initiator="rp-logout")
    return Logout(op, client_id, sub, sid, rp.receives(sid)[0])


@pytest.fixture(scope="module")
def op(deployed: DeployedOp) -> Stage:
    """Return the OP."""
    return deployed.stage


@pytest.fixture(scope="module")
def document(op: Stage) -> dict[str, Any]:
    """Return the OP's discovery document."""
    return op.discovery()


@pytest.fixture(scope="module")
def logout(deployed: DeployedOp) -> Logout:
    """One RP-initiated logout."""
    return log_in_and_out(deployed.stage, deployed.modern, "tls13")


# Module oidcc-backchannel-logout-discovery-endpoint-verification


def test_get_dynamic_server_configuration(op: Stage) -> None:
    """Discovery 1.0 section 4.2: the document is a JSON object, at the well-known path."""
    answer = op.get("/.well-known/openid-configuration")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert isinstance(answer.json(), dict)


def test_check_disc_endpoint_all_endpoints_are_https(document: dict[str, Any]) -> None:
    """Discovery 1.0 section 3: every endpoint in the document is an https URL."""
    names = [name for name in document if name.endswith(("_endpoint", "_uri"))]

    schemes = {name: urlsplit(document[name]).scheme for name in names}

    assert schemes == dict.fromkeys(names, "https")
    assert "jwks_uri" in names


def test_check_disc_endpoint_backchannel_logout_supported(document: dict[str, Any]) -> None:
    """2.1: backchannel_logout_supported is the boolean true; a string, or nothing, is not."""
    supported = document["backchannel_logout_supported"]

    assert supported is True


def test_check_disc_endpoint_backchannel_logout_session_supported(
    document: dict[str, Any],
) -> None:
    """2.1: backchannel_logout_session_supported is the boolean true."""
    supported = document["backchannel_logout_session_supported"]

    assert supported is True


def test_check_disc_end_session_endpoint(document: dict[str, Any]) -> None:
    """RP-Initiated Logout 1.0 section 2.1: the OP's end_session_endpoint is there, over https."""
    endpoint = document["end_session_endpoint"]

    assert endpoint == END_SESSION


# Module oidcc-backchannel-rp-initiated-logout


def test_create_backchannel_logout_uri(logout: Logout) -> None:
    """2.2: the token comes to the registered URI."""
    line = logout.capture.request_line

    assert line == "POST /backchannel_logout HTTP/1.1"


def test_add_backchannel_logout_session_required_true_to_dynamic_registration_request(
    op: Stage,
) -> None:
    """2.2: a client can register backchannel_logout_session_required, and reads it back."""
    uri = "https://rp.example/backchannel_logout"

    answer = op.tries_to_register(uri, backchannel_logout_session_required=True)

    assert answer.status_code == 201
    assert answer.json()["backchannel_logout_session_required"] is True
    assert answer.json()["oidc_logout"]["backchannel_logout_urls"] == [uri]


def test_ensure_incoming_tls12_with_secure_cipher(deployed: DeployedOp) -> None:
    """BCP 195: with a server of TLS 1.2 one of the recommended cipher suites is agreed on."""
    older = log_in_and_out(deployed.stage, deployed.older, "tls12")

    agreed = (older.capture.tls_version, older.capture.cipher in SECURE_CIPHERS)

    assert agreed == ("TLSv1.2", True)


def test_ensure_incoming_tls12_without_secure_cipher_is_refused(deployed: DeployedOp) -> None:
    """BCP 195: a server that has none of them gets no token; the attempt says that TLS failed."""
    sid = unique("sid")
    event_id = deployed.stage.ends("obsolete", sid=sid)

    deployed.obsolete.fails_a_handshake()
    delivery = deployed.stage.waiting_delivery(event_id, attempts=1)

    assert delivery["attempts"][0]["outcome"] == "unreachable"
    assert deployed.obsolete.everything() == []


def test_ensure_incoming_tls13(logout: Logout) -> None:
    """BCP 195: with a server of TLS 1.3 that is the version that is agreed on."""
    version = logout.capture.tls_version

    assert version == "TLSv1.3"


def test_validate_logout_token_from_backchannel_logout_request_encryption(logout: Logout) -> None:
    """2.4: for a client that registered no encryption the token is a plain JWS, not a JWE."""
    parts = logout.capture.token.split(".")

    assert len(parts) == 3
    assert "enc" not in logout.token.header


def test_extract_logout_token_from_backchannel_logout_request(logout: Logout) -> None:
    """2.5: the form parameter logout_token is there once, and is a JWT."""
    values = [value for name, value in logout.capture.form if name == "logout_token"]

    assert values == [logout.capture.token]
    assert logout.token.claims


def test_check_for_unexpected_parameters_in_backchannel_logout_request(logout: Logout) -> None:
    """2.5: there is no other parameter, neither in the body nor added to the URI."""
    names = [name for name, _ in logout.capture.form]

    assert names == ["logout_token"]
    assert logout.capture.path == "/backchannel_logout"


def test_validate_logout_token_signature(logout: Logout) -> None:
    """2.6: one published key has the token's kid, kty and alg, is for signing, and verifies it."""
    header = logout.token.header
    keys = [key for key in logout.op.jwks() if key["kid"] == header["kid"]]

    verified = jwt.decode(
        logout.capture.token, KeySet.import_key_set({"keys": keys}), algorithms=["RS256"]
    )

    assert [(key["kty"], key["alg"], key["use"]) for key in keys] == [("RSA", "RS256", "sig")]
    assert verified.claims["sid"] == logout.sid


def test_no_two_published_keys_look_alike(op: Stage) -> None:
    """2.6: no two published keys agree in kid, kty, alg and use: the choice is never in doubt."""
    keys = op.jwks()

    looks = {(key["kid"], key["kty"], key["alg"], key["use"]) for key in keys}

    assert len(looks) == len(keys)


def test_validate_logout_token_claims_iss(logout: Logout, document: dict[str, Any]) -> None:
    """2.4: `iss` is the issuer of the discovery document."""
    claims = logout.token.claims

    assert claims["iss"] == document["issuer"]


def test_validate_logout_token_claims_aud(logout: Logout) -> None:
    """2.4: `aud` is the client_id."""
    claims = logout.token.claims

    assert claims["aud"] == logout.client_id


def test_validate_logout_token_claims_iat(logout: Logout) -> None:
    """2.4: `iat` is there, at most five minutes ahead and at most a day old."""
    claims, now = logout.token.claims, time.time()

    assert now - 86400 <= claims["iat"] <= now + 300


def test_validate_logout_token_claims_jti(logout: Logout) -> None:
    """2.4: `jti` is there."""
    claims = logout.token.claims

    assert str(uuid.UUID(claims["jti"])) == claims["jti"]


def test_validate_logout_token_claims_events(logout: Logout) -> None:
    """2.4: `events` has the one member, and its value is an empty object."""
    claims = logout.token.claims

    assert claims["events"] == {LOGOUT_EVENT: {}}


def test_check_id_token_sub_matches_logout_token(logout: Logout) -> None:
    """2.4: `sub` is the one of the ID Token."""
    claims = logout.token.claims

    assert claims["sub"] == logout.sub


def test_check_id_token_sid_matches_logout_token(logout: Logout) -> None:
    """2.4: `sid` is the one of the ID Token."""
    claims = logout.token.claims

    assert claims["sid"] == logout.sid


def test_check_logout_token_no_nonce(logout: Logout) -> None:
    """2.4: there is no `nonce`."""
    claims = logout.token.claims

    assert "nonce" not in claims


def test_check_logout_token_has_sub_or_sid(logout: Logout) -> None:
    """2.4: `sub` or `sid` is there."""
    claims = logout.token.claims

    assert claims.get("sub") or claims.get("sid")


# What the suite leaves out


def test_exp_is_there(logout: Logout) -> None:
    """2.4: `exp` is required, and lies ahead when the token comes in."""
    claims = logout.token.claims

    assert claims["exp"] > logout.capture.at


def test_exp_is_at_most_two_minutes_ahead(logout: Logout) -> None:
    """4: `exp` is at most two minutes after `iat`."""
    claims = logout.token.claims

    assert 0 < claims["exp"] - claims["iat"] <= 120


def test_typ_is_explicit(logout: Logout) -> None:
    """2.4: `typ` is logout+jwt."""
    header = logout.token.header

    assert header["typ"] == "logout+jwt"


def test_jti_does_not_repeat(deployed: DeployedOp, logout: Logout) -> None:
    """2.6 step 8: no `jti` comes twice, to whichever RP."""
    log_in_and_out(deployed.stage, deployed.modern, "tls13")
    log_in_and_out(deployed.stage, deployed.older, "tls12")
    captures = [*deployed.modern.everything(), *deployed.older.everything()]

    jtis = [logout.op.verified(capture).claims["jti"] for capture in captures]

    assert len(jtis) >= 3
    assert len(set(jtis)) == len(jtis)


def test_alg_is_the_registered_one(logout: Logout) -> None:
    """2.6 step 2: `alg` is the one that the client registered: RS256 where it registered none."""
    header = logout.token.header

    assert header["alg"] == "RS256"


def test_sid_is_there_where_it_is_required(logout: Logout) -> None:
    """2.2: the client registered backchannel_logout_session_required, so `sid` is there."""
    claims = logout.token.claims

    assert isinstance(claims["sid"], str)
    assert claims["sid"]
