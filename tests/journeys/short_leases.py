"""The service itself, whose leases are short: for a journey that waits for some to end."""

from datetime import timedelta

from dispatcher.__main__ import main
from dispatcher.pipeline import workers

if __name__ == "__main__":
    workers.LEASE = timedelta(seconds=6)
    main()
