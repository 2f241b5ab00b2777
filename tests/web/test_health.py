"""``/livez``, ``/readyz``, ``/healthz`` and ``/metrics``."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from dispatcher.domain.errors import Unavailable
from dispatcher.ports import KeyKeeper
from tests.web.face import Face

READY = {"store": "ok", "disk": "ok", "keys": "ok"}


@dataclass
class CountedKeys:
    """The real keys, whose self-checks are counted and can be made to fail."""

    keys: KeyKeeper
    checks: int = 0
    broken: bool = False

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The algorithms of the real keys."""
        return tuple(self.keys.algorithms)

    def jwks(self) -> Mapping[str, object]:
        """Return the JWK Set of the real keys."""
        return self.keys.jwks()

    async def tend(self, now: datetime) -> None:
        """Tend the real keys."""
        await self.keys.tend(now)

    async def self_check(self) -> None:
        """Count, and fail where it is wanted."""
        self.checks += 1
        if self.broken:
            raise Unavailable("no key signs")
        await self.keys.self_check()


async def checks_of(face: Face, path: str) -> tuple[int, dict[str, str]]:
    """Return the status and every check by name."""
    answer = await face.http.get(path)
    told = answer.json()
    assert told["status"] == ("ok" if answer.status_code == 200 else "failing")
    return answer.status_code, told["checks"]


async def test_a_healthy_service_says_so(face: Face) -> None:
    """Every check is named, also where it is well."""
    assert await checks_of(face, "/livez") == (200, {"process": "ok"})
    assert await checks_of(face, "/readyz") == (200, READY)
    assert await checks_of(face, "/healthz") == (200, {"process": "ok", **READY})


async def test_a_draining_service_lives_and_is_not_ready(face: Face) -> None:
    """A check that the roof adds is named, and counts for readiness only."""
    going = replace(
        face, doors=replace(face.doors, readiness=lambda: {"draining": "it shuts down"})
    )

    assert await checks_of(going, "/livez") == (200, {"process": "ok"})
    assert await checks_of(going, "/readyz") == (503, READY | {"draining": "it shuts down"})
    assert (await checks_of(going, "/healthz"))[0] == 503


async def test_a_store_that_is_gone_is_named(face: Face) -> None:
    """A store that can not be written to takes the service out of rotation."""
    await face.close_store()

    status, checks = await checks_of(face, "/readyz")

    assert status == 503
    assert checks["store"] != "ok"


async def test_keys_are_checked_now_and_then(face: Face) -> None:
    """Signing is dear: the keys are asked at most once in 30 seconds, however often we are."""
    keys = CountedKeys(face.doors.keys)
    counted = replace(face, doors=replace(face.doors, keys=keys))

    await checks_of(counted, "/readyz")
    counted.clock.advance(timedelta(seconds=29))
    await checks_of(counted, "/healthz")
    first = keys.checks
    counted.clock.advance(timedelta(seconds=1))
    await checks_of(counted, "/readyz")

    assert (first, keys.checks) == (1, 2)


async def test_keys_that_do_not_sign_are_named(face: Face) -> None:
    """A service that can not sign is not ready."""
    keys = CountedKeys(face.doors.keys, broken=True)
    unable = replace(face, doors=replace(face.doors, keys=keys))

    assert await checks_of(unable, "/readyz") == (503, READY | {"keys": "no key signs"})


async def test_metrics_are_served_as_they_are(face: Face) -> None:
    """Body and media type are the telemetry's."""
    media_type = "application/openmetrics-text; version=1.0.0"
    measured = replace(face, doors=replace(face.doors, metrics=lambda: (b"up 1\n", media_type)))

    answer = await measured.http.get("/metrics")

    assert (answer.content, answer.headers["content-type"]) == (b"up 1\n", media_type)


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/metrics"])
async def test_a_head_will_do(face: Face, path: str) -> None:
    """Probes that send HEAD get the status without the body."""
    answer = await face.http.head(path)

    assert (answer.status_code, answer.content) == (200, b"")
