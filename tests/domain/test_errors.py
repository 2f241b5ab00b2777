"""Errors: what may be wrong with a request, or with us."""

import re

import pytest

from dispatcher.domain import errors
from dispatcher.domain.errors import DispatcherError, Fault, Invalid, InvalidEvent, NotFound


def every_error() -> list[type[DispatcherError]]:
    """List every class of error."""
    return [
        one
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, DispatcherError)
    ]


def test_codes_tell_errors_apart() -> None:
    """Every error has a code of its own, in lower case and underscores."""
    codes = [error.code for error in every_error()]

    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z_]+", code) for code in codes)


def test_the_tree_is_the_documentation() -> None:
    """The chapter's tree names every error, each with the code that it has."""
    tree = (errors.__doc__ or "").splitlines()

    listed = [re.split(r"\s{2,}", line.strip("│├└─ ")) for line in tree if "─" in line]

    codes = {name: code for name, code in listed if not code.startswith("(")}
    named = {error.__name__: error.code for error in every_error()}
    assert {name for name, _ in listed} | {"DispatcherError"} == set(named)
    assert codes == {name: named[name] for name in codes}


@pytest.mark.parametrize("error", [one for one in every_error() if not issubclass(one, Invalid)])
def test_an_error_explains_itself(error: type[DispatcherError]) -> None:
    """An error says what its class means, unless it is given better words."""
    assert error().message == error.__doc__ == str(error())
    assert error("The shop is closed.").message == "The shop is closed."


def test_an_invalid_input_names_every_fault() -> None:
    """An invalid input tells of all its faults, each with its field."""
    faults = [Fault("sub", "is required"), Fault("", "is a string, expected an object")]

    error = InvalidEvent(faults)

    assert error.faults == tuple(faults)
    assert str(error) == "sub: is required; is a string, expected an object"


def test_a_fault_of_ours_says_when_to_come_back() -> None:
    """A fault of ours says after how many seconds the same request may be sent again."""
    waits = {
        error.code: error.retry_after_seconds
        for error in every_error()
        if issubclass(error, errors.Unavailable)
    }

    assert waits == {
        "unavailable": 5,
        "store_unavailable": 5,
        "disk_reserve": 30,
        "clock_in_doubt": 30,
        "issuer_unavailable": 15,
    }
    assert not issubclass(NotFound, errors.Unavailable)
