"""Metrics and log lines: what the service tells on itself.

Never a token, a ``sub`` or a ``sid``; an unknown initiator is ``other`` and an unknown source
``unknown``, so that nobody outside can make a label.
"""

import logging
import sys
from collections.abc import Callable, Collection, Mapping
from functools import cache
from json import JSONEncoder
from typing import TextIO

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from dispatcher.domain.deliveries import (
    Acknowledged,
    Attempt,
    Cause,
    DeliveryId,
    DeliveryState,
    Outcome,
    Reason,
    Settled,
    Unreachable,
    Withheld,
    kind_of,
)
from dispatcher.domain.events import (
    ClientId,
    EventId,
    Initiator,
    Intake,
    LogoutEvent,
    SourceName,
)
from dispatcher.domain.lanes import LaneState
from dispatcher.domain.ledger import Depth
from dispatcher.domain.matching import Matched
from dispatcher.domain.sources import PassedOver
from dispatcher.ports import Clock

_MAY_BE_LOST = frozenset({PassedOver.NO_SUBJECT, PassedOver.UNUSABLE, PassedOver.CONTRADICTS})
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600, 86400)

# Made once, where ``json.dumps`` would make one for each line.
_encode = JSONEncoder(default=repr).encode


def configure_logging(*, json: bool, stream: TextIO = sys.stdout) -> None:
    """Write one line per fact to *stream*, and the libraries' own warnings in the same form.

    A traceback is plain text, for both: the local variables that a richer one shows hold tokens.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        _as_json if json else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared)
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def _as_json(_logger: object, _method: str, fact: structlog.typing.EventDict) -> str:
    return _encode(fact)


class Telemetry:
    """Counts and logs what happens."""

    def __init__(
        self,
        *,
        clock: Clock,
        version: str,
        known_initiators: Collection[str],
        is_source: Callable[[str], bool],
    ) -> None:
        self._clock = clock
        self._initiators = frozenset(known_initiators)
        self._is_source = is_source
        self._log = structlog.get_logger().bind()  # or each line would bind one of its own
        self._known_closed: dict[ClientId, LaneState] = {}
        self._doubted = False
        self._registry = CollectorRegistry()
        self._metrics(self._registry)
        build = Gauge("dispatcher_build_info", "Version.", ["version"], registry=self._registry)
        build.labels(version).set(1)

    def _metrics(self, registry: CollectorRegistry) -> None:
        def counter(name: str, about: str, *labels: str) -> Callable[..., Counter]:
            """Return what finds the counter of given labels, which the library takes long for."""
            family = Counter(f"dispatcher_{name}", about, labels, registry=registry)
            return cache(family.labels) if labels else lambda: family

        def gauge(name: str, about: str, *labels: str) -> Gauge:
            return Gauge(f"dispatcher_{name}", about, labels, registry=registry)

        def histogram(name: str, about: str) -> Histogram:
            return Histogram(f"dispatcher_{name}", about, registry=registry, buckets=_SECONDS)

        self._accepted = counter(
            "events_accepted", "Intakes on disk.", "source", "initiator", "result"
        )
        self._turned_away = counter("webhooks_refused", "Webhooks not accepted.", "source", "code")
        self._passed_over = counter(
            "events_passed_over", "Told by a source, and nothing to do.", "source", "reason"
        )
        self._matched = counter("events_matched", "Events matched, by what came of it.", "state")
        self._attempts = counter("attempts", "Attempts, by outcome.", "client_id", "outcome")
        self._unreachable = counter("attempts_unreachable", "Attempts in vain.", "cause")
        self._withheld = counter("attempts_withheld", "Attempts kept back by us.", "cause")
        self._attempt_seconds = histogram("attempt_seconds", "Length of an attempt.")
        self._told_seconds = histogram("told_seconds", "From a delivery's creation to its end.")
        self._settled = counter("deliveries_settled", "Settlements.", "state", "reason")
        self._lost = counter("leases_lost", "Settlements fenced, their lease having run out.")
        self._failures = counter("worker_failures", "Times a worker stumbled.", "worker")
        self._waiting = gauge("deliveries", "Deliveries, by state.", "state")
        self._oldest = gauge("oldest_pending_seconds", "Age of the oldest untold.", "client_id")
        self._closed = gauge("lanes_closed", "Lanes that are not open.", "client_id", "state")
        self._drift = gauge("clock_drift_seconds", "Wall clock ahead of the steady one.")
        self._unmatched = gauge("events_unmatched_yet", "Events accepted and not yet matched.")

    def accepted(self, intake: Intake, *, repeated: bool) -> None:
        """Count one intake that is on disk."""
        initiator = "session.joined"
        if isinstance(intake, LogoutEvent):
            initiator = self._initiator(intake.initiator)
        result = "repeated" if repeated else "new"
        self._accepted(intake.source, initiator, result).inc()

    def turned_away(self, source: str, code: str) -> None:
        """Count one webhook that was not accepted."""
        self._turned_away(source if self._is_source(source) else "unknown", code).inc()

    def passed_over(self, source: SourceName, reason: PassedOver) -> None:
        """Count what a source told of and nothing became of; log it where a logout may be lost."""
        self._passed_over(source, reason).inc()
        if reason in _MAY_BE_LOST:
            self._log.warning("event.passed_over", source=source, reason=reason.value)

    def matched(self, matched: Matched) -> None:
        """Count one matched event."""
        self._matched(matched.matching.reason or "matched").inc()
        for new in matched.matching.deliveries:
            if new.failed is not None:
                self._failed(matched.event.event_id, new.client_id, new.failed)

    def attempted(self, settled: Settled) -> None:
        """Count one attempt, and log its outcome."""
        attempt, delivery = settled.attempt, settled.delivery
        if attempt is None:
            return
        kind = kind_of(attempt.outcome)
        self._attempts(delivery.client_id, kind).inc()
        self._attempt_seconds.observe(attempt.duration.total_seconds())
        self._count_cause(attempt.outcome)
        level = logging.INFO if isinstance(attempt.outcome, Acknowledged) else logging.WARNING
        self._log.log(
            level,
            "delivery.attempted",
            delivery=delivery.id,
            event_id=delivery.event_id,
            client_id=delivery.client_id,
            initiator=delivery.initiator,
            number=delivery.attempt_count + 1,
            outcome=kind.value,
            duration_ms=round(attempt.duration.total_seconds() * 1000, 1),
            jti=attempt.jti,
            kid=attempt.kid,
            **_details(attempt),
        )

    def settled(self, settled: Settled, *, held: bool) -> None:
        """Count one settlement, and log what a person may have to mend."""
        delivery, settlement = settled.delivery, settled.settlement
        if not held:
            self._lost().inc()
            return
        if settlement.state is DeliveryState.FAILED:
            self._failed(delivery.event_id, delivery.client_id, settlement.reason, delivery.id)
            return
        self._settled(settlement.state, settlement.reason or "").inc()
        if settlement.state is DeliveryState.DELIVERED:
            took = self._clock.steady() - delivery.created_at
            self._told_seconds.observe(took.total_seconds())

    def _failed(
        self,
        event_id: EventId,
        client_id: ClientId,
        reason: Reason | None,
        delivery_id: DeliveryId | None = None,
    ) -> None:
        """Count and log a delivery that only a person can mend; one born so has no attempt."""
        self._settled(DeliveryState.FAILED, reason or "").inc()
        self._log.error(
            "delivery.failed",
            delivery=delivery_id,
            event_id=event_id,
            client_id=client_id,
            reason=reason,
        )

    def waiting(self, depth: Depth) -> None:
        """Note how much is waiting, and for how long."""
        for state in DeliveryState:
            self._waiting.labels(state).set(depth.deliveries.get(state, 0))
        self._oldest.clear()
        now = self._clock.steady()
        for client_id, since in depth.oldest_pending.items():
            self._oldest.labels(client_id).set(max(0.0, (now - since).total_seconds()))
        self._unmatched.set(depth.events_accepted)
        self._note_lanes(depth.closed_lanes)

    def note_clock(self) -> None:
        """Show how far the clocks have drifted apart, and log it when they come into doubt."""
        drift = (self._clock.now() - self._clock.steady()).total_seconds()
        self._drift.set(drift)
        doubt = self._clock.in_doubt()
        if doubt and not self._doubted:
            self._log.error("clock.in_doubt", drift_seconds=round(drift, 3))
        self._doubted = doubt

    def _note_lanes(self, closed: Mapping[ClientId, LaneState]) -> None:
        """Show which lanes are closed, and log each that has come or gone since the last look."""
        self._closed.clear()
        for client_id, state in closed.items():
            self._closed.labels(client_id, state).set(1)
        for client_id in closed.keys() - self._known_closed.keys():
            self._log.warning("lane.closed", client_id=client_id, state=closed[client_id].value)
        for client_id in self._known_closed.keys() - closed.keys():
            self._log.info("lane.opened", client_id=client_id)
        self._known_closed = dict(closed)

    def worker_failed(self, worker: str, error: Exception) -> None:
        """Log in full that a worker stumbled and goes on."""
        self._failures(worker).inc()
        self._log.error("worker.failed", worker=worker, exc_info=error)

    def told(self, fact: str, **details: object) -> None:
        """Log one fact of the service's own life."""
        self._log.info(fact, **details)

    def exposition(self) -> tuple[bytes, str]:
        """Return the metrics in Prometheus' text form, and its media type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def _initiator(self, initiator: Initiator) -> str:
        return initiator if initiator in self._initiators else "other"

    def _count_cause(self, outcome: Outcome) -> None:
        match outcome:
            case Unreachable():
                self._unreachable(outcome.cause).inc()
            case Withheld():
                self._withheld(outcome.cause).inc()


def _details(attempt: Attempt) -> dict[str, object]:
    outcome = attempt.outcome
    details: dict[str, object] = {}
    if isinstance(outcome, Unreachable | Withheld):
        details["cause"] = outcome.cause.value
        if outcome.cause is not Cause.STATUS and outcome.detail:
            details["detail"] = outcome.detail
    if isinstance(outcome, Acknowledged) and outcome.flagged:
        details["flagged"] = True  # a 2xx that the specification does not name
    if not isinstance(outcome, Withheld) and outcome.status is not None:
        details["status"] = outcome.status
    return details
