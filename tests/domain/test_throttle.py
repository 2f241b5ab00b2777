"""Guessing secrets: whoever guesses waits, and nobody else does."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.domain.throttle import OF_ADDRESS, OF_CLIENT_AT_ADDRESS, Guesses, Meter
from tests.domain.builders import MINUTE, SECOND
from tests.kit.clock import NOON

HERE, ELSEWHERE = "192.0.2.1", "198.51.100.7"
NOTHING = timedelta()


def guess(guesses: Guesses, *names: str, times: int, address: str = HERE) -> list[timedelta]:
    """Try so many wrong secrets of each client; return how long each had to wait."""
    return [wrong(guesses, name, address) for _ in range(times) for name in names]


def wrong(guesses: Guesses, client_id: str, address: str = HERE, now: datetime = NOON) -> timedelta:
    """Try a wrong secret; return how long that had to wait, and so was not tried."""
    guess = guesses.begin(client_id, address, now)
    if not guess.wait:
        guesses.wrong(guess, now)
    return guess.wait


def right(guesses: Guesses, client_id: str, address: str = HERE, now: datetime = NOON) -> timedelta:
    """Try the right secret; return how long that had to wait, and so was not tried."""
    guess = guesses.begin(client_id, address, now)
    if not guess.wait:
        guesses.proved(guess)
    return guess.wait


def test_a_few_wrong_secrets_are_nothing() -> None:
    """People mistype: the first ten wrong secrets of a client from one address cost no wait."""
    waits = guess(Guesses(), "ops", times=10)

    assert waits == [NOTHING] * 10


def test_after_that_one_waits() -> None:
    """The eleventh has to wait until the first has worn off."""
    guesses = Guesses()
    guess(guesses, "ops", times=10)

    assert wrong(guesses, "ops") == OF_CLIENT_AT_ADDRESS.wears_off
    assert wrong(guesses, "ops", now=NOON + 6 * SECOND) == NOTHING
    assert wrong(guesses, "ops", now=NOON + 6 * SECOND) == 6 * SECOND


def test_to_be_refused_is_not_counted() -> None:
    """Whoever goes on asking while it has to wait does not wait longer for it."""
    guesses = Guesses()
    guess(guesses, "ops", times=1000)

    assert right(guesses, "ops", now=NOON + 6 * SECOND) == NOTHING


def test_a_guesser_locks_nobody_out_elsewhere() -> None:
    """However much is guessed from one address, the right secret from another is not held up."""
    guesses = Guesses()
    guess(guesses, "ops", times=1000)

    assert right(guesses, "ops", ELSEWHERE) == NOTHING


def test_many_addresses_lock_nobody_out() -> None:
    """Guesses at one client from everywhere hold up no address that has not guessed."""
    guesses = Guesses()
    for number in range(200):
        guess(guesses, "ops", times=20, address=f"203.0.113.{number}")

    assert right(guesses, "ops", ELSEWHERE) == NOTHING


def test_one_name_after_another_is_no_way_around() -> None:
    """An address that guesses at many clients has an allowance for all of them together."""
    guesses = Guesses()
    names = [f"client-{number}" for number in range(21)]

    waits = guess(guesses, *names, times=1)

    assert waits == [NOTHING] * OF_ADDRESS.at_once + [OF_ADDRESS.wears_off]


def test_who_has_proved_itself_is_not_judged_by_its_neighbours() -> None:
    """Behind one proxy a client that proved itself there goes on, whatever others guess there."""
    guesses = Guesses()
    right(guesses, "shop")
    guess(guesses, *(f"client-{number}" for number in range(50)), times=1)

    assert right(guesses, "shop") == NOTHING
    assert right(guesses, "wiki") > NOTHING


def test_to_have_proved_itself_is_no_licence_to_guess() -> None:
    """Who shares an address with a proven client can guess its secret no more often than others."""
    guesses = Guesses()
    right(guesses, "shop")

    waits = guess(guesses, "shop", times=11)

    assert waits == [NOTHING] * 10 + [6 * SECOND]


def test_right_secrets_never_wait() -> None:
    """A client may ask for tokens as often as it likes."""
    guesses = Guesses()

    assert {right(guesses, "ops") for _ in range(1000)} == {NOTHING}


def test_a_proven_client_may_ask_many_times_at_once() -> None:
    """However many tokens a client asks for together, none of its right secrets waits."""
    guesses = Guesses()
    right(guesses, "ops")

    together = [guesses.begin("ops", HERE, NOON) for _ in range(100)]
    for one in together:
        guesses.proved(one)

    assert {one.wait for one in together} == {NOTHING}
    assert right(guesses, "ops") == NOTHING


def test_many_at_once_are_counted_before_they_are_judged() -> None:
    """Guesses that come together are no way around: each counts from the moment it is made."""
    guesses = Guesses()

    together = [guesses.begin("ops", HERE, NOON) for _ in range(12)]

    assert [one.wait > NOTHING for one in together] == [False] * 10 + [True] * 2


def test_many_wrong_at_once_for_a_proven_client_are_paid_for() -> None:
    """Where a client is proven, wrong secrets that came together make the next wait for each."""
    guesses = Guesses()
    right(guesses, "ops")

    together = [guesses.begin("ops", HERE, NOON) for _ in range(34)]
    for one in together:
        guesses.wrong(one, NOON)

    assert wrong(guesses, "ops") == (34 - 9) * OF_CLIENT_AT_ADDRESS.wears_off


def test_what_nobody_judged_is_not_counted() -> None:
    """A try that a fault of ours cut short is as if it had not been made."""
    guesses = Guesses()
    for _ in range(100):
        guesses.take_back(guesses.begin("ops", HERE, NOON))
    right(guesses, "ops")
    for _ in range(100):
        guesses.take_back(guesses.begin("ops", HERE, NOON))

    assert guess(guesses, "ops", times=10) == [NOTHING] * 10


def test_all_wears_off() -> None:
    """Some time later it is as if nobody had ever guessed."""
    guesses = Guesses()
    guess(guesses, "ops", times=50)

    waits = [wrong(guesses, "ops", now=NOON + MINUTE) for _ in range(10)]

    assert waits == [NOTHING] * 10


@pytest.mark.parametrize("most", [1, 7])
def test_memory_is_bounded(most: int) -> None:
    """However many names and addresses are tried, few are remembered."""
    guesses = Guesses(most=most)

    for number in range(100):
        guess(guesses, f"client-{number}", times=2, address=f"address-{number}")
        right(guesses, f"client-{number}", f"address-{number}")

    kept = len(guesses._pairs), len(guesses._addresses), len(guesses._proven)
    assert kept == (most, most, most)


@given(st.lists(st.tuples(st.timedeltas(NOTHING, MINUTE), st.booleans()), max_size=60))
def test_no_order_of_guesses_gets_more_than_the_allowance(
    steps: list[tuple[timedelta, bool]],
) -> None:
    """Over any span, there are at most ten guesses and one more for each that has worn off."""
    meter: Meter[str] = Meter(OF_CLIENT_AT_ADDRESS)
    now, allowed = NOON, 0
    for step, _ in steps:
        now += step
        if not meter.wait("ops", now):
            meter.add("ops", now)
            allowed += 1

    assert allowed <= 10 + (now - NOON) // OF_CLIENT_AT_ADDRESS.wears_off
