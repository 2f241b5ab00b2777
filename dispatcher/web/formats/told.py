"""What comes in, and what it tells of: the two things that every format knows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from dispatcher.domain.events import Intake
from dispatcher.domain.sources import PassedOver, Source


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook whose source has proved itself; *issuer* is that of our own tokens."""

    source: Source
    headers: Mapping[bytes, bytes]
    body: bytes
    received_at: datetime
    issuer: str


@dataclass(frozen=True, slots=True)
class Told:
    """What a webhook told of, one by one in its order; *listed* where it came as an array."""

    items: tuple[Intake | PassedOver, ...]
    listed: bool = False

    @property
    def intakes(self) -> list[Intake]:
        """What is to be stored."""
        return [item for item in self.items if not isinstance(item, PassedOver)]
