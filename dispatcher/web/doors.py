"""What the face needs: the doors that it calls, and the plain values that it shows."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from dispatcher.domain.applications import Application, RegistrationRules
from dispatcher.domain.errors import Fault
from dispatcher.domain.events import KNOWN_INITIATORS
from dispatcher.domain.sources import Source
from dispatcher.pipeline.waiting import Waiting
from dispatcher.ports import (
    Clock,
    KeyKeeper,
    Ledger,
    Queue,
    Registry,
    Sessions,
    StoreHealth,
    Telemetry,
    Verifier,
)


def _no_metrics() -> tuple[bytes, str]:
    return b"", "text/plain; version=0.0.4; charset=utf-8"


def _nothing_else() -> Mapping[str, str | None]:
    return {}


def _no_fault(_: object) -> Sequence[Fault]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """Everything that the face is given by the roof.

    ``rules`` are those for what is written over the API. ``metrics`` returns a body and its media
    type; ``readiness`` further checks by name (None where nothing is wrong); ``check_application``
    what is wrong with an application's addresses and certificates, beyond its form (it raises
    Unavailable where that can not be seen now), and ``check_source`` with a source's secrets.
    """

    queue: Queue
    registry: Registry
    sessions: Sessions
    ledger: Ledger
    health: StoreHealth
    keys: KeyKeeper
    verifier: Verifier
    telemetry: Telemetry
    clock: Clock
    waiting: Waiting
    issuer: str
    public_url: str
    known_initiators: Collection[str] = KNOWN_INITIATORS
    rules: RegistrationRules = field(default_factory=RegistrationRules)
    discovery_extra: Mapping[str, object] = field(default_factory=dict)
    metrics: Callable[[], tuple[bytes, str]] = _no_metrics
    readiness: Callable[[], Mapping[str, str | None]] = _nothing_else
    check_application: Callable[[Application], Sequence[Fault]] = _no_fault
    check_source: Callable[[Source], Sequence[Fault]] = _no_fault
