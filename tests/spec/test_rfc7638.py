"""RFC 7638: a generated key is named by its thumbprint."""

from joserfc.jwk import KeySet

from keys import jwk
from tests.spec.stage import Stage, unique

# The key of section 3.1, and its thumbprint.
EXAMPLE = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc"
    "_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_F"
    "DW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vM"
    "QFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}
EXAMPLE_THUMBPRINT = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_example_of_section_3_1() -> None:
    """RFC 7638 section 3.1: the thumbprint of the RFC's key is the RFC's."""
    found = jwk.thumbprint(EXAMPLE)

    assert found == EXAMPLE_THUMBPRINT


def test_only_required_members_count() -> None:
    """RFC 7638 section 3.2: members beside the required ones, and their order, change nothing."""
    turned = dict(reversed([*EXAMPLE.items(), ("use", "sig"), ("x5t", "none")]))

    found = jwk.thumbprint(turned)

    assert found == EXAMPLE_THUMBPRINT


def thumbprints(stage: Stage) -> dict[str, str]:
    """Return the `alg` of each published key by its thumbprint, as another library computes it."""
    keys = KeySet.import_key_set({"keys": stage.jwks()}).keys
    return {key.thumbprint(): str(key.alg) for key in keys}


def test_published_keys_are_named_by_their_thumbprint(stage: Stage) -> None:
    """RFC 7638 section 3: the `kid` of each published key is its SHA-256 thumbprint."""
    keys = stage.jwks()

    assert [key["kid"] for key in keys] == [*thumbprints(stage)]
    assert {key["kty"] for key in keys} == {"RSA", "EC", "OKP"}


def test_tokens_name_their_key_by_its_thumbprint(stage: Stage) -> None:
    """RFC 7638 section 1: a token's `kid` is the thumbprint of the key that verifies it."""
    sid = unique("sid")
    stage.ends("alg-ES256", sid=sid)

    token = stage.verified(stage.told(sid), "ES256")

    assert thumbprints(stage)[token.header["kid"]] == "ES256"
