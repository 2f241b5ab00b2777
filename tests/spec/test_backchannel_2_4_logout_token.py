"""OpenID Connect Back-Channel Logout 1.0 section 2.4: the logout token."""

import json
import time
from base64 import urlsafe_b64decode
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.spec.stage import LOGOUT_EVENT, Stage, fields_of, unique

ALWAYS = {"iss", "aud", "iat", "exp", "jti", "events"}
METADATA = {"nonce": "n", "iss": "https://evil.example", "sub": "mallory", "device": "phone"}


@dataclass(frozen=True)
class Kind:
    """One kind of event, to one application, and what the token claims besides the usual."""

    client_id: str
    claims: set[str]
    sid: bool = True
    sub: bool = True
    more: dict[str, Any] = field(default_factory=dict)

    def sent(self, stage: Stage) -> str:
        """Send such an event, and return what its token can be found by."""
        scope = {"sid": unique("sid")} if self.sid else {}
        scope |= {"sub": unique("sub")} if self.sub else {}
        stage.ends(self.client_id, **scope, **self.more)
        return scope["sub" if "sub" in self.claims else "sid"]


KINDS = {
    "session": Kind("plain", {"sub", "sid"}),
    "session-without-sub": Kind("plain", {"sid"}, sub=False),
    "user": Kind("plain", {"sub", "toe"}, sid=False),
    "account": Kind("plain", {"sub", "toe"}, sid=False, more={"initiator": "account-deleted"}),
    "session-by-sid": Kind("by-sid", {"sid"}),
    "session-by-sub": Kind("by-sub", {"sub"}),
    "session-required": Kind("needs-sid", {"sub", "sid"}),
    "metadata": Kind("told-more", {"sub", "sid", "session_metadata"},
                     more={"session_metadata": METADATA}),
    "metadata-not-included": Kind("plain", {"sub", "sid"}, more={"session_metadata": METADATA}),
    "no-metadata": Kind("told-more", {"sub", "sid"}),
    "unknown-initiator": Kind("plain", {"sub", "sid"}, more={"initiator": "made-up"}),
}  # fmt: skip


@pytest.fixture(scope="module", params=KINDS.values(), ids=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of event."""
    chosen: Kind = request.param
    return chosen


def test_claims_are_exactly_these(stage: Stage, kind: Kind) -> None:
    """2.4: the token has the required claims, those of its kind of event, and no other."""
    about = kind.sent(stage)

    claims = stage.claims_told(about)

    assert set(claims) == ALWAYS | kind.claims


def test_nonce_is_prohibited(stage: Stage, kind: Kind) -> None:
    """2.4: there is no `nonce`, so that no logout token passes for an ID Token."""
    about = kind.sent(stage)

    claims = stage.claims_told(about)

    assert not {"nonce", "at_hash", "c_hash", "auth_time", "acr", "amr", "azp"} & set(claims)


def test_token_says_whom_it_is_about(stage: Stage, kind: Kind) -> None:
    """2.4: at least one of `sub` and `sid` is there, and is a string."""
    about = kind.sent(stage)

    claims = stage.claims_told(about)

    assert {"sub", "sid"} & set(claims)
    assert all(isinstance(claims.get(name, ""), str) for name in ("sub", "sid"))


def test_events_has_one_member(stage: Stage, kind: Kind) -> None:
    """2.4: `events` has exactly the back-channel logout member, and its value is `{}`."""
    about = kind.sent(stage)

    claims = stage.claims_told(about)

    assert claims["events"] == {LOGOUT_EVENT: {}}


def test_iss_is_the_issuer_byte_for_byte(stage: Stage) -> None:
    """2.4: `iss` is the configured issuer, a slash at its end included."""
    sid = unique("sid")
    stage.ends("plain", sid=sid)

    claims = stage.claims_told(sid)

    assert claims["iss"] == "https://op.example/"


def test_aud_is_the_client_id(stage: Stage) -> None:
    """2.4: `aud` is the client_id of the one RP that the token is for, as a string."""
    sid = unique("sid")
    stage.ends("plain", "wiki", sid=sid)

    claims = [stage.claims_told(sid, client_id) for client_id in ("plain", "wiki")]

    assert [one["aud"] for one in claims] == ["plain", "wiki"]


def test_iat_is_the_time_of_issue(stage: Stage) -> None:
    """2.4: `iat` is a whole number of seconds, rounded down: never in a verifier's future."""
    sid, before = unique("sid"), int(time.time())
    stage.ends("plain", sid=sid)

    capture = stage.told(sid)

    iat = stage.verified(capture).claims["iat"]
    assert isinstance(iat, int)
    assert before <= iat <= capture.at


def test_exp_is_after_iat(stage: Stage) -> None:
    """2.4: `exp` is there, a whole number of seconds, and later than `iat`."""
    sid = unique("sid")
    stage.ends("plain", sid=sid)

    claims = stage.claims_told(sid)

    assert isinstance(claims["exp"], int)
    assert claims["exp"] == claims["iat"] + 120


def test_jti_is_unique(stage: Stage) -> None:
    """2.4: each token has a `jti` of its own, whatever event, application or URI it is for."""
    sids = [unique("sid") for _ in range(3)]
    for sid in sids:
        stage.ends("plain", "wiki", "two-uris", sid=sid)

    captures = [capture for sid in sids for capture in stage.rp.receives(sid, count=4)]

    jtis = {stage.verified(capture).claims["jti"] for capture in captures}
    assert len(jtis) == 12
    assert all(isinstance(jti, str) and len(jti) >= 22 for jti in jtis)


def test_sub_and_sid_are_those_of_the_event(stage: Stage) -> None:
    """2.4: `sub` and `sid` are both there where both are known, each as it was told."""
    sub, sid = unique("auth0|sub"), unique("sid")
    stage.ends("plain", sub=sub, sid=sid)

    claims = stage.claims_told(sid)

    assert (claims["sub"], claims["sid"]) == (sub, sid)


def test_sub_is_filled_in_from_the_session(stage: Stage) -> None:
    """2.4: a `sub` that the event leaves out is the one that logged in to the session."""
    sub, sid = unique("sub"), unique("sid")
    stage.joins("plain", sub=sub, sid=sid)
    stage.ends(sid=sid)

    claims = stage.claims_told(sid)

    assert (claims["sub"], claims["sid"]) == (sub, sid)


def test_sub_is_the_one_that_the_rp_knows(stage: Stage) -> None:
    """Core section 8.1: an RP with pairwise subjects is told its own `sub`, never another's."""
    sub, pairwise, sid = unique("sub"), unique("pairwise"), unique("sid")
    clients = [{"client_id": "plain"}, {"client_id": "wiki", "sub": pairwise}]
    stage.ends(sub=sub, sid=sid, clients=clients)

    claims = [stage.claims_told(sid, client_id) for client_id in ("plain", "wiki")]

    assert [one["sub"] for one in claims] == [sub, pairwise]


def test_sub_may_be_as_long_as_core_allows(stage: Stage) -> None:
    """Core section 2: a `sub` of 255 ASCII characters is kept whole, and its case is too."""
    sub = unique("Sub").ljust(255, "X")
    stage.ends("plain", sub=sub)

    claims = stage.claims_told(sub)

    assert claims["sub"] == sub


def test_event_without_sub_and_sid_is_refused(stage: Stage) -> None:
    """2.4: with neither `sub` nor `sid` there is nothing that a token could say."""
    answer = stage.posts({"id": unique("evt"), "initiator": "session-revoked", "clients": []})

    assert fields_of(answer) == ["sub"]


@pytest.mark.parametrize("client_id", ["plain", "by-sid", "needs-sid", "told-more", "typ-jwt"])
def test_session_event_never_degrades_to_a_user_wide_one(stage: Stage, client_id: str) -> None:
    """2.4: without `sid` all the user's sessions end; what ended one session is never sent so."""
    sub, sid = unique("sub"), unique("sid")
    stage.ends(client_id, sub=sub, sid=sid)

    claims = stage.claims_told(sid, client_id)

    assert claims["sid"] == sid


def test_user_wide_event_has_no_sid(stage: Stage) -> None:
    """2.4: a token without `sid` asks for the end of all the user's sessions."""
    sub = unique("sub")
    stage.joins("plain", sub=sub, sid=unique("sid"))
    stage.joins("plain", sub=sub, sid=unique("sid"))
    event_id = stage.ends(sub=sub)

    claims = stage.claims_told(sub)

    assert (claims["sub"], "sid" in claims) == (sub, False)
    assert len(stage.deliveries(event_id)) == 1


def test_toe_is_when_it_happened(stage: Stage) -> None:
    """RFC 8417 section 2.2: `toe` is the time of the event, in seconds."""
    sub = unique("sub")
    stage.ends("plain", sub=sub, occurred_at="2026-01-02T03:04:05.678Z")

    claims = stage.claims_told(sub)

    assert claims["toe"] == 1767323045


def test_metadata_stays_in_its_own_claim(stage: Stage) -> None:
    """2.4: other claims are allowed; metadata named like a claim does not become that claim."""
    sub, sid = unique("sub"), unique("sid")
    stage.ends("told-more", sub=sub, sid=sid, session_metadata=METADATA)

    claims = stage.claims_told(sid)

    assert claims["session_metadata"] == METADATA
    assert (claims["iss"], claims["sub"]) == (stage.service.issuer, sub)


@pytest.mark.parametrize(
    ("client_id", "typ"),
    [
        ("plain", {"typ": "logout+jwt"}),
        ("typ-logout", {"typ": "logout+jwt"}),
        ("typ-jwt", {"typ": "JWT"}),
        ("typ-none", {}),
    ],
)
def test_header_is_exactly_this(stage: Stage, client_id: str, typ: dict[str, str]) -> None:
    """2.4: the header has `alg`, `kid` and the application's `typ`, logout+jwt by default."""
    sid = unique("sid")
    stage.ends(client_id, sid=sid)

    token = stage.verified(stage.told(sid))

    kid = token.header["kid"]
    assert token.header == {"alg": "RS256", "kid": kid, **typ}
    assert kid in {key["kid"] for key in stage.jwks()}


def test_token_is_signed(stage: Stage) -> None:
    """2.4: the token is a JWS in compact form: header, claims and signature, in base64url."""
    sid = unique("sid")
    stage.ends("plain", sid=sid)

    parts = stage.told(sid).token.split(".")

    assert len(parts) == 3
    assert all(part and part == part.strip("=") for part in parts)
    assert json.loads(urlsafe_b64decode(parts[1] + "=="))["sid"] == sid


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("id_token_encrypted_response_alg", "RSA-OAEP-256"),
        ("id_token_encrypted_response_enc", "A128CBC-HS256"),
    ],
)
def test_encryption_is_not_silently_left_out(stage: Stage, member: str, value: str) -> None:
    """2.4: an RP whose ID Tokens are encrypted is not registered, rather than told in the clear."""
    answer = stage.tries_to_register(**{member: value})

    assert fields_of(answer) == [member]
