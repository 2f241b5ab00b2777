"""Taking in: which of what sources send is new, which is a repeat, and what contradicts.

What waits at one moment is judged together, batch after batch. A batch is taken in as a whole or
not at all; one that contradicts what is known spoils no other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dispatcher.domain.errors import Conflict
from dispatcher.domain.events import Intake, LogoutEvent, Receipt, SessionJoined, fingerprint
from dispatcher.stored.rows import event_id, join_id
from dispatcher.stored.values import micros

Batch = Sequence[Intake]
Taken = list[Receipt] | Conflict
"""What became of a batch."""
Key = tuple[str, str]
"""The source of an intake and the id that it gave."""
_Numbers = tuple[int | None, int | None]
"""The number of an event, or of a join."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """An intake that was taken in before: what it said, and its number."""

    fingerprint: str
    numbers: _Numbers


@dataclass(slots=True)
class New:
    """An intake that is taken in, its number, and that of the latest event before it."""

    intake: Intake
    fingerprint: str
    number: int = 0
    after_event: int = 0

    @property
    def numbers(self) -> _Numbers:
        """The number of the event, or of the join."""
        is_event = isinstance(self.intake, LogoutEvent)
        return (self.number, None) if is_event else (None, self.number)

    @property
    def row(self) -> tuple[str | int | None, ...]:
        """What is remembered of it: source, id, fingerprint, numbers and the time of receipt."""
        intake = self.intake
        received_at = micros(intake.received_at)
        return (intake.source, intake.id, self.fingerprint, *self.numbers, received_at)


class TakingIn:
    """What is *known* of intakes, and the *subs* of sessions, as batch after batch is added."""

    def __init__(self, known: Mapping[Key, Remembered], subs: Mapping[str, str]) -> None:
        self._known = known
        self._subs = dict(subs)
        self._taken: dict[Key, New] = {}
        self._told: set[Key] = set()

    @property
    def new(self) -> list[New]:
        """What is to be written, in its order."""
        return list(self._taken.values())

    def take(self, batch: Batch) -> Batch | Conflict:
        """Take *batch* in; return the first contradiction, and nothing of it is taken in."""
        taken: dict[Key, New] = {}
        subs: dict[str, str] = {}
        for index, intake in enumerate(batch):
            conflict = self._contradiction(intake, taken, subs)
            if conflict is not None:
                return Conflict(f"[{index}]: {conflict}")
        self._taken |= taken
        self._subs |= subs
        return batch

    def _contradiction(
        self, intake: Intake, taken: dict[Key, New], subs: dict[str, str]
    ) -> str | None:
        """Add *intake* to what its batch has *taken* before it, or say what it contradicts."""
        key, said = (intake.source, intake.id), fingerprint(intake)
        known = self._known.get(key) or self._taken.get(key) or taken.get(key)
        if known is not None:
            same = known.fingerprint == said
            return None if same else f"The id {intake.id} was used before, with other content."
        if isinstance(intake, SessionJoined):
            sub = self._subs.get(intake.sid) or subs.setdefault(intake.sid, intake.sub)
            if sub != intake.sub:
                return "The session is known with another sub."
        taken[key] = New(intake, said)
        return None

    def receipts(self, batch: Batch) -> list[Receipt]:
        """Return the receipts of a batch that was taken in, asked for in the order of taking."""
        receipts: list[Receipt] = []
        for intake in batch:
            key = intake.source, intake.id
            known = self._known.get(key) or self._taken[key]
            repeated = key in self._known or key in self._told
            self._told.add(key)
            event, joined = known.numbers
            known_as = join_id(joined or 0) if event is None else event_id(event)
            receipts.append(Receipt(id=intake.id, event_id=known_as, repeated=repeated))
        return receipts
