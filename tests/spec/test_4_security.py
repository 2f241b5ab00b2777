"""OpenID Connect Back-Channel Logout 1.0 section 4: security considerations."""

import json
from base64 import urlsafe_b64decode
from pathlib import Path

import pytest

from tests.kit.service import Service
from tests.spec.stage import Stage, unique

CLIENT_IDS = ("plain", "typ-jwt", "by-sid", "needs-sid", "told-more")


def test_tokens_are_short_lived(stage: Stage) -> None:
    """4: `exp` is at most two minutes ahead, so that a captured token is soon worthless."""
    sid = unique("sid")
    stage.ends(*CLIENT_IDS, sid=sid)

    tokens = [stage.verified(one) for one in stage.rp.receives(sid, count=len(CLIENT_IDS))]

    assert {token.claims["exp"] - token.claims["iat"] for token in tokens} == {120}


@pytest.mark.parametrize("lifetime", ["121", "0"])
def test_tokens_can_not_be_made_long_lived(tmp_path: Path, lifetime: str) -> None:
    """4: a lifetime of more than two minutes stops the start, and the variable is named."""
    environment = {"DISPATCHER_TOKEN_LIFETIME": lifetime}
    service = Service(tmp_path, [], environment=environment)

    with pytest.raises(RuntimeError) as stopped:
        service.start()

    assert service.process is not None
    assert service.process.wait() != 0
    assert "DISPATCHER_TOKEN_LIFETIME" in str(stopped.value)


def test_tokens_are_explicitly_typed(stage: Stage) -> None:
    """4.1: a token says that it is a logout token, unless its application can not bear that."""
    sid = unique("sid")
    stage.ends("plain", sid=sid)

    header = json.loads(urlsafe_b64decode(stage.told(sid).token.split(".")[0] + "=="))

    assert header["typ"] == "logout+jwt"


def test_token_is_signed_when_it_is_sent(stage: Stage) -> None:
    """4: a token is as fresh as the attempt that carries it: no time in a queue wears it out."""
    sid = unique("sid")
    stage.ends("plain", sid=sid)

    capture = stage.told(sid)

    assert stage.verified(capture).claims["exp"] >= capture.at + 115
