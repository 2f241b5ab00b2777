"""Virtual time: the work on trio's clock, which jumps to the next thing that happens.

A day passes in seconds, and all that is left to chance comes from one seed: a run that fails is
repeated by it, step by step.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import anyio
import trio
from trio import _core as scheduling
from trio.testing import MockClock

from tests.kit.clock import NOON

T = TypeVar("T")


def virtually(work: Callable[[], Awaitable[T]], *, seed: int) -> T:
    """Run *work* in virtual time; what trio itself leaves to chance comes from *seed* too."""
    # trio shuffles what is ready to run, by dice of its own; so does Hypothesis make it repeatable.
    scheduling._run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]  # for tests
    scheduling._run._r.seed(seed)
    options = {"clock": MockClock(autojump_threshold=0)}
    return anyio.run(work, backend="trio", backend_options=options)


class VirtualClock:
    """Both times of ``ports.Clock``, from noon on; the wall clock alone may be set forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        """Return the wall clock's time."""
        return self.steady() + self.ahead

    def steady(self) -> datetime:
        """Return the steady time."""
        return NOON + timedelta(seconds=trio.current_time())

    def in_doubt(self) -> bool:
        """Whether the two have drifted apart by more than two seconds."""
        return abs(self.ahead) > timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class PlainToken:
    """A token that nobody has to verify."""

    token: str
    kid: str = "plain"


class PlainSigner:
    """Writes the claims down instead of signing them: whose they are is not in question here."""

    async def sign(self, claims: Mapping[str, object], *, alg: str, typ: str | None) -> PlainToken:
        """Return *claims* as JSON."""
        await anyio.lowlevel.checkpoint()
        return PlainToken(json.dumps({**claims, "alg": alg, "typ": typ}))


def claims_in(token: str) -> dict[str, Any]:
    """Return the claims of a plain token."""
    claims: dict[str, Any] = json.loads(token)
    return claims
