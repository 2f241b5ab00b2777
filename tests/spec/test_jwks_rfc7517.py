"""RFC 7517 section 5: the published JWK Set."""

import re
from collections import Counter
from typing import Any

import pytest

from tests.spec.stage import Stage, unique

# RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1, RFC 8037 section 2.
PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
PUBLIC = {
    "RS256": {"kty": "RSA", "members": {"n", "e"}},
    "PS256": {"kty": "RSA", "members": {"n", "e"}},
    "ES256": {"kty": "EC", "members": {"crv", "x", "y"}},
    "EdDSA": {"kty": "OKP", "members": {"crv", "x"}},
}


@pytest.fixture(scope="module")
def keys(stage: Stage) -> list[dict[str, Any]]:
    """Return the published keys."""
    return stage.jwks()


def test_set_is_an_object_with_keys(stage: Stage) -> None:
    """RFC 7517 section 5: the set is a JSON object whose member `keys` is an array."""
    answer = stage.get("/.well-known/jwks.json")

    assert answer.headers["content-type"] in ("application/json", "application/jwk-set+json")
    assert set(answer.json()) == {"keys"}
    assert isinstance(answer.json()["keys"], list)


def test_set_may_be_cached_for_a_while(stage: Stage) -> None:
    """Core section 10.1.1: the answer says how long it may be cached."""
    answer = stage.get("/.well-known/jwks.json")

    assert answer.headers["cache-control"] == "public, max-age=300"


def test_set_is_where_discovery_says(stage: Stage, keys: list[dict[str, Any]]) -> None:
    """Discovery 1.0 section 3: jwks_uri is where the set is."""
    answer = stage.http.get(stage.discovery()["jwks_uri"])

    assert answer.json()["keys"] == keys


def test_nothing_private_is_published(stage: Stage) -> None:
    """RFC 7517 section 9.2: no key has a private or symmetric member, at any depth."""
    text = stage.get("/.well-known/jwks.json").text

    names = set(re.findall(r'"(\w+)":', text))

    assert names & PRIVATE == set()


def test_members_are_exactly_these(keys: list[dict[str, Any]]) -> None:
    """RFC 7517 section 4: a key has kid, use, alg, kty and its public parameters, and no more."""
    members = [set(key) for key in keys]

    assert members == [{"kid", "use", "alg", "kty", *PUBLIC[key["alg"]]["members"]} for key in keys]
    assert [key["kty"] for key in keys] == [PUBLIC[key["alg"]]["kty"] for key in keys]


def test_keys_are_for_signing(keys: list[dict[str, Any]]) -> None:
    """RFC 7517 section 4.2: the `use` of each key is "sig"."""
    uses = {key["use"] for key in keys}

    assert uses == {"sig"}


def test_kid_is_unique(keys: list[dict[str, Any]]) -> None:
    """RFC 7517 section 4.5: no two keys of the set have the same `kid`."""
    kids = Counter(key["kid"] for key in keys)

    assert set(kids.values()) == {1}


def test_values_are_unpadded_base64url(keys: list[dict[str, Any]]) -> None:
    """RFC 7518 section 6: parameters are base64url without padding, and have their full length."""
    values = [key[name] for key in keys for name in ("n", "e", "x", "y") if name in key]
    coordinates = [len(key[name]) for key in keys for name in ("x", "y") if name in key]

    assert all(re.fullmatch(r"[\w-]+", value) for value in values)
    assert set(coordinates) == {43}


def test_rsa_keys_are_long_enough(keys: list[dict[str, Any]]) -> None:
    """RFC 7518 section 3.3: an RSA key has at least 2048 bits."""
    moduli = [len(key["n"]) for key in keys if key["kty"] == "RSA"]

    assert min(moduli) >= 342


def test_next_keys_are_published_ahead(keys: list[dict[str, Any]]) -> None:
    """Core section 10.1.1: for each algorithm the next key is published before it ever signs."""
    by_algorithm = Counter(key["alg"] for key in keys)

    assert by_algorithm == {"RS256": 2, "PS256": 2, "ES256": 2, "EdDSA": 2}


@pytest.mark.parametrize("alg", PUBLIC)
def test_one_key_of_an_algorithm_signs(stage: Stage, alg: str) -> None:
    """Core section 10.1: each token names its key by `kid`; all of an algorithm name the same."""
    sids = [unique("sid") for _ in range(3)]
    for sid in sids:
        stage.ends(f"alg-{alg}", sid=sid)

    kids = {stage.verified(stage.told(sid), alg).header["kid"] for sid in sids}

    assert len(kids) == 1
    assert kids < {key["kid"] for key in stage.jwks() if key["alg"] == alg}
