"""Where log lines go: to a stream, by a thread of its own.

A reader of our output that stalls, or a disk that is full, must not hold up a logout: lines wait in
a bounded queue, and what finds no room is dropped and counted.
"""

import contextlib
import threading
import time
from queue import Empty, SimpleQueue
from typing import TextIO

MOST_WAITING = 10_000
GATHERING_SECONDS = 0.005
"""How long lines gather before they are written together: to wake a thread for each costs more."""
LAST_WORDS_SECONDS = 2.0
"""How long the end waits for lines to be written."""


class LogStream:
    """A text stream to write lines to that never blocks and never fails.

    ``write`` takes whole lines. The thread ends with ``close``.
    """

    def __init__(self, stream: TextIO, *, most_waiting: int = MOST_WAITING) -> None:
        self._stream = stream
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._most = most_waiting
        self._dropped = 0
        self._thread = threading.Thread(target=self._work, name="log", daemon=True)
        self._thread.start()

    def write(self, text: str) -> int:
        """Let *text* be written when its turn comes, or drop it where too much waits already."""
        if self._lines.qsize() < self._most:
            self._lines.put(text)
        else:
            self._dropped += 1
        return len(text)

    def flush(self) -> None:
        """Do nothing: the thread flushes whenever it has written all that waits."""

    def close(self) -> None:
        """Write what waits, as far as that is possible in a moment, and end."""
        self._lines.put(None)
        self._thread.join(LAST_WORDS_SECONDS)

    def _work(self) -> None:
        while (line := self._lines.get()) is not None:
            time.sleep(GATHERING_SECONDS)
            lines, ended = self._gathered(line)
            # A full disk, or a pipe whose reader is gone: the lines are lost, and nothing else.
            with contextlib.suppress(OSError, ValueError):
                self._stream.write("".join(lines) + self._note_of_dropped())
                self._stream.flush()
            if ended:
                return

    def _gathered(self, first: str) -> tuple[list[str], bool]:
        lines = [first]
        with contextlib.suppress(Empty):
            while (line := self._lines.get_nowait()) is not None:
                lines.append(line)
            return lines, True
        return lines, False

    def _note_of_dropped(self) -> str:
        dropped, self._dropped = self._dropped, 0
        return f'{{"event": "log.dropped", "lines": {dropped}}}\n' if dropped else ""
