"""Short leases without their fence: what is said too late is written over what is known.

``python -m tests.kit.unfenced serve``: a laboratory of replicas that holds on it would be blind.
"""

import sys

from dispatcher.__main__ import main
from dispatcher.adapters.postgres import settlements
from tests.kit.short_leases import shorten

LAUNCHER = (sys.executable, "-m", "tests.kit.unfenced")


def _without(sql: str, *guards: str) -> str:
    for guard in guards:
        assert guard in sql
        sql = sql.replace(guard, "")
    return sql


def unfence() -> None:
    """Let outcomes be written whoever has the lease, and whatever became of the delivery."""
    settlements._HELD = _without(
        settlements._HELD.replace(
            "delivery.number, delivery.lease", "delivery.number, wanted.lease"
        ),
        "WHERE delivery.lease = wanted.lease AND state = 'in_flight'",
    )
    settlements._MOVE_ON = _without(
        settlements._MOVE_ON,
        "AND delivery.lease = moved.lease",
        "AND delivery.state = 'in_flight'",
    )


if __name__ == "__main__":
    shorten()
    unfence()
    main()
