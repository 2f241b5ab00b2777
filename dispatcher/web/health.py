"""``/livez``, ``/readyz``, ``/healthz`` and ``/metrics``."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import anyio
from starlette.requests import Request
from starlette.responses import Response

from dispatcher.domain.errors import DispatcherError
from dispatcher.ports import Clock, KeyKeeper
from dispatcher.web.answers import NO_STORE, json_answer
from dispatcher.web.doors import Doors

Checks = Mapping[str, str | None]
"""Each check by name, and what is wrong: None where nothing is."""

KEYS_CHECKED_EVERY = timedelta(seconds=30)


class Health:
    """Tells whether the service lives, and whether it can do its work."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._keys = _KeyCheck(doors.keys, doors.clock)

    async def live(self, _: Request) -> Response:
        """Answer that the process answers, whatever it depends on."""
        return _report({"process": None})

    async def ready(self, _: Request) -> Response:
        """Answer whether an event sent now could be accepted and delivered."""
        return _report(await self._ready())

    async def whole(self, _: Request) -> Response:
        """Answer both."""
        return _report({"process": None, **await self._ready()})

    async def metrics(self, _: Request) -> Response:
        """Answer the metrics."""
        body, media_type = self._doors.metrics()
        return Response(body, headers={**NO_STORE, "content-type": media_type})

    async def _ready(self) -> Checks:
        return {
            "store": await self._store_fault(),
            "disk": "free disk is below the reserve" if self._doors.health.disk_low() else None,
            "keys": await self._keys.fault(),
            **self._doors.readiness(),
        }

    async def _store_fault(self) -> str | None:
        try:
            return await self._doors.health.writable()
        except DispatcherError as error:
            # A store that is there, and not as our settings would have it.
            return error.message


class _KeyCheck:
    """Has the keys sign a probe, but not with every request: signing is dear."""

    def __init__(self, keys: KeyKeeper, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self._checking = anyio.Lock()
        self._checked_at: datetime | None = None
        self._fault: str | None = None

    async def fault(self) -> str | None:
        """Return what was wrong when the keys were last checked."""
        async with self._checking:
            now = self._clock.steady()
            if self._checked_at is None or now - self._checked_at >= KEYS_CHECKED_EVERY:
                self._fault = await self._check()
                self._checked_at = now
            return self._fault

    async def _check(self) -> str | None:
        try:
            await self._keys.self_check()
        except DispatcherError as error:
            return error.message
        return None


def _report(checks: Checks) -> Response:
    """Answer 200 where every check is well, else 503; each is named either way."""
    failing = any(fault is not None for fault in checks.values())
    return json_answer(
        {
            "status": "failing" if failing else "ok",
            "checks": {name: "ok" if fault is None else fault for name, fault in checks.items()},
        },
        status=503 if failing else 200,
    )
