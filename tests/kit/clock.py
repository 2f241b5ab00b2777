"""A clock that stands until a test moves it."""

from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)


class FakeClock:
    """Both times of ``ports.Clock``; a test moves both, or the wall clock alone."""

    def __init__(self, start: datetime = NOON) -> None:
        self._steady = start
        self._ahead = timedelta()

    def now(self) -> datetime:
        """Return the wall clock's time."""
        return self._steady + self._ahead

    def steady(self) -> datetime:
        """Return the steady time."""
        return self._steady

    def in_doubt(self) -> bool:
        """Whether the two have drifted apart by more than two seconds."""
        return abs(self._ahead) > timedelta(seconds=2)

    def advance(self, duration: timedelta | None = None, **parts: float) -> None:
        """Let time pass: a duration, or its parts, as in ``advance(minutes=5)``."""
        self._steady += duration or timedelta(**parts)

    def set_wall_ahead(self, ahead: timedelta) -> None:
        """Set the wall clock forward (or back) without time passing."""
        self._ahead = ahead
