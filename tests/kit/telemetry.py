"""Telemetry that only remembers what it was told."""

from dataclasses import dataclass, field

from dispatcher.domain.deliveries import Settled
from dispatcher.domain.events import Intake, SourceName
from dispatcher.domain.ledger import Depth
from dispatcher.domain.matching import Matched
from dispatcher.domain.sources import PassedOver


@dataclass
class RecordingTelemetry:
    """What was counted and logged, in order."""

    intakes: list[tuple[Intake, bool]] = field(default_factory=list)
    turned: list[tuple[str, str]] = field(default_factory=list)
    passed: list[tuple[str, str]] = field(default_factory=list)
    events: list[Matched] = field(default_factory=list)
    attempts: list[Settled] = field(default_factory=list)
    settlements: list[tuple[Settled, bool]] = field(default_factory=list)
    depths: list[Depth] = field(default_factory=list)
    failures: list[tuple[str, Exception]] = field(default_factory=list)
    comparisons: int = 0

    def accepted(self, intake: Intake, *, repeated: bool) -> None:
        """Remember one intake."""
        self.intakes.append((intake, repeated))

    def turned_away(self, source: str, code: str) -> None:
        """Remember one webhook that was not accepted."""
        self.turned.append((source, code))

    def passed_over(self, source: SourceName, reason: PassedOver) -> None:
        """Remember what nothing became of."""
        self.passed.append((source, reason))

    def matched(self, matched: Matched) -> None:
        """Remember one matched event."""
        self.events.append(matched)

    def attempted(self, settled: Settled) -> None:
        """Remember one attempt."""
        self.attempts.append(settled)

    def settled(self, settled: Settled, *, held: bool) -> None:
        """Remember one settlement."""
        self.settlements.append((settled, held))

    def waiting(self, depth: Depth) -> None:
        """Remember how much was waiting."""
        self.depths.append(depth)

    def note_clock(self) -> None:
        """Remember that the clocks were compared."""
        self.comparisons += 1

    def worker_failed(self, worker: str, error: Exception) -> None:
        """Remember what stumbled."""
        self.failures.append((worker, error))
