"""OpenID Connect Back-Channel Logout 1.0 section 2.2: the registration of an RP, and its URI."""

from typing import Any

import pytest

from tests.spec.conftest import ODD_QUERY, DeployedOp
from tests.spec.stage import Stage, fields_of, unique

FIRST_URI = "oidc_logout.backchannel_logout_urls[0]"


def test_query_is_retained(stage: Stage) -> None:
    """2.2: the query of the URI is retained, byte for byte, and nothing is added to it."""
    sid = unique("sid")
    stage.ends("queried", sid=sid)

    capture = stage.told(sid)

    assert capture.request_line == f"POST {ODD_QUERY} HTTP/1.1"


def test_query_does_not_move_into_the_body(stage: Stage) -> None:
    """2.2: the parameters of the URI stay in the URI, and the token's stays in the body."""
    sid = unique("sid")
    stage.ends("queried", sid=sid)

    capture = stage.told(sid)

    assert [name for name, _ in capture.form] == ["logout_token"]


def test_uri_without_a_path_names_the_root(stage: Stage) -> None:
    """2.2: the URI is absolute (RFC 3986 section 4.3); an empty path is asked for as "/"."""
    sid = unique("sid")
    stage.ends("rootless", sid=sid)

    capture = stage.told(sid)

    assert capture.request_line == "POST / HTTP/1.1"


def test_uri_says_who_is_addressed(stage: Stage) -> None:
    """2.2: the URI's authority is the request's one Host field (RFC 9112 section 3.2)."""
    sid = unique("sid")
    stage.ends("plain", sid=sid)

    capture = stage.told(sid)

    assert capture.values("host") == [f"127.0.0.1:{stage.rp.port}"]


@pytest.mark.parametrize("fragment", ["#logout", "?x=1#", "#"])
def test_fragment_is_refused(stage: Stage, fragment: str) -> None:
    """2.2: the URI must not have a fragment, not even an empty one."""
    answer = stage.tries_to_register(stage.rp.uri(f"/logout{fragment}"))

    assert fields_of(answer) == [FIRST_URI]
    assert "fragment" in answer.json()["message"]


def test_fragment_is_refused_in_an_update(stage: Stage) -> None:
    """2.2: what must not be registered must not come by an update either."""
    client_id = stage.registers()
    logout = {"backchannel_logout_urls": [stage.rp.uri(), stage.rp.uri("/second#")]}

    answer = stage.operator.patch(f"/api/v2/clients/{client_id}", json={"oidc_logout": logout})

    assert fields_of(answer) == ["oidc_logout.backchannel_logout_urls[1]"]


@pytest.mark.parametrize(
    "uri",
    [
        "/logout",
        "//rp.example/logout",
        "rp.example/logout",
        "https:/logout",
        "https:///logout",
        "mailto:ops@rp.example",
        "javascript:alert(1)",
        "https://rp.example/log out",
        "",
    ],
)
def test_uri_that_is_not_absolute_is_refused(stage: Stage, uri: str) -> None:
    """2.2: the URI is an absolute one, of http or https."""
    answer = stage.tries_to_register(uri)

    assert fields_of(answer) == [FIRST_URI]


def test_http_is_refused(deployed: DeployedOp) -> None:
    """2.2: the scheme is https, unless the OP allows http."""
    answer = deployed.stage.tries_to_register("http://rp.example/logout")

    assert fields_of(answer) == [FIRST_URI]
    assert "https" in answer.json()["message"]


def test_http_can_be_allowed(stage: Stage) -> None:
    """2.2: where the OP allows http, an http URI can be registered, and is told."""
    sid = unique("sid")
    stage.ends(stage.registers(stage.rp.uri("/allowed")), sid=sid)

    capture = stage.told(sid)

    assert capture.request_line == "POST /allowed HTTP/1.1"


def test_https_is_spoken(deployed: DeployedOp) -> None:
    """2.2: a token for an https URI goes through TLS."""
    sid = unique("sid")
    deployed.stage.ends("tls13", sid=sid)

    capture = deployed.modern.receives(sid)[0]

    assert capture.tls_version is not None


def test_https_means_that_the_rp_is_known(deployed: DeployedOp) -> None:
    """2.2: a server whose certificate nobody vouches for gets no token (RFC 9110 section 4.3.4)."""
    sid = unique("sid")
    stranger = deployed.stage.registers(deployed.modern.uri("/stranger"))
    event_id = deployed.stage.ends(stranger, sid=sid)

    delivery = deployed.stage.waiting_delivery(event_id, attempts=1)

    assert delivery["attempts"][0]["outcome"] == "unreachable"
    assert delivery["attempts"][0]["error"].startswith("certificate")
    assert deployed.modern.about(sid) == []


def test_every_uri_of_an_application_is_told(stage: Stage) -> None:
    """2.2: an application with two URIs gets a token of its own at each."""
    sid = unique("sid")
    stage.ends("two-uris", sid=sid)

    captures = stage.rp.receives(sid, count=2)

    assert {capture.path for capture in captures} == {"/first", "/second"}
    assert len({stage.verified(capture).claims["jti"] for capture in captures}) == 2


def test_sid_is_included_where_it_is_required(stage: Stage) -> None:
    """2.2: backchannel_logout_session_required means that `sid` is in the token."""
    sid, sub = unique("sid"), unique("sub")
    stage.ends("needs-sid", sid=sid, sub=sub)

    claims = stage.claims_told(sub)

    assert claims["sid"] == sid


def test_required_sid_is_taken_from_what_is_known(stage: Stage) -> None:
    """2.2: for a user-wide event, an RP that requires `sid` is told of each of its sessions."""
    sub, sids = unique("sub"), {unique("sid"), unique("sid")}
    for sid in sids:
        stage.joins("needs-sid", sid=sid, sub=sub)
    stage.ends(sub=sub)

    captures = stage.rp.receives(sub, count=2)

    assert {stage.verified(capture).claims["sid"] for capture in captures} == sids


def test_no_token_is_sent_where_the_required_sid_is_unknown(stage: Stage) -> None:
    """2.2: an RP that requires `sid` never gets a token without; its delivery says why."""
    sub = unique("sub")
    event_id = stage.ends("needs-sid", sub=sub)

    delivery = stage.delivery(event_id)

    assert (delivery["state"], delivery["reason"]) == ("failed", "sid_required")
    assert stage.rp.about(sub) == []


def test_sid_is_not_required_by_default(stage: Stage) -> None:
    """2.2: backchannel_logout_session_required is false where it is left out."""
    sub = unique("sub")
    stage.ends("plain", sub=sub)

    claims = stage.claims_told(sub)

    assert "sid" not in claims


@pytest.mark.parametrize("required", ["true", 1, "yes"])
def test_session_required_is_a_boolean(stage: Stage, required: Any) -> None:
    """2.2: backchannel_logout_session_required is a boolean, and nothing that looks like one."""
    answer = stage.tries_to_register(backchannel_logout_session_required=required)

    assert fields_of(answer) == ["backchannel_logout_session_required"]


def test_required_sid_is_not_left_out_by_another_setting(stage: Stage) -> None:
    """2.2: an RP that requires `sid` gets it, even where it is registered to be told by `sub`."""
    sid, sub = unique("sid"), unique("sub")
    client_id = stage.registers(
        backchannel_logout_session_required=True, logout_delivery={"subject": "sub"}
    )
    stage.ends(client_id, sid=sid, sub=sub)

    claims = stage.claims_told(sub)

    assert claims["sid"] == sid
