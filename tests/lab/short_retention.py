"""The service itself, which forgets what is over after a minute: no setting goes below an hour.

A soak of ten minutes sees with it what a service does that has been running for months: as many
rows go as come.
"""

from datetime import timedelta

from dispatcher import app
from dispatcher.__main__ import main
from dispatcher.ports import Retention

KEPT = timedelta(minutes=1)

if __name__ == "__main__":
    of_a_minute = Retention(settled=KEPT, failed=KEPT, sessions=KEPT, ids=KEPT)
    setattr(app, "Retention", lambda **_: of_a_minute)  # noqa: B010 - it is no name of app's own
    main()
