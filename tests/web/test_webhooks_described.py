"""Whatever a source of any format is answered, the document knows."""

import json
from collections.abc import Mapping
from typing import Any

import httpx2
import pytest
from openapi_schema_validator import OAS31Validator

from dispatcher.domain.sources import Issuer, SourceFormat
from dispatcher.web.openapi import DOCUMENT
from tests.kit.transmitter import AUDIENCE, CAEP, ISSUER, Transmitter, a_set, signed
from tests.web.face import Face
from tests.web.recorded import BEARER, TOKEN, auth0_event, auth0_log

PLAIN: dict[str, Any] = json.loads(json.dumps(DOCUMENT))
WEBHOOK = PLAIN["paths"]["/webhooks/{source}"]["post"]
ENVELOPE = {"specversion": "1.0", "source": "/idp", "data": {"initiator": "x", "sid": "s-1"}}
ENDED, ORDERED = ({**ENVELOPE, "id": kind, "type": kind} for kind in ("session.ended", "order"))
STRUCTURED, BATCHED = "application/cloudevents+json", "application/cloudevents-batch+json"
PUSHED = {"content-type": "application/secevent+jwt"}


def judge(schema: Mapping[str, Any], told: object) -> None:
    """See that *told* is as the document describes it."""
    faults = OAS31Validator({**schema, "components": PLAIN["components"]}).iter_errors(told)
    assert list(faults) == []


def judge_answer(answer: httpx2.Response) -> int:
    """See that the document knows this answer, its media type and all of its members."""
    content = WEBHOOK["responses"][str(answer.status_code)].get("content", {})
    if answer.content:
        judge(content[answer.headers["content-type"]]["schema"], answer.json())
    return answer.status_code


@pytest.mark.parametrize(
    ("media_type", "told"),
    [(STRUCTURED, ENDED), (STRUCTURED, ORDERED), (BATCHED, [ENDED, ORDERED]), (BATCHED, [])],
)
async def test_cloud_events_are_described(face: Face, media_type: str, told: object) -> None:
    """What an event bus sends, what is taken and what is passed over, is in the document."""
    await face.knows("bus", SourceFormat.CLOUDEVENTS, bearer_tokens=(TOKEN,))
    judge(WEBHOOK["requestBody"]["content"][media_type]["schema"], told)

    answer = await face.posts("bus", told, {**BEARER, "content-type": media_type})

    assert judge_answer(answer) == 202


@pytest.mark.parametrize(
    ("kind", "told", "status"),
    [
        (SourceFormat.AUTH0_EVENT_STREAM, auth0_event("user.deleted"), 202),
        (SourceFormat.AUTH0_EVENT_STREAM, auth0_event("user.created"), 204),
        (SourceFormat.AUTH0_LOG_STREAM, [auth0_log("s"), auth0_log("slo", "log-2")], 202),
        (SourceFormat.AUTH0_LOG_STREAM, [auth0_log("fp")], 204),
        (SourceFormat.AUTH0_LOG_STREAM, "", 400),
    ],
)
async def test_the_answers_to_others_are_described(
    face: Face, kind: SourceFormat, told: object, status: int
) -> None:
    """What those are answered who tell in words of their own is in the document."""
    await face.knows("other", kind, bearer_tokens=(TOKEN,))

    assert judge_answer(await face.posts("other", told, BEARER)) == status


async def test_the_answers_to_a_token_are_described(face: Face) -> None:
    """What a transmitter is answered, let in or not, is in the document."""
    async with Transmitter() as op:
        issuer = Issuer(issuer=ISSUER, jwks_uri=op.uri, expected_aud=AUDIENCE)
        await face.knows("ssf", SourceFormat.SET, issuer=issuer)
        event = signed(a_set(f"{CAEP}session-revoked"), op.keys[0])
        answers = [
            await face.posts("ssf", body, headers)
            for body, headers in (
                (event.encode(), PUSHED),
                (b"no token", PUSHED),
                (b"x" * (1 << 20) + b"x", PUSHED),
                (event.encode(), {**PUSHED, "content-encoding": "gzip"}),
            )
        ]

    assert [judge_answer(answer) for answer in answers] == [202, 400, 413, 415]
