"""The service itself, whose leases are short: for whoever waits for some to end.

``python -m tests.kit.short_leases serve``; how long they are is said by ``SECONDS``, else 6 s.
"""

import os
import sys
from datetime import timedelta

from dispatcher.__main__ import main
from dispatcher.pipeline import workers

SECONDS = "SHORT_LEASE_SECONDS"
LAUNCHER = (sys.executable, "-m", "tests.kit.short_leases")


def shorten() -> None:
    """Let leases last no longer than the environment says."""
    workers.LEASE = timedelta(seconds=float(os.environ.get(SECONDS, "6")))


if __name__ == "__main__":
    shorten()
    main()
