"""A day in virtual time, in which everything goes wrong that can: nothing is lost by it."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import anyio
import pytest

from dispatcher.adapters.sqlite import claims
from dispatcher.domain.retry import RetryPolicy
from dispatcher.pipeline.upkeep import Upkeep
from dispatcher.stored.hint import Hint, Stir
from tests.kit.folders import a_folder
from tests.kit.virtual import virtually
from tests.lab.days import SHORT
from tests.lab.judge import verdict
from tests.lab.simulation import KEPT, Simulation, simulate
from tests.pipeline.stage import AQueue

SEEDS = (3, 4, 8)


def day(seed: int) -> Simulation:
    """Live through a short day."""
    print(f"seed {seed}")
    return simulate(replace(SHORT, seed=seed))


def broken_rules(simulated: Simulation) -> set[str]:
    """Return the rules that a day breaks."""
    return {fault.partition(":")[0] for fault in verdict(simulated)}


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_speaks_against_a_day(seed: int) -> None:
    """Nothing is lost, unasked, stale, early, late, over its cap, unexplained or miscounted."""
    simulated = day(seed)

    assert verdict(simulated) == []
    assert len(simulated.history.owed) > SHORT.events
    assert len(simulated.history.posts) > len(simulated.history.owed)


def test_a_seed_repeats_its_day() -> None:
    """The same seed is the same day, token by token; another seed is another."""
    calm = replace(SHORT, events=20, hours=4)
    digests = [simulate(replace(calm, seed=seed)).history.digest() for seed in (3, 3, 4)]

    assert digests[0] == digests[1] != digests[2]


def test_the_judge_sees_what_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the store does not hint at what comes due, retries are late, and the judge says so."""
    take = Hint.take
    monkeypatch.setattr(Hint, "take", lambda hint, stir: take(hint, Stir(None, stir.wakes)))

    assert "attempts_keep_their_time" in broken_rules(day(4))


def test_the_judge_sees_what_is_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where waits are cut short by a little, the judge says so."""
    in_full = RetryPolicy.wait_after
    monkeypatch.setattr(
        RetryPolicy, "wait_after", lambda *told, **more: in_full(*told, **more) * 0.9
    )

    assert "waits_follow_the_schedule" in broken_rules(day(4))


def test_the_judge_sees_a_cap_that_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a claim forgets an application's cap, more is under way than may be."""
    capped = "coalesce(max_in_flight, 16)"
    assert capped in claims._LANES
    monkeypatch.setattr(claims, "_LANES", claims._LANES.replace(capped, "64"))
    crowded = replace(SHORT, seed=5, events=800, hours=3.01, crashes=0, store_faults=0, pauses=0)

    assert "caps_hold" in broken_rules(simulate(crowded))


def test_the_judge_sees_what_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a lease that was lost is never found again, something is never told."""
    monkeypatch.setattr(
        claims, "_EXPIRED", claims._EXPIRED.replace("lease_until <= ?", "lease_until <= ? - 9e15")
    )
    faulty = replace(SHORT, seed=4, store_faults=8, crashes=0)

    assert "nothing_is_lost" in broken_rules(simulate(faulty))


def test_a_clock_in_doubt_is_told_within_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the service runs, no five seconds pass in which it does not look and tell."""
    told: list[float] = []

    async def a_minute() -> None:
        simulated = Simulation(SHORT, folder)
        store = await simulated._opened()
        looks = simulated.telemetry
        monkeypatch.setattr(looks, "waiting", lambda _: told.append(anyio.current_time()))
        upkeep = Upkeep(queue=AQueue(store), ledger=store, telemetry=looks, retention=KEPT)
        with anyio.move_on_after(timedelta(minutes=1).total_seconds()):
            await upkeep.tell()
        await store.close()

    with a_folder() as folder:
        virtually(a_minute, seed=1)

    gaps = [later - earlier for earlier, later in pairwise([0.0, *told, 60.0])]
    assert max(gaps) < 5
