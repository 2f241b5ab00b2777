"""Deliveries: one event for one application's URI, until it is delivered or a person is told."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.domain.deliveries import (
    EXCERPT_BYTES,
    FIRST_ATTEMPTS_KEPT,
    LAST_ATTEMPTS_KEPT,
    SLOW_CAUSES,
    TRANSITIONS,
    Acknowledged,
    Cause,
    DeliveryState,
    Move,
    Outcome,
    OutcomeKind,
    Reason,
    Refused,
    Settlement,
    Unreachable,
    Withheld,
    decide,
    kind_of,
)
from dispatcher.domain.retry import RetryPolicy
from tests.domain.builders import HOUR, MINUTE, NOW, SECOND, a_delivery

POLICY = RetryPolicy()
WEEK = POLICY.horizon
REFUSED, ACKNOWLEDGED = Refused(status=400), Acknowledged(status=200)
UNREACHABLE = Unreachable(cause=Cause.CONNECT)
WITHHELD = Withheld(cause=Cause.SIGNER)

_CAUSES = st.sampled_from(Cause)
_UNREACHABLE = st.builds(
    Unreachable,
    cause=_CAUSES,
    status=st.none() | st.just(503),
    retry_after=st.none() | st.timedeltas(),
)
_OUTCOMES: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Acknowledged, status=st.integers(200, 299)),
    st.builds(Refused, status=st.integers(300, 499)),
    _UNREACHABLE,
    st.builds(Withheld, cause=_CAUSES),
)
_TRIES = st.integers(0, 10**12)
_JITTERS = st.floats(0, 1, exclude_max=True)
_AGES = st.timedeltas(timedelta(0), WEEK + HOUR)


def settled(
    outcome: Outcome,
    *,
    tries: int = 0,
    refusals: int = 0,
    age: timedelta = timedelta(0),
    jitter: float = 0,
) -> Settlement:
    """Decide on an outcome at a delivery's age."""
    delivery = a_delivery(tries=tries, refusals=refusals)
    return decide(outcome, delivery, policy=POLICY, now=NOW + age, jitter=jitter)


def put_off(wait: timedelta) -> Settlement:
    """Make the settlement of what is tried again after *wait*."""
    return Settlement(move=Move.PUT_OFF, due_at=NOW + wait)


def test_every_state_is_reachable_from_pending() -> None:
    """A delivery that is pending can come to every state, and every state is in the table."""
    reached = {DeliveryState.PENDING}
    for _ in DeliveryState:
        reached |= {state for known in reached for state in TRANSITIONS[known].values()}

    assert reached == set(DeliveryState) == set(TRANSITIONS)


def test_every_move_happens_to_some_state() -> None:
    """There is no move that nothing makes, and each leads to one state wherever it is made."""
    moves = [(move, to) for moves in TRANSITIONS.values() for move, to in moves.items()]

    assert {move for move, _ in moves} == set(Move)
    assert len(set(moves)) == len(Move)


def test_only_a_person_leaves_failed_and_cancelled() -> None:
    """Out of failed and cancelled only a person's retry leads, and nothing else is retried."""
    retried = {state for state, moves in TRANSITIONS.items() if Move.RETRIED in moves}

    assert retried == {DeliveryState.FAILED, DeliveryState.CANCELLED}
    assert all(TRANSITIONS[state] == {Move.RETRIED: DeliveryState.PENDING} for state in retried)


def test_delivered_is_final() -> None:
    """What is delivered stays delivered."""
    assert TRANSITIONS[DeliveryState.DELIVERED] == {}


def test_a_delivery_comes_to_an_end_only_in_flight() -> None:
    """Nothing that is pending is delivered or fails: it is claimed first, or called off."""
    assert TRANSITIONS[DeliveryState.PENDING] == {
        Move.CLAIMED: DeliveryState.IN_FLIGHT,
        Move.CALLED_OFF: DeliveryState.CANCELLED,
    }
    assert set(TRANSITIONS[DeliveryState.IN_FLIGHT].values()) == set(DeliveryState)


@given(st.lists(st.sampled_from(Move), max_size=20))
def test_any_path_keeps_to_the_table(moves: list[Move]) -> None:
    """By whatever moves, a settled delivery is only ever woken by a person."""
    state = DeliveryState.PENDING

    for move in moves:
        after = TRANSITIONS[state].get(move, state)
        woken = state.settled and not after.settled
        assert not woken or move is Move.RETRIED
        state = after


def test_three_states_are_settled() -> None:
    """Delivered, failed and cancelled are settled: nothing more happens by itself."""
    assert {state for state in DeliveryState if state.settled} == {
        DeliveryState.DELIVERED,
        DeliveryState.FAILED,
        DeliveryState.CANCELLED,
    }


@pytest.mark.parametrize(
    ("move", "state"),
    [
        (Move.ACKNOWLEDGED, DeliveryState.DELIVERED),
        (Move.PUT_OFF, DeliveryState.PENDING),
        (Move.RELEASED, DeliveryState.PENDING),
        (Move.GAVE_UP, DeliveryState.FAILED),
        (Move.CALLED_OFF, DeliveryState.CANCELLED),
    ],
)
def test_a_settlement_asks_the_table(move: Move, state: DeliveryState) -> None:
    """Where a settlement leads is what the table says of a delivery in flight."""
    assert Settlement(move=move).state is state


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (ACKNOWLEDGED, OutcomeKind.ACKNOWLEDGED),
        (REFUSED, OutcomeKind.REFUSED),
        (UNREACHABLE, OutcomeKind.UNREACHABLE),
        (WITHHELD, OutcomeKind.WITHHELD),
    ],
)
def test_every_outcome_has_its_name(outcome: Outcome, kind: OutcomeKind) -> None:
    """Every outcome has the name by which it is stored and shown."""
    assert kind_of(outcome) is kind


def test_there_is_no_fifth_outcome() -> None:
    """What is none of the four outcomes is a mistake of ours: neither named nor decided."""
    stranger: Any = "lost"

    with pytest.raises(AssertionError):
        kind_of(stranger)
    with pytest.raises(AssertionError):
        settled(stranger)


def test_a_delivery_begins_without_attempts() -> None:
    """A delivery begins untried and unrefused, and an acknowledgement is not flagged by itself."""
    delivery = a_delivery()

    assert (delivery.attempt_count, delivery.tries, delivery.refusals) == (0, 0, 0)
    assert (delivery.lease, delivery.ended_at, dict(delivery.session_metadata)) == (0, None, {})
    assert not ACKNOWLEDGED.flagged


def test_what_is_kept_of_attempts() -> None:
    """1 KiB of the latest answer is kept, and of many attempts the first 5 and the last 20."""
    assert (EXCERPT_BYTES, FIRST_ATTEMPTS_KEPT, LAST_ATTEMPTS_KEPT) == (1024, 5, 20)


@given(_OUTCOMES, _TRIES, _TRIES, _AGES, _JITTERS)
def test_every_outcome_is_decided(
    outcome: Outcome, tries: int, refusals: int, age: timedelta, jitter: float
) -> None:
    """Any outcome after any number of tries settles: pending with its time, or an end with none."""
    settlement = settled(outcome, tries=tries, refusals=refusals, age=age, jitter=jitter)

    pending = settlement.state is DeliveryState.PENDING
    assert (settlement.due_at is not None) is pending
    assert (settlement.reason is not None) is (settlement.state is DeliveryState.FAILED)
    assert (settlement.state is DeliveryState.DELIVERED) is isinstance(outcome, Acknowledged)


@given(_TRIES, _TRIES, _AGES, _JITTERS, st.booleans())
def test_an_acknowledgement_delivers(
    tries: int,
    refusals: int,
    age: timedelta,
    jitter: float,
    flagged: bool,  # noqa: FBT001 - Hypothesis gives it
) -> None:
    """2.8: what is acknowledged is delivered, whatever went before and however late."""
    outcome = Acknowledged(status=202 if flagged else 200, flagged=flagged)

    settlement = settled(outcome, tries=tries, refusals=refusals, age=age, jitter=jitter)

    assert settlement == Settlement(move=Move.ACKNOWLEDGED)


@given(_TRIES)
def test_the_first_refusal_waits_a_minute(tries: int) -> None:
    """What is refused for the first time is tried once more after 60 seconds, however it began."""
    assert settled(REFUSED, tries=tries) == put_off(MINUTE)


@given(_TRIES, st.integers(1, 10**12), _AGES)
def test_the_second_refusal_fails(tries: int, refusals: int, age: timedelta) -> None:
    """What is refused for the second time fails, with the reason refused."""
    settlement = settled(REFUSED, tries=tries, refusals=refusals, age=age)

    assert settlement == Settlement(move=Move.GAVE_UP, reason=Reason.REFUSED)


@given(_TRIES, _TRIES, _AGES, _JITTERS, _CAUSES)
def test_what_is_withheld_costs_nothing(
    tries: int, refusals: int, age: timedelta, jitter: float, cause: Cause
) -> None:
    """A fault of ours is tried again within a minute, without jitter, and past the horizon too."""
    settlement = settled(
        Withheld(cause=cause), tries=tries, refusals=refusals, age=age, jitter=jitter
    )

    assert settlement == put_off(age + POLICY.wait_withheld(age))


@given(st.integers(0, 20), _TRIES, st.sampled_from(sorted(set(Cause) - SLOW_CAUSES)))
def test_the_unreachable_follows_the_schedule(tries: int, refusals: int, cause: Cause) -> None:
    """What is unreachable waits as the schedule says after this try."""
    settlement = settled(Unreachable(cause=cause), tries=tries, refusals=refusals)

    assert settlement == put_off(POLICY.wait_after(tries + 1))


@pytest.mark.parametrize("cause", [Cause.CERTIFICATE, Cause.BLOCKED])
def test_what_a_person_mends_is_tried_slowly(cause: Cause) -> None:
    """A bad certificate and a blocked address are tried at the slow tail from the first time on."""
    assert settled(Unreachable(cause=cause)) == put_off(5 * MINUTE)
    assert settled(Unreachable(cause=cause), tries=50) == put_off(HOUR)


@pytest.mark.parametrize(
    ("wish", "wait"), [(SECOND / 2, SECOND), (MINUTE, MINUTE), (HOUR, 15 * MINUTE)]
)
def test_a_wish_makes_it_later(wish: timedelta, wait: timedelta) -> None:
    """Retry-After makes the next try later, by 15 minutes at most."""
    outcome = Unreachable(cause=Cause.STATUS, status=503, retry_after=wish)

    assert settled(outcome) == put_off(wait)


@given(_UNREACHABLE | st.just(REFUSED), _TRIES, _AGES, _JITTERS)
def test_jitter_only_ever_makes_it_later(
    outcome: Outcome, tries: int, age: timedelta, jitter: float
) -> None:
    """Jitter makes the wait longer, by a fifth at most, and decides nothing else."""
    steady = settled(outcome, tries=tries, age=age)

    jittered = settled(outcome, tries=tries, age=age, jitter=jitter)

    assert (jittered.move, jittered.reason) == (steady.move, steady.reason)
    if steady.due_at is not None and jittered.due_at is not None:
        wait = steady.due_at - (NOW + age)
        assert timedelta(0) <= jittered.due_at - steady.due_at <= wait * 0.2


def test_jitter_spreads_over_a_fifth() -> None:
    """Half the jitter makes the wait a tenth longer, whether refused or unreachable."""
    assert settled(REFUSED, jitter=0.5) == put_off(MINUTE * 1.1)
    assert settled(UNREACHABLE, tries=3, jitter=0.5) == put_off(MINUTE * 1.1)


@given(_UNREACHABLE | st.just(REFUSED), _TRIES, _AGES, _JITTERS)
def test_nothing_is_planned_after_the_horizon(
    outcome: Outcome, tries: int, age: timedelta, jitter: float
) -> None:
    """Until the horizon it is tried again, at the horizon for the last time, and then it fails."""
    settlement = settled(outcome, tries=tries, age=age, jitter=jitter)

    if age >= WEEK:
        assert settlement == Settlement(move=Move.GAVE_UP, reason=Reason.HORIZON)
    else:
        assert settlement.move is Move.PUT_OFF
        assert settlement.due_at is not None
        assert NOW + age < settlement.due_at <= NOW + WEEK


def test_the_last_try_is_at_the_horizon() -> None:
    """A wait that would lead past the horizon ends at it, and what fails there has failed."""
    nearly = WEEK - 10 * MINUTE

    assert settled(UNREACHABLE, tries=90, age=nearly) == put_off(WEEK)
    assert settled(UNREACHABLE, tries=91, age=WEEK) == Settlement(
        move=Move.GAVE_UP, reason=Reason.HORIZON
    )


def test_the_horizon_counts_from_when_it_was_last_started() -> None:
    """A retry by a person restarts the horizon: it counts from started_at, not from created_at."""
    delivery = a_delivery(created_at=NOW - 2 * WEEK, started_at=NOW, attempt_count=200)

    settlement = decide(UNREACHABLE, delivery, policy=POLICY, now=NOW, jitter=0)

    assert settlement == put_off(SECOND)
