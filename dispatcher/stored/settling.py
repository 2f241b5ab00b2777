"""Settling: what is written of an attempt, and where its delivery goes."""

from typing import assert_never

from dispatcher.domain.deliveries import (
    EXCERPT_BYTES,
    Acknowledged,
    Attempt,
    DeliveryState,
    Outcome,
    Refused,
    Settled,
    Unreachable,
    Withheld,
    kind_of,
)
from dispatcher.domain.value_objects import value_object
from dispatcher.stored.lanes import NOT_SENT
from dispatcher.stored.values import micros, micros_of, printable


@value_object(frozen=True, slots=True)
class Held:
    """A delivery whose lease is still ours, as it lies in the store."""

    number: int
    uri: str
    client_id: str
    attempt_count: int


def ended(settled: Settled) -> Outcome | None:
    """Return how the attempt ended, for its lane."""
    return NOT_SENT if settled.attempt is None else settled.attempt.outcome


def counts(attempt: Attempt | None) -> bool:
    """Whether it was an attempt: what a fault of ours kept back costs the application nothing."""
    return attempt is not None and not isinstance(attempt.outcome, Withheld)


def row_of_attempt(held: Held, attempt: Attempt) -> list[object]:
    """Return *attempt* as a row: whose, its number, start, duration, outcome and the rest."""
    status, error = _status_and_error(attempt.outcome)
    return [
        held.number,
        held.attempt_count + 1,
        micros(attempt.started_at),
        micros_of(attempt.duration),
        kind_of(attempt.outcome),
        status,
        error,
        attempt.jti,
        attempt.kid,
    ]


def _status_and_error(outcome: Outcome) -> tuple[int | None, str | None]:
    match outcome:
        case Acknowledged() | Refused():
            return outcome.status, None
        case Unreachable():
            return outcome.status, _error(outcome)
        case Withheld():
            return None, _error(outcome)
        case _:
            assert_never(outcome)


def _error(outcome: Unreachable | Withheld) -> str:
    detail = printable(outcome.detail)
    return f"{outcome.cause}: {detail}" if detail else str(outcome.cause)


def state_after(held: Held, settled: Settled) -> DeliveryState:
    """Return where the delivery goes.

    Where its URI was replaced while it was in flight, whatever ended it without an acknowledgement
    was about the old one: the new one has yet to be told.
    """
    state = settled.settlement.state
    if held.uri != settled.delivery.uri and state is not DeliveryState.DELIVERED:
        return DeliveryState.PENDING
    return state


def counted(attempt: Attempt | None) -> tuple[int, int, str | None]:
    """Return what an attempt adds to the counts of attempts and refusals, and its excerpt."""
    if attempt is None or not counts(attempt):
        return 0, 0, None
    return 1, int(isinstance(attempt.outcome, Refused)), _excerpt(attempt.outcome)


def _excerpt(outcome: Outcome) -> str | None:
    if isinstance(outcome, Withheld) or not outcome.excerpt:
        return None
    return printable(outcome.excerpt[:EXCERPT_BYTES].decode("utf-8", "replace"))
