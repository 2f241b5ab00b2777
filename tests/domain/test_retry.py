"""When a delivery is tried again."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.domain.retry import SCHEDULE, RetryPolicy
from tests.domain.builders import HOUR, MINUTE, SECOND

_TRIES = st.integers(1, 10**30)
_WISHES = st.none() | st.timedeltas()
LONGEST_WISH = 15 * MINUTE


def test_the_schedule_is_front_loaded_and_then_patient() -> None:
    """After each try in vain the wait grows, from a second to an hour, which then repeats."""
    policy = RetryPolicy()

    waits = [policy.wait_after(tries) for tries in range(1, 11)]

    assert waits == [
        1 * SECOND,
        5 * SECOND,
        15 * SECOND,
        60 * SECOND,
        5 * MINUTE,
        15 * MINUTE,
        30 * MINUTE,
        1 * HOUR,
        1 * HOUR,
        1 * HOUR,
    ]


def test_the_policy_has_its_defaults() -> None:
    """A policy follows its schedule for a week, and gives a refusal one more chance in a minute."""
    assert RetryPolicy() == RetryPolicy(
        horizon=timedelta(days=7),
        schedule=SCHEDULE,
        slow_tail=5 * MINUTE,
        longest_retry_after=LONGEST_WISH,
        after_refusal=MINUTE,
        second_chances=1,
        shortest_withheld=SECOND,
        longest_withheld=MINUTE,
        jitter=0.2,
    )


@given(_TRIES)
def test_any_number_of_tries_has_its_wait(tries: int) -> None:
    """However often it was tried, the wait is one of the schedule's, and never shrinks."""
    wait = RetryPolicy().wait_after(tries)

    assert wait in SCHEDULE
    assert wait <= RetryPolicy().wait_after(tries + 1)


@given(_TRIES, _WISHES, st.booleans())
def test_a_wish_only_ever_makes_it_later(
    tries: int,
    wish: timedelta | None,
    slow: bool,  # noqa: FBT001 - Hypothesis gives it
) -> None:
    """Retry-After never makes it earlier than the schedule, nor by itself later than 15 minutes."""
    policy = RetryPolicy()
    scheduled = policy.wait_after(tries, slow=slow)

    wait = policy.wait_after(tries, slow=slow, retry_after=wish)

    assert scheduled <= wait <= max(scheduled, LONGEST_WISH)
    assert wait == scheduled or wait == min(wish or wait, LONGEST_WISH)


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        (None, SECOND),
        (timedelta(0), SECOND),
        (-HOUR, SECOND),
        (MINUTE, MINUTE),
        (LONGEST_WISH, LONGEST_WISH),
        (HOUR, LONGEST_WISH),
    ],
)
def test_a_wish_is_followed_within_its_bounds(wish: timedelta | None, expected: timedelta) -> None:
    """RFC 9110 section 10.2.3: Retry-After is followed where it is later, up to 15 minutes."""
    assert RetryPolicy().wait_after(1, retry_after=wish) == expected


@given(_TRIES)
def test_the_slow_tail_skips_the_front(tries: int) -> None:
    """What only a person mends is tried at the slow tail from the first time on."""
    policy = RetryPolicy()

    assert policy.wait_after(tries, slow=True) == max(policy.wait_after(tries), 5 * MINUTE)


@pytest.mark.parametrize(
    ("age", "wait"),
    [
        (timedelta(0), SECOND),
        (8 * SECOND, SECOND),
        (MINUTE, 7.5 * SECOND),
        (8 * MINUTE, MINUTE),
        (HOUR * 168, MINUTE),
        (-HOUR, SECOND),
    ],
)
def test_what_is_withheld_waits_longer_and_longer(age: timedelta, wait: timedelta) -> None:
    """After a fault of ours the wait is an eighth of the age, from a second to a minute."""
    assert RetryPolicy().wait_withheld(age) == wait


def test_a_fault_that_lasts_is_met_ever_more_rarely() -> None:
    """In its first hour a delivery that is withheld each time is tried less than 100 times."""
    age, tries = timedelta(0), 0
    while age < HOUR:
        age += RetryPolicy().wait_withheld(age)
        tries += 1

    assert 60 < tries < 100


@given(_TRIES, _WISHES, st.booleans())
def test_no_wait_is_longer_than_the_longest(
    tries: int,
    wish: timedelta | None,
    slow: bool,  # noqa: FBT001 - Hypothesis gives it
) -> None:
    """Whatever went before, and whoever wished for it, a wait with its jitter has its bound."""
    policy = RetryPolicy()

    wait = policy.wait_after(tries, slow=slow, retry_after=wish)

    assert wait * (1 + policy.jitter) <= policy.longest_wait
