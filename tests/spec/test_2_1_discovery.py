"""OpenID Connect Back-Channel Logout 1.0 section 2.1: what the OP says of itself, and `sid`."""

import pytest

from tests.spec.conftest import DeployedOp
from tests.spec.stage import Stage, fields_of, unique


def test_backchannel_logout_is_advertised(stage: Stage) -> None:
    """2.1: backchannel_logout_supported is the JSON boolean true."""
    document = stage.discovery()

    assert document["backchannel_logout_supported"] is True


def test_session_support_is_advertised(stage: Stage) -> None:
    """2.1: backchannel_logout_session_supported is the JSON boolean true."""
    document = stage.discovery()

    assert document["backchannel_logout_session_supported"] is True


def test_what_the_op_vouches_for_can_not_be_contradicted(deployed: DeployedOp) -> None:
    """2.1: what the operator adds stands beside the issuer and the booleans, not over them."""
    document = deployed.stage.discovery()

    assert document["issuer"] == deployed.stage.service.issuer
    assert document["backchannel_logout_supported"] is True
    assert document["backchannel_logout_session_supported"] is True
    assert document["token_endpoint"] == "https://op.example/oidc/token"


def test_issuer_is_the_one_of_the_tokens(stage: Stage) -> None:
    """Discovery 1.0 section 4.3: the document's issuer is the tokens' `iss`, byte for byte."""
    sid = unique("sid")
    stage.ends("plain", sid=sid)

    claims = stage.claims_told(sid)

    assert claims["iss"] == stage.discovery()["issuer"] == "https://op.example/"


def test_algorithms_are_advertised(stage: Stage) -> None:
    """Discovery 1.0 section 3: RS256 is among the signing algorithms, and `none` is not."""
    algorithms = stage.discovery()["id_token_signing_alg_values_supported"]

    assert "RS256" in algorithms
    assert set(algorithms) == {key["alg"] for key in stage.jwks()}


@pytest.mark.parametrize("spelling", [" !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "a/b", "x" * 200])
def test_sid_is_opaque(stage: Stage, spelling: str) -> None:
    """2.1: a `sid` is made of the characters of a client_id (VSCHAR), and kept as it is."""
    sid = unique("sid") + spelling
    stage.ends("plain", sid=sid)

    claims = stage.claims_told(sid)

    assert claims["sid"] == sid


@pytest.mark.parametrize("sid", ["", "tab\t", "line\n", "délier", "x" * 256, 7])
def test_what_is_no_sid_is_refused(stage: Stage, sid: object) -> None:
    """2.1: what is not in the syntax of a client_id is no `sid`: the event is refused."""
    answer = stage.posts({"id": unique("evt"), "initiator": "session-revoked", "sid": sid})

    assert "sid" in fields_of(answer)


def test_distinct_sessions_have_distinct_sids(stage: Stage) -> None:
    """2.1: two sessions of one user are told apart by their `sid`."""
    sub, laptop, phone = unique("sub"), unique("sid"), unique("sid")
    stage.ends("plain", sid=laptop, sub=sub)
    stage.ends("plain", sid=phone, sub=sub)

    about_user = stage.rp.receives(sub, count=2)

    assert {stage.verified(one).claims["sid"] for one in about_user} == {laptop, phone}
