"""What the store said was done is there when the power comes back."""

import pytest

from tests.lab.power import power_cuts

SEED = 11


@pytest.mark.parametrize("threads", [False, True], ids=["one by one", "in groups"])
async def test_a_power_cut_takes_nothing_that_was_promised(threads: bool) -> None:  # noqa: FBT001 - pytest's
    """Whatever the disk loses or tears of what was not synced, every promise is kept.

    The store opens, SQLite finds it sound, and the lanes count what there is.
    """
    cuts = await power_cuts(SEED, workloads=1, each=25, threads=threads)

    print(f"{cuts.cuts} cuts inside {dict(cuts.inside)}, {cuts.promises} promises")
    assert cuts.cuts == 25
    assert cuts.promises > 1000
    assert (cuts.lost, cuts.broken) == (0, 0)


async def test_the_cuts_are_real() -> None:
    """A store that does not wait for its disk loses by the same cuts; some meet a checkpoint."""
    cuts = await power_cuts(SEED, workloads=1, each=30, weak=True)

    assert cuts.lost > 0
    assert cuts.inside["store.db"] > 0
