"""Many simulated days, each from a seed of its own."""

from dataclasses import replace

from tests.lab.judge import verdict, waits
from tests.lab.simulation import Plan, simulate
from tests.lab.table import Finding

DAYS = 8
FULL = Plan(seed=0)
SHORT = Plan(seed=0, hours=6, events=60, applications=6, crashes=2, store_faults=2, pauses=1)
"""A day for a suite that has to be quick."""


def run(seed: int) -> Finding:
    """Live through many days; what speaks against one is told with its seed."""
    faults: list[str] = []
    owed = posts = 0
    slowest = 0.0
    for number in range(seed, seed + DAYS):
        day = simulate(replace(FULL, seed=number))
        faults += [f"seed {number}: {fault}" for fault in verdict(day)]
        owed, posts = owed + len(day.history.owed), posts + len(day.history.posts)
        slowest = max(slowest, *(waited for _, _, waited in waits(day)))
    told = "; ".join(faults[:3]) if faults else "nothing speaks against any"
    return Finding(
        measured=(
            f"seeds {seed} to {seed + DAYS - 1}: {owed:,} owed, {posts:,} tokens sent; {told};"
            f" a healthy application waited {slowest * 1000:.0f} ms at most"
        ),
        held=not faults,
    )
