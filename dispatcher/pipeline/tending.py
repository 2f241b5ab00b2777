"""Tending: each replica, whatever its role, takes up the keys that another one has changed.

Nobody is told of a change: whoever looks finds it. A key is announced long before it signs, so that
nothing hangs on how soon; but a revoked one signs until then.
"""

from datetime import timedelta

import anyio

from dispatcher.ports import Clock, KeyKeeper, Telemetry

EVERY = timedelta(seconds=1)
"""How long a replica goes on with keys that another one has changed."""


class Tending:
    """Looks after the signing keys, for as long as they are published."""

    def __init__(self, *, keys: KeyKeeper, telemetry: Telemetry, clock: Clock) -> None:
        self._keys = keys
        self._telemetry = telemetry
        self._clock = clock

    async def run(self) -> None:
        """Tend the keys for ever."""
        while True:
            await anyio.sleep(EVERY.total_seconds())
            try:
                await self._keys.tend(self._clock.steady())
            except Exception as error:  # noqa: BLE001 - whatever it is, the keys in force go on
                self._telemetry.worker_failed("keys", error)
