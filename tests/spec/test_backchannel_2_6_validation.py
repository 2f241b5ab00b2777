"""OpenID Connect Back-Channel Logout 1.0 section 2.6: what an RP checks, and so binds the OP."""

import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import KeySet

from tests.spec.stage import LOGOUT_EVENT, Stage, fields_of, unique

BY_ALGORITHM = {
    "plain": "RS256",
    "alg-RS256": "RS256",
    "alg-PS256": "PS256",
    "alg-ES256": "ES256",
    "alg-EdDSA": "EdDSA",
    "alg-registered": "ES256",
}
EVERYBODY = {
    **BY_ALGORITHM,
    "typ-jwt": "RS256",
    "typ-none": "RS256",
    "by-sid": "RS256",
    "by-sub": "RS256",
    "needs-sid": "RS256",
    "told-more": "RS256",
}


def validate(stage: Stage, token: str, *, client_id: str, alg: str, seen: set[str]) -> None:
    """Validate a logout token as section 2.6 tells an RP to, step by step."""
    decoded = jwt.decode(token, KeySet.import_key_set({"keys": stage.jwks()}), algorithms=[alg])
    now = int(time.time())
    registry = jwt.JWTClaimsRegistry(
        now=now,
        iss={"essential": True, "value": stage.discovery()["issuer"]},
        aud={"essential": True, "value": client_id},
        iat={"essential": True},
        exp={"essential": True},
        jti={"essential": True},
    )
    registry.validate(decoded.claims)
    assert decoded.claims.get("sub") or decoded.claims.get("sid")
    assert decoded.claims["events"].get(LOGOUT_EVENT) == {}
    assert "nonce" not in decoded.claims
    assert decoded.claims["jti"] not in seen
    seen.add(decoded.claims["jti"])


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
@pytest.mark.parametrize(("client_id", "alg"), EVERYBODY.items())
def test_every_step_of_the_validation_passes(stage: Stage, client_id: str, alg: str) -> None:
    """2.6: a token passes all steps of the validation, for each way to register, at zero leeway."""
    sub, sids, seen = unique("sub"), [unique("sid"), unique("sid")], set[str]()
    for sid in sids:
        stage.ends(client_id, sub=sub, sid=sid)

    captures = [stage.told(sub if client_id == "by-sub" else sid, client_id) for sid in sids]
    if client_id == "by-sub":
        captures = stage.rp.receives(sub, count=2)

    for capture in captures:
        validate(stage, capture.token, client_id=client_id, alg=alg, seen=seen)
    assert len(seen) == 2


@pytest.mark.parametrize(("client_id", "alg"), BY_ALGORITHM.items())
def test_alg_is_the_one_of_the_clients_id_tokens(stage: Stage, client_id: str, alg: str) -> None:
    """2.6 step 2: `alg` is the client's id_token_signed_response_alg, RS256 by default."""
    sid = unique("sid")
    stage.ends(client_id, sid=sid)

    token = stage.verified(stage.told(sid), alg)

    assert token.header["alg"] == alg


@pytest.mark.parametrize("alg", ["none", "None", "", "HS256", "RS1", "rs256"])
@pytest.mark.parametrize("member", ["jwt_configuration.alg", "id_token_signed_response_alg"])
def test_none_and_shared_secrets_are_refused(stage: Stage, member: str, alg: str) -> None:
    """2.6 step 2: `none` must not be used, even by clients whose ID Tokens may be unsigned."""
    named: dict[str, Any] = (
        {"jwt_configuration": {"alg": alg}}
        if member == "jwt_configuration.alg"
        else {"id_token_signed_response_alg": alg}
    )

    answer = stage.tries_to_register(**named)

    assert fields_of(answer) == [member]


def test_the_two_names_of_the_algorithm_can_not_differ(stage: Stage) -> None:
    """2.6 step 2: a client has one algorithm, whichever name it is registered under."""
    answer = stage.tries_to_register(
        jwt_configuration={"alg": "RS256"}, id_token_signed_response_alg="ES256"
    )

    assert fields_of(answer) == ["id_token_signed_response_alg"]


def test_a_change_of_algorithm_holds_from_the_next_token_on(stage: Stage) -> None:
    """2.6 step 2: the algorithm is the one that is registered when the token is signed."""
    client_id, before, after = stage.registers(), unique("sid"), unique("sid")
    stage.ends(client_id, sid=before)
    stage.verified(stage.told(before), "RS256")
    update = {"id_token_signed_response_alg": "ES256"}
    stage.operator.patch(f"/api/v2/clients/{client_id}", json=update).raise_for_status()
    stage.ends(client_id, sid=after)

    token = stage.verified(stage.told(after), "ES256")

    assert token.header["alg"] == "ES256"


def test_signature_covers_the_claims(stage: Stage) -> None:
    """2.6 step 3: a token whose claims were changed on the way does not verify."""
    one, other = unique("sid"), unique("sid")
    stage.ends("plain", sid=one)
    stage.ends("plain", sid=other)
    header, _, signature = stage.told(one).token.split(".")
    _, claims, _ = stage.told(other).token.split(".")

    keys = KeySet.import_key_set({"keys": stage.jwks()})

    with pytest.raises(BadSignatureError):
        jwt.decode(f"{header}.{claims}.{signature}", keys, algorithms=["RS256"])


def test_token_for_one_rp_is_none_for_another(stage: Stage) -> None:
    """2.6 step 4: each RP has a token of its own, that no other RP accepts."""
    sid = unique("sid")
    stage.ends("plain", "wiki", sid=sid)

    audiences = [stage.verified(one).claims["aud"] for one in stage.rp.receives(sid, count=2)]

    assert sorted(audiences) == ["plain", "wiki"]
