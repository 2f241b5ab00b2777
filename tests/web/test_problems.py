"""Errors: one status for each code, one shape for each place."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.responses import Response

from dispatcher.domain.errors import (
    Conflict,
    DiskReserve,
    DispatcherError,
    Fault,
    InvalidApplication,
    InvalidEvent,
    InvalidSettings,
    Unauthenticated,
)
from dispatcher.web.problems import STATUS, InvalidQuery, render

PROBLEM, AUTH0 = "/webhooks/idp", "/api/v2/clients"


def every_error(kind: type[DispatcherError] = DispatcherError) -> Iterator[type[DispatcherError]]:
    """Return every kind of error that a door may raise; commands have some of their own."""
    yield kind
    for narrower in kind.__subclasses__():
        if narrower.__module__ == DispatcherError.__module__ or "web" in narrower.__module__:
            yield from every_error(narrower)


def shown(answer: Response) -> Any:
    """Return the document that an answer holds."""
    return json.loads(bytes(answer.body))


@pytest.mark.parametrize("kind", [*every_error()], ids=lambda kind: kind.__name__)
def test_every_error_has_a_status(kind: type[DispatcherError]) -> None:
    """The table knows every code; a 500 is only what no caller can mend, nor time."""
    status = STATUS[kind.code]

    assert (status == 500) is (kind.code in {"internal", "invalid_settings"})


@pytest.mark.parametrize("path", [PROBLEM, AUTH0])
def test_what_is_wrong_with_our_settings_is_nobody_elses(path: str) -> None:
    """Settings that turn out wrong at work are a fault of ours: 5xx, and no word of them."""
    answer = render(InvalidSettings([Fault("DISPATCHER_MASTER_KEY", "KANARI")]), path=path)

    assert answer.status_code == 500
    assert b"KANARI" not in bytes(answer.body)


def test_a_problem_names_its_faults() -> None:
    """Outside the management API an error is a problem document (RFC 9457)."""
    faults = [Fault("[1].sid", "is required"), Fault("[2]", "is null, expected an object")]

    answer = render(InvalidEvent(faults), path=PROBLEM)

    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert shown(answer) == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "[1].sid: is required (and 1 more, see errors)",
        "code": "invalid_event",
        "errors": [
            {"field": "[1].sid", "message": "is required"},
            {"field": "[2]", "message": "is null, expected an object"},
        ],
    }


def test_the_management_api_speaks_as_auth0_does() -> None:
    """Under /api/v2 an error has Auth0's shape, and all faults in a member beside it."""
    faults = [Fault("name", "is required"), Fault("client_id", "is required")]

    answer = render(InvalidApplication(faults), path=AUTH0)

    assert answer.headers["content-type"] == "application/json"
    assert shown(answer) == {
        "statusCode": 400,
        "error": "Bad Request",
        "message": "Payload validation error: 'is required' on property name.",
        "errorCode": "invalid_body",
        "errors": [
            {"field": "name", "message": "is required"},
            {"field": "client_id", "message": "is required"},
        ],
    }


def test_a_bad_query_is_told_from_a_bad_payload() -> None:
    """Auth0 has another code and another text for the query."""
    answer = shown(render(InvalidQuery([Fault("take", "must be a whole number")]), path=AUTH0))

    assert answer["errorCode"] == "invalid_query_string"
    assert answer["message"] == "Query validation error: 'must be a whole number' on property take."


def test_a_fault_of_ours_says_when_to_come_again() -> None:
    """A 503 carries Retry-After."""
    answer = render(DiskReserve(), path=PROBLEM)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")


def test_a_401_names_the_scheme() -> None:
    """A 401 carries WWW-Authenticate (RFC 9110 section 15.5.2)."""
    answer = render(Unauthenticated(), path=PROBLEM)

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize("error", [ValueError("secret"), DispatcherError("secret")])
@pytest.mark.parametrize("path", [PROBLEM, AUTH0])
def test_what_is_not_ours_to_explain_shows_nothing(error: Exception, path: str) -> None:
    """An unforeseen error is ``internal``, and its text stays inside."""
    answer = render(error, path=path)

    assert answer.status_code == 500
    assert b"internal" in bytes(answer.body)
    assert b"secret" not in bytes(answer.body)


def test_an_answer_does_not_grow_with_what_was_sent() -> None:
    """Very many faults with very long names make an answer of bounded size."""
    faults = [Fault(f"{'x' * 5000}{number}", "is not a known member") for number in range(5000)]

    answer = render(InvalidEvent(faults), path=PROBLEM)

    assert len(answer.body) < 100_000
    assert shown(answer)["errors"][-1] == {"field": "", "message": "and 4800 more faults"}


def test_what_was_escaped_can_be_written_again() -> None:
    """A name with half a surrogate pair in it is shown escaped, and breaks nothing."""
    answer = render(InvalidEvent([Fault("\ud800", "is not a known member")]), path=PROBLEM)

    assert b'"field":"\\ud800"' in bytes(answer.body)


def test_a_conflict_is_told_in_its_own_words() -> None:
    """An error that is no list of faults says what it says."""
    answer = shown(render(Conflict("[3]: was told differently"), path=PROBLEM))

    assert (answer["detail"], answer["code"]) == ("[3]: was told differently", "conflict")
    assert "errors" not in answer
