"""How an operation is described, and what each of a kind has in common."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from dispatcher.domain.ledger import MOST_PER_PAGE
from dispatcher.domain.sources import Scope
from dispatcher.web.openapi.shapes import FLAG, IDENTIFIER, TEXT, Schema, ref

Operation: TypeAlias = Mapping[str, object]
Parameter: TypeAlias = Mapping[str, object]
Answers: TypeAlias = Mapping[int, object]

JSON = "application/json"
PROBLEM = "application/problem+json"
FORM = "application/x-www-form-urlencoded"
REASONS: Mapping[int, str] = {
    400: "The request is faulty: every fault is named.",
    401: "Nobody has proved who this is.",
    403: "Who this is may not do this.",
    404: "There is no such thing.",
    408: "The body did not come in time.",
    409: "This contradicts what is stored.",
    413: "The body is too large.",
    415: "The body is of another media type.",
    429: "Too many wrong secrets came from here: Retry-After says when to come again.",
    503: "A fault of ours: Retry-After says when to come again.",
}
_OF_A_BODY = (400, 408, 413, 415)


def in_path(name: str, schema: Schema = IDENTIFIER) -> Parameter:
    """Return a parameter of the path; percent-encoded, it may hold a slash."""
    return {"name": name, "in": "path", "required": True, "schema": schema}


def in_query(name: str, schema: Schema = TEXT) -> Parameter:
    """Return a parameter of the query."""
    return {"name": name, "in": "query", "schema": schema}


def cursor() -> list[Parameter]:
    """Return the two parameters of a list that is read from one page to the next."""
    take: Schema = {"type": "integer", "minimum": 1, "maximum": MOST_PER_PAGE}
    return [in_query("from"), in_query("take", take)]


def members() -> list[Parameter]:
    """Return the two parameters that choose members of a client."""
    return [in_query("fields"), in_query("include_fields", FLAG)]


def body(schema: Schema, *media_types: str) -> Mapping[str, object]:
    """Return a request's body, which is JSON unless it is said to be something else."""
    return {"required": True, "content": content_of(dict.fromkeys(media_types or (JSON,), schema))}


def content_of(schemas: Mapping[str, Schema]) -> Mapping[str, object]:
    """Return what a body may hold, by its media type."""
    return {media_type: {"schema": schema} for media_type, schema in schemas.items()}


def answer(description: str, schema: Schema | None = None, media_type: str = JSON) -> object:
    """Return what an answer is described by."""
    if schema is None:
        return {"description": description}
    return answer_in(description, {media_type: schema})


def answer_in(description: str, schemas: Mapping[str, Schema]) -> object:
    """Return what an answer is described by that comes in one of several media types."""
    return {"description": description, "content": content_of(schemas)}


def operation(
    summary: str,
    *,
    tag: str,
    answers: Answers,
    parameters: Iterable[Parameter] = (),
    request: Mapping[str, object] | None = None,
    **more: object,
) -> Operation:
    """Describe one operation."""
    described: dict[str, object] = {"summary": summary, "tags": [tag]}
    if parameters:
        described["parameters"] = [*parameters]
    if request is not None:
        described["requestBody"] = request
    responses = {str(status): answers[status] for status in sorted(answers)}
    return {**described, **more, "responses": responses}


def api(
    summary: str,
    scope: Scope,
    *,
    tag: str,
    answers: Answers,
    refusals: Iterable[int] = (),
    parameters: Iterable[Parameter] = (),
    request: Mapping[str, object] | None = None,
) -> Operation:
    """Describe one operation of the management API, and all by which it may be refused."""
    of_body = _OF_A_BODY if request is not None else ()
    return operation(
        summary,
        tag=tag,
        answers={**answers, **refused(401, 403, 503, *of_body, *refusals)},
        parameters=parameters,
        request=request,
        security=[{"accessToken": [scope.value]}],
        description=f"Scope: `{scope.value}`.",
    )


def refused(*statuses: int, error: str = "Auth0Error", media_type: str = JSON) -> Answers:
    """Return the refusals by *statuses*."""
    return {status: answer(REASONS[status], ref(error), media_type) for status in statuses}
