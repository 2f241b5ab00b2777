"""Every store agrees with one model of it, whatever is asked of both in whatever order."""

from collections.abc import Iterator

import pytest

from dispatcher.adapters.sqlite import breakers, settlements
from tests.contract.conftest import furnishing
from tests.contract.stores import STORES
from tests.lab.machine import EVERYTHING, StoreMachine, examine, machine_of


@pytest.mark.parametrize("kind", list(STORES))
def test_a_store_agrees_with_its_model(kind: str, request: pytest.FixtureRequest) -> None:
    """Accepted events stay, fences and caps hold, deliveries are unique, lanes count what is there.

    Through repeats, late joins, lost leases, restarts, pauses, retention and wrong clocks.
    """
    examine(kind, examples=20, steps=40, seed=1, furnish=furnishing(kind, request))


@pytest.fixture
def machine() -> Iterator[StoreMachine]:
    """Return the machine as Hypothesis would start it."""
    machine = machine_of("sqlite-inline")()
    yield machine
    machine.teardown()


def lose_a_lease(machine: StoreMachine) -> None:
    """Lend something out twice, since its lease ran out, and settle it under both."""
    machine.owe(1, "mail")
    machine.claim(EVERYTHING, None)
    machine.let_time_pass(31)
    machine.claim(EVERYTHING, None)
    machine.settle_all("acknowledged")


def make_up_for_an_outage(machine: StoreMachine) -> None:
    """Let what came due while a lane was parked be told before what is younger."""
    machine.fall_ill("wiki", 31)
    machine.owe(8, "wiki")
    machine.let_time_pass(3700)
    machine.claim(EVERYTHING, None)
    machine.settle_all("acknowledged")
    machine.claim(1, None)


def test_a_fence_and_an_outage_are_as_the_model_has_them(machine: StoreMachine) -> None:
    """Two ways through the machine that the controls below take too."""
    lose_a_lease(machine)
    make_up_for_an_outage(machine)


def test_the_machine_sees_a_fence_that_is_down(
    machine: StoreMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a settlement is written whoever has the lease, store and model come apart."""
    whose = "lease = value ->> 1 AND "
    held = settlements._HELD.replace("number, lease,", "number, value ->> 1,").replace(whose, "")
    monkeypatch.setattr(settlements, "_HELD", held)
    for name in ("_PUT_OFF", "_FINISH"):
        unfenced = getattr(settlements, name).replace("AND lease = value ->> 1 ", "")
        monkeypatch.setattr(settlements, name, unfenced)

    with pytest.raises(AssertionError):
        lose_a_lease(machine)


def test_the_machine_sees_what_is_out_of_place(
    machine: StoreMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where what came due meanwhile is told as late as it came due, they come apart too."""
    monkeypatch.setattr(breakers, "_TAKE_THEIR_PLACE", "SELECT ?1, ?2, ?3")

    with pytest.raises(AssertionError):
        make_up_for_an_outage(machine)
