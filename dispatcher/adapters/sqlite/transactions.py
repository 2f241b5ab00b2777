"""One transaction for all that is waiting to be written, and one answer for each.

A command is a function of a ``Transaction``. Those that wait at one moment share one commit, each
in a savepoint of its own, so that one that raises spoils nobody else; some kinds are run together,
and one by one where that fails. After a commit that failed, nobody knows what is on the disk: all
are told that the store does not answer, the connection is closed, and the next group opens another
and reads anew what is known from the file.
"""

import contextlib
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

import apsw

from dispatcher.adapters.sqlite.connections import is_fault_of_one_command, unavailable
from dispatcher.ports import Clock
from dispatcher.stored.books import Books
from dispatcher.stored.hint import Stir
from dispatcher.stored.values import micros

G = TypeVar("G")
T = TypeVar("T")
_CHECKPOINT_PAGES = 2000


def read(connection: apsw.Connection, sql: str, *bindings: Any) -> Any:
    """Return the one value that *sql* selects, a JSON text read; None where it selects nothing.

    Rows come as one text, built inside SQLite: for every row that is stepped over, the driver gives
    up the interpreter's lock, and on a busy event loop getting it back takes milliseconds.
    """
    value = connection.execute(sql, bindings).get
    return json.loads(value) if isinstance(value, str) else value


class Transaction:
    """What a command is given: the connection, the time, and what is known of the registry."""

    def __init__(self, connection: apsw.Connection, books: Books, now: datetime) -> None:
        self.connection = connection
        self.books = books
        self.now = micros(now)
        self.stirs = False
        self.dues_changed = False

    def read(self, sql: str, *bindings: Any) -> Any:
        """Return the one value that *sql* selects, a JSON text read."""
        return read(self.connection, sql, *bindings)

    def write(self, sql: str, *bindings: Any) -> None:
        """Run one statement that returns nothing."""
        self.connection.execute(sql, bindings)

    def stir(self) -> None:
        """Say that there may be something to match or to claim, once this is on disk."""
        self.stirs = True

    def change_dues(self) -> None:
        """Say that another delivery, or another lease's end, may come next."""
        self.dues_changed = True


Command = Callable[[Transaction], T]


@dataclass(frozen=True, slots=True)
class Joint(Generic[G, T]):
    """A command that is run once for all of its kind that wait: one set of statements serves all.

    *run* returns for each of what they were *given* what came of it, in the same order: a result,
    or what is raised where that one waits.
    """

    run: Callable[[Transaction, Sequence[G]], Sequence[T | Exception]]
    given: G

    def __call__(self, tx: Transaction) -> T:
        """Run it alone."""
        [result] = self.run(tx, [self.given])
        if isinstance(result, Exception):
            raise result
        return result


@dataclass(slots=True)
class Answer:
    """What came of a command: its result, or what it raised."""

    result: Any = None
    error: Exception | None = None

    def get(self) -> Any:
        """Return the result, or raise."""
        if self.error is not None:
            raise self.error
        return self.result


class Scribe:
    """Holds the one connection that writes, and runs commands on it. Knows no thread.

    *opened* opens a connection; *recalled* reads the books from it.
    """

    def __init__(
        self,
        opened: Callable[[], apsw.Connection],
        recalled: Callable[[apsw.Connection], Books],
        clock: Clock,
    ) -> None:
        self._opened = opened
        self._recalled = recalled
        self._clock = clock
        self._connection: apsw.Connection | None = None
        self._wal_pages = 0
        self.books = Books()
        self._connected()

    def write(self, commands: Sequence[Command[Any]]) -> tuple[list[Answer], Stir | None]:
        """Run *commands* in one transaction; when this returns, they are on disk."""
        try:
            return self._group(self._connected(), commands)
        except Exception as error:  # noqa: BLE001 - whoever waits is told, and the writer goes on
            self.close()
            return [Answer(error=unavailable(error)) for _ in commands], None

    def tidy(self) -> None:
        """Checkpoint where the log has grown; done when all are answered, as nobody waits then."""
        if self._connection is None or self._wal_pages < _CHECKPOINT_PAGES:
            return
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            self._wal_pages = 0
        except apsw.Error:
            self.close()  # the next group finds out whether the disk is well again

    def close(self) -> None:
        """Close the connection; the last one to close checkpoints and removes the log."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(apsw.Error):
                connection.close()

    def _connected(self) -> apsw.Connection:
        if self._connection is None:
            connection = self._opened()
            connection.set_wal_hook(self._note_wal)
            self.books = self._recalled(connection)
            self._connection = connection
        return self._connection

    def _note_wal(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def _group(
        self, connection: apsw.Connection, commands: Sequence[Command[Any]]
    ) -> tuple[list[Answer], Stir | None]:
        connection.execute("BEGIN IMMEDIATE")
        tx = Transaction(connection, self.books, self._clock.steady())
        answers = _run_all(tx, commands)
        stir = Stir(_next_due(tx), tx.stirs) if tx.stirs or tx.dues_changed else None
        connection.execute("COMMIT")
        self.books = tx.books
        return answers, stir


def _run_all(tx: Transaction, commands: Sequence[Command[Any]]) -> list[Answer]:
    """Run *commands*, those of one kind together; return what came of each, in their order."""
    kinds: dict[object, list[int]] = defaultdict(list)
    for place, command in enumerate(commands):
        kinds[command.run if isinstance(command, Joint) else command].append(place)
    answers: dict[int, Answer] = {}
    for places in kinds.values():
        together = [commands[place] for place in places]
        answers |= zip(places, _run_together(tx, together), strict=True)
    return [answers[place] for place in range(len(commands))]


def _run_together(tx: Transaction, commands: Sequence[Command[Any]]) -> list[Answer]:
    """Run commands of one kind at once; one by one where something spoils that for all."""
    joint = [command for command in commands if isinstance(command, Joint)]
    if len(joint) > 1:
        answer = _run(tx, lambda tx: joint[0].run(tx, [command.given for command in joint]))
        if answer.error is None:
            return [
                Answer(error=one) if isinstance(one, Exception) else Answer(one)
                for one in answer.result
            ]
    return [_run(tx, command) for command in commands]


def _run(tx: Transaction, command: Command[Any]) -> Answer:
    """Run one command in its savepoint; let an error climb that spoils the whole group."""
    books = tx.books
    tx.write("SAVEPOINT command")
    try:
        answer = Answer(command(tx))
    except Exception as error:
        if isinstance(error, apsw.Error) and not is_fault_of_one_command(error):
            raise
        tx.books = books
        tx.write("ROLLBACK TO command")
        answer = Answer(error=unavailable(error) if isinstance(error, apsw.Error) else error)
    tx.write("RELEASE command")
    return answer


_NEXT_DUE = """
SELECT min(moment) FROM (
    SELECT min(next_due_at) AS moment FROM lane WHERE next_due_at > ?1 AND closed_until IS NULL
    UNION ALL SELECT min(closed_until) FROM lane WHERE closed_until > ?1
    UNION ALL SELECT min(next_due_at) FROM lane WHERE closed_until <= ?1 AND next_due_at > ?1
    UNION ALL SELECT min(lease_until) FROM delivery WHERE state = 'in_flight' AND lease_until > ?1)
"""


def _next_due(tx: Transaction) -> int | None:
    """Return when a delivery comes due, a closed lane may start one, or a lease runs out next."""
    found: int | None = tx.read(_NEXT_DUE, tx.now)
    return found
