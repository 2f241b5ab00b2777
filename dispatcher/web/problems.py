"""What an error becomes in an answer: the only table from code to status, and the two shapes.

Under ``/api/v2`` errors have Auth0's shape, so that its SDKs understand them; elsewhere they are
problem details (RFC 9457). An error that is not ours to explain is ``internal`` and shows nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from http import HTTPStatus

from starlette.responses import Response

from dispatcher.domain.errors import (
    DispatcherError,
    Fault,
    Invalid,
    NotFound,
    Unavailable,
)
from dispatcher.web.answers import NO_STORE, json_answer

API = "/api/v2"

STATUS: Mapping[str, int] = {
    "invalid": 400,
    "invalid_event": 400,
    "invalid_client_metadata": 400,
    "invalid_body": 400,
    "invalid_query_string": 400,
    "invalid_issuer": 400,
    "invalid_audience": 400,
    "invalid_token": 401,
    "insufficient_scope": 403,
    "operation_not_supported": 403,
    "not_found": 404,
    "inexistent_client": 404,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "conflict": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "internal": 500,
    "invalid_settings": 500,
    "unavailable": 503,
    "store_unavailable": 503,
    "disk_reserve": 503,
    "clock_in_doubt": 503,
    "issuer_unavailable": 503,
}
"""The status of every error code, those of ``domain.errors`` and the face's own.

Settings that turn out wrong while the service runs are our operator's, not the caller's.
"""

_AUTH0_CODES: Mapping[str, str] = {"invalid_client_metadata": "invalid_body"}
"""Where Auth0 has another name for one of our codes."""

_MOST_FAULTS = 200
_LONGEST_FIELD = 200


class InvalidBody(Invalid):
    """The body is not what is expected here."""

    code = "invalid_body"


class InvalidQuery(Invalid):
    """The query is not what is expected here."""

    code = "invalid_query_string"


class InexistentClient(NotFound):
    """The client does not exist"""  # noqa: D400 - Auth0's own words, without a full stop

    code = "inexistent_client"


class MethodNotAllowed(DispatcherError):
    """This can not be done here."""

    code = "method_not_allowed"

    def __init__(self, allowed: Collection[str]) -> None:
        self.allowed = allowed
        super().__init__()


class BodyTooSlow(DispatcherError):
    """The body did not come in time."""

    code = "request_timeout"


class NotOverTheApi(DispatcherError):
    """This is accepted from the declarative file only."""

    code = "operation_not_supported"


def is_internal(error: Exception) -> bool:
    """Whether *error* is one that nobody outside can make anything of."""
    return not isinstance(error, DispatcherError) or STATUS.get(error.code, 500) == 500  # noqa: PLR2004 - a status


def render(error: Exception, *, path: str) -> Response:
    """Answer with *error* in the shape that belongs to *path*."""
    told = error if isinstance(error, DispatcherError) and not is_internal(error) else _INTERNAL
    status = STATUS[told.code]
    shape = _as_auth0 if path.startswith(f"{API}/") else _as_problem
    return json_answer(
        shape(told, status),
        status=status,
        headers={**NO_STORE, **_headers(told, status)},
        media_type="application/json" if shape is _as_auth0 else "application/problem+json",
    )


_INTERNAL = DispatcherError("Something went wrong here; it has been logged.")


def _headers(error: DispatcherError, status: int) -> dict[str, str]:
    if isinstance(error, Unavailable):
        return {"retry-after": str(error.retry_after_seconds)}
    if isinstance(error, MethodNotAllowed):
        return {"allow": ", ".join(error.allowed)}
    if isinstance(error, BodyTooSlow):
        # What is left of the body is not waited for: this ends the connection (RFC 9110, 15.5.9).
        return {"connection": "close"}
    return {"www-authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}


def _as_problem(error: DispatcherError, status: int) -> dict[str, object]:
    problem: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": _detail(error),
        "code": error.code,
    }
    if isinstance(error, Invalid):
        problem["errors"] = _errors(error.faults)
    return problem


def _as_auth0(error: DispatcherError, status: int) -> dict[str, object]:
    answer: dict[str, object] = {
        "statusCode": status,
        "error": HTTPStatus(status).phrase,
        "message": _auth0_message(error),
        "errorCode": _AUTH0_CODES.get(error.code, error.code),
    }
    if isinstance(error, Invalid):
        answer["errors"] = _errors(error.faults)
    return answer


def _detail(error: DispatcherError) -> str:
    if not isinstance(error, Invalid):
        return error.message
    more = len(error.faults) - 1
    return _first(error.faults) + (f" (and {more} more, see errors)" if more else "")


def _first(faults: Sequence[Fault]) -> str:
    return str(Fault(_short(faults[0].field), faults[0].message))


def _auth0_message(error: DispatcherError) -> str:
    if not isinstance(error, Invalid):
        return error.message
    what = "Query" if isinstance(error, InvalidQuery) else "Payload"
    first = error.faults[0]
    where = f" on property {_short(first.field)}" if first.field else ""
    return f"{what} validation error: '{first.message}'{where}."


def _errors(faults: Sequence[Fault]) -> list[dict[str, str]]:
    told = [{"field": _short(fault.field), "message": fault.message} for fault in faults]
    if len(told) <= _MOST_FAULTS:
        return told
    rest = f"and {len(told) - _MOST_FAULTS} more faults"
    return [*told[:_MOST_FAULTS], {"field": "", "message": rest}]


def _short(field: str) -> str:
    return field if len(field) <= _LONGEST_FIELD else f"{field[:_LONGEST_FIELD]}…"
