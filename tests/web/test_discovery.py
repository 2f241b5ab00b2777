"""What applications fetch: the public keys, and the discovery document."""

from dataclasses import replace

from tests.web.face import Face


async def test_the_public_keys_are_published(face: Face) -> None:
    """The JWK Set may be cached for five minutes, and holds nothing private."""
    answer = await face.http.get("/.well-known/jwks.json")

    (key,) = answer.json()["keys"]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}


async def test_the_discovery_document_tells_of_back_channel_logout(face: Face) -> None:
    """Both booleans are booleans, and the issuer is byte for byte as it was set."""
    answer = await face.http.get("/.well-known/openid-configuration")

    assert answer.json() == {
        "issuer": "https://op.example/",
        "jwks_uri": "https://dispatcher.example/.well-known/jwks.json",
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "id_token_signing_alg_values_supported": ["ES256"],
    }


async def test_extra_members_are_added_and_replace_nothing_of_ours(face: Face) -> None:
    """What the settings add can not contradict what we vouch for."""
    extra = {
        "issuer": "https://evil.example",
        "jwks_uri": "https://evil.example/jwks",
        "backchannel_logout_supported": False,
        "backchannel_logout_session_supported": "true",
        "authorization_endpoint": "https://op.example/authorize",
    }
    extended = replace(face, doors=replace(face.doors, discovery_extra=extra))

    told = (await extended.http.get("/.well-known/openid-configuration")).json()

    plain = (await face.http.get("/.well-known/openid-configuration")).json()
    assert told == plain | {"authorization_endpoint": "https://op.example/authorize"}
