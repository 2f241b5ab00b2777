"""Security event tokens: what a second implementation signs is good, and nothing else is."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import IssuerKeys
from keys.security_event import SetVerdict, is_event, verify_event
from tests.kit.clock import FakeClock
from tests.kit.transmitter import (
    AUDIENCE,
    CAEP,
    ISSUER,
    AnyKey,
    a_key,
    a_set,
    jwks_of,
    signed,
    unsigned,
)

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
KEYS = {alg: a_key(alg, kid=alg) for alg in ALGORITHMS}
STRANGER = a_key(kid="ES256")
CLAIMS = a_set(f"{CAEP}session-revoked")


async def judged(token: str | bytes, keys: Sequence[AnyKey] = tuple(KEYS.values())) -> SetVerdict:
    """Judge *token* by *keys*."""

    async def fetch() -> bytes:
        return jwks_of(*keys)

    return await verify_event(
        token.encode() if isinstance(token, str) else token,
        issuer=ISSUER,
        audience=AUDIENCE,
        keys=IssuerKeys(fetch, FakeClock().steady),
    )


@pytest.mark.parametrize("alg", ALGORITHMS)
async def test_what_joserfc_signs_is_good(alg: str) -> None:
    """A token of each algorithm, signed by another implementation, is its issuer's."""
    assert await judged(signed(CLAIMS, KEYS[alg], alg=alg)) is SetVerdict.OK


@pytest.mark.parametrize("typ", ["secevent+jwt", "application/secevent+jwt", "SecEvent+JWT"])
async def test_the_type_may_be_written_as_a_media_type(typ: str) -> None:
    """A type is compared as media types are: whatever its case, with or without application."""
    assert await judged(signed(CLAIMS, KEYS["ES256"], typ=typ)) is SetVerdict.OK


@pytest.mark.parametrize("typ", [None, "JWT", "at+jwt", "logout+jwt", ""])
async def test_another_token_of_the_issuer_is_no_event(typ: object) -> None:
    """An ID, access or logout token of the same issuer is never taken for an event."""
    assert await judged(signed(CLAIMS, KEYS["ES256"], typ=typ)) is SetVerdict.MALFORMED


async def test_a_token_may_name_no_key() -> None:
    """Without a kid every key of the issuer that fits is tried."""
    token = signed(CLAIMS, KEYS["ES256"], kid=None)

    assert await judged(token) is SetVerdict.OK
    assert await judged(token, [STRANGER]) is SetVerdict.MISMATCH


FORGERIES = {
    "another key under the same kid": signed(CLAIMS, STRANGER),
    "an unknown kid": signed(CLAIMS, STRANGER, kid="unknown"),
    "no signature": unsigned({"alg": "none", "typ": "secevent+jwt"}, CLAIMS),
    "a signature that is none": unsigned({"alg": "ES256", "typ": "secevent+jwt"}, CLAIMS),
    "a secret": signed(CLAIMS, a_key("HS256", kid="RS256"), alg="HS256"),
    "the key of another algorithm": unsigned(
        {"alg": "PS256", "typ": "secevent+jwt", "kid": "ES256"}, CLAIMS
    ),
    "an algorithm that is unknown": unsigned({"alg": "XS", "typ": "secevent+jwt"}, CLAIMS),
    "a header that must be understood": unsigned(
        {"alg": "ES256", "typ": "secevent+jwt", "crit": ["exp"], "kid": "ES256"}, CLAIMS
    ),
}


@pytest.mark.parametrize("token", FORGERIES.values(), ids=FORGERIES)
async def test_a_forgery_is_a_mismatch(token: str) -> None:
    """What none of the issuer's keys has signed is not the issuer's, whatever it says."""
    assert await judged(token) is SetVerdict.MISMATCH


@pytest.mark.parametrize("alg", ["none", "HS256", "XS"])
async def test_no_key_is_asked_for_where_none_can_fit(alg: str) -> None:
    """What no public key can have signed has us ask the issuer for nothing."""

    async def fetch() -> bytes:
        raise AssertionError("the keys were fetched")

    token = unsigned({"alg": alg, "typ": "secevent+jwt", "kid": "x"}, CLAIMS).encode()
    keys = IssuerKeys(fetch, FakeClock().steady)

    judged_so = await verify_event(token, issuer=ISSUER, audience=AUDIENCE, keys=keys)

    assert judged_so is SetVerdict.MISMATCH


@pytest.mark.parametrize("part", [0, 1])
async def test_what_was_changed_is_a_mismatch(part: int) -> None:
    """The signature covers header and claims."""
    parts = signed(CLAIMS, KEYS["ES256"]).split(".")
    other = signed({**CLAIMS, "jti": "set-2"}, KEYS["ES256"], cty="x").split(".")
    parts[part] = other[part]

    assert await judged(".".join(parts)) is SetVerdict.MISMATCH


@pytest.mark.parametrize("issuer", [None, "https://other.example", ISSUER + "/", 5, [ISSUER]])
async def test_another_issuer_is_told(issuer: object) -> None:
    """A token signed with the issuer's key that is not the issuer's own says so, to the letter."""
    token = signed(a_set(f"{CAEP}x", iss=issuer), KEYS["ES256"])

    assert await judged(token) is SetVerdict.ISSUER


@pytest.mark.parametrize("audience", [None, "other", [], ["other"], 5, {}, [[AUDIENCE]]])
async def test_another_audience_is_told(audience: object) -> None:
    """A token that the issuer meant for somebody else is not for us."""
    token = signed(a_set(f"{CAEP}x", aud=audience), KEYS["ES256"])

    assert await judged(token) is SetVerdict.AUDIENCE


async def test_one_of_several_audiences_is_enough() -> None:
    """A token may be meant for others too."""
    token = signed(a_set(f"{CAEP}x", aud=["other", AUDIENCE]), KEYS["ES256"])

    assert await judged(token) is SetVerdict.OK


async def test_what_happened_does_not_expire() -> None:
    """An event that comes late is an event: a logout is not lost for its exp."""
    token = signed(a_set(f"{CAEP}x", exp=1, iat=1), KEYS["ES256"])

    assert await judged(token) is SetVerdict.OK


async def test_only_the_holder_of_a_key_learns_what_is_wrong() -> None:
    """A forgery of a wrong issuer and audience is told of neither."""
    token = signed(a_set(f"{CAEP}x", iss="x", aud="x"), STRANGER)

    assert await judged(token) is SetVerdict.MISMATCH


TYPED: dict[str, Any] = {"alg": "ES256", "typ": "secevent+jwt"}
MALFORMED = {
    "nothing": b"",
    "one part": b"e30",
    "two parts": b"e30.e30",
    "four parts": b"e30.e30.e30.e30",
    "a line end": signed(CLAIMS, KEYS["ES256"]).encode() + b"\n",
    "no base64url": b"!!.e30.e30",
    "a padded part": b"e30=.e30.e30",
    "a header that is no JSON": unsigned(b"x", CLAIMS).encode(),
    "a header that is no object": unsigned(b"[]", CLAIMS).encode(),
    "a header without alg": unsigned({"typ": "secevent+jwt"}, CLAIMS).encode(),
    "an alg that is no text": unsigned({**TYPED, "alg": 5}, CLAIMS).encode(),
    "a type that is no text": unsigned({**TYPED, "typ": ["secevent+jwt"]}, CLAIMS).encode(),
    "a kid that is no text": unsigned({**TYPED, "kid": 5}, CLAIMS).encode(),
    "claims that are no JSON": unsigned(TYPED, b"x").encode(),
    "claims that are no object": unsigned(TYPED, b"[]").encode(),
    "claims that are not UTF-8": unsigned(TYPED, b"\xff").encode(),
    "claims in a deep nest": unsigned(TYPED, b'{"a":' * 5000).encode(),
    "a number of many digits": unsigned(TYPED, b'{"a":' + b"1" * 5000 + b"}").encode(),
    "bytes": b"\xff\xfe\x00",
    "JSON": json.dumps(CLAIMS).encode(),
}


@pytest.mark.parametrize("token", MALFORMED.values(), ids=MALFORMED)
async def test_what_is_no_token_is_malformed(token: bytes) -> None:
    """What has not the form of a security event token is told so, whoever sends it."""
    assert await judged(token) is SetVerdict.MALFORMED
    assert not is_event(token)


def test_a_form_is_judged_without_a_key() -> None:
    """Whether something is a security event token can be told of a stranger's too."""
    assert is_event(signed(CLAIMS, STRANGER).encode())


_PARTS = st.text("eyJ0.-_=! ", max_size=40).map(str.encode) | st.binary(max_size=60)
_HEADERS = st.dictionaries(
    st.sampled_from(["alg", "typ", "kid", "crit", "b64", "x"]),
    st.none() | st.booleans() | st.integers() | st.lists(st.text(max_size=3), max_size=2)
    | st.sampled_from(["ES256", "RS256", "none", "secevent+jwt", "key"]),
)  # fmt: skip


@given(_PARTS | st.builds(lambda header: unsigned({**TYPED, **header}, CLAIMS).encode(), _HEADERS))
async def test_any_bytes_are_judged(token: bytes) -> None:
    """Whatever is sent, judging it raises nothing, and is never good."""
    assert await judged(token, [STRANGER]) in {SetVerdict.MALFORMED, SetVerdict.MISMATCH}
