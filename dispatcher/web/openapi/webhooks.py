"""The path at which sources tell of events, each in the words of its format."""

from collections.abc import Mapping

from dispatcher.web.formats import cloudevents, security_event
from dispatcher.web.openapi.operations import (
    JSON,
    PROBLEM,
    REASONS,
    Operation,
    answer,
    answer_in,
    content_of,
    in_path,
    operation,
    refused,
)
from dispatcher.web.openapi.shapes import TEXT, Schema, array, ref

_INTAKE = {"anyOf": [ref("SessionEnded"), ref("SessionJoined")]}
_BODIES: Mapping[str, Schema] = {
    JSON: {"anyOf": [_INTAKE, array(_INTAKE, minItems=1, maxItems=1000)]},
    cloudevents.STRUCTURED: ref("CloudEvent"),
    cloudevents.BATCHED: array(ref("CloudEvent"), maxItems=1000),
    security_event.MEDIA_TYPE: TEXT,
}
_TOLD = {"anyOf": [ref("Accepted"), ref("PassedOver")]}
_OF_A_TOKEN = (400, 408, 413, 415)
"""What is answered as RFC 8935 says where a token was pushed, and else as a problem."""

WEBHOOKS: Mapping[str, Mapping[str, Operation]] = {
    "/webhooks/{source}": {
        "post": operation(
            "Tell of a session's end, or of a login, or of up to 1,000 of them",
            tag="sources",
            description=(
                "The answer comes when it is on disk. A repeat gets the same answer. The body is"
                " that of the source's format: JSON as described for a native one, and as their"
                " senders have it for Auth0 and Keycloak."
            ),
            parameters=[
                in_path("source", TEXT),
                {
                    "name": "Prefer",
                    "in": "header",
                    "description": "`wait=N`: answer with the first outcomes, within N seconds.",
                    "schema": TEXT,
                },
            ],
            request={"required": True, "content": content_of(_BODIES)},
            answers={
                200: answer("The first outcomes, where they were waited for.",
                            ref("FirstOutcomes")),
                202: answer("On disk. Without a body where a token was pushed.",
                            {"anyOf": [_TOLD, array(_TOLD)]}),
                204: answer("Nothing of what Auth0 or Keycloak told is of use here."),
                **refused(401, 403, 404, 409, 503, error="Problem", media_type=PROBLEM),
                **{
                    status: answer_in(
                        REASONS[status], {PROBLEM: ref("Problem"), JSON: ref("TokenRefused")}
                    )
                    for status in _OF_A_TOKEN
                },
            },
            security=[{"webhookSignature": []}, {"sourceToken": []}],
        ),
        "options": operation(
            "Ask whether events may be sent, as CloudEvents' webhooks do",
            tag="sources",
            parameters=[in_path("source", TEXT)],
            answers={200: answer("They may, as WebHook-Allowed-Origin and -Rate say.")},
            security=[],
        ),
    },
}  # fmt: skip
