"""Scopes: the session or the user that an event ends, or that a join is about.

A join and an event of one scope must not miss each other, and the rows that they would lock may not
be there yet. So a scope is locked by its name, until the transaction ends: by events together, by a
join alone. Whoever holds it sees all that was written for it before; the numbers of events that are
taken under it tell earlier from later, which numbers of a sequence do not do by themselves.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

from dispatcher.adapters.postgres.transactions import Transaction
from dispatcher.domain.events import Intake, LogoutEvent

_LOCK = """
SELECT CASE WHEN alone THEN pg_advisory_xact_lock(scope)
    ELSE pg_advisory_xact_lock_shared(scope) END
FROM unnest($1::bigint[], $2::boolean[]) AS scopes (scope, alone)
"""
MOST_AT_ONCE = 256
"""The server has a table of some thousand locks for everybody; more than this takes one for all."""


def scopes_of(intake: Intake) -> tuple[str, ...]:
    """Return the scopes that *intake* is about."""
    if not isinstance(intake, LogoutEvent):
        return f"sid {intake.sid}", f"sub {intake.sub}"
    return (f"sub {intake.sub}",) if intake.user_wide else (f"sid {intake.sid}",)


def lock_scopes(tx: Transaction, intakes: Sequence[Intake]) -> None:
    """Let no join of these scopes overlap with us, and no event where we join."""
    alone: dict[int, bool] = {}
    for intake in intakes:
        for name in scopes_of(intake):
            key = _key(name)
            alone[key] = alone.get(key, False) or not isinstance(intake, LogoutEvent)
    many = len(alone) > MOST_AT_ONCE
    # Always in one order: for all others first, then by their numbers.
    locks: Iterable[tuple[int, bool]] = () if many else sorted(alone.items())
    locks = [(_key("all"), many), *locks]
    tx.write(_LOCK, [key for key, _ in locks], [by_itself for _, by_itself in locks])


def _key(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)
