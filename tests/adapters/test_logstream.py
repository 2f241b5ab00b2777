"""Where log lines go, by a thread of its own."""

import errno
import io
import threading

from dispatcher.adapters.logstream import LogStream


class Gate(io.StringIO):
    """A stream whose writes wait at a gate: a reader that has stalled."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.opened = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        """Wait, then write."""
        self.reached.set()
        self.opened.wait(10)
        return super().write(text)


def test_lines_are_written_in_order_before_the_end() -> None:
    """All that was written is there when the stream has been closed, in its order."""
    written = io.StringIO()
    stream = LogStream(written)

    for number in range(500):
        stream.write(f"{number}\n")
    stream.close()

    assert written.getvalue() == "".join(f"{number}\n" for number in range(500))


def test_a_stalled_reader_holds_nobody_up() -> None:
    """While nothing can be written, writing returns; what finds no room is dropped and counted."""
    written = Gate()
    stream = LogStream(written, most_waiting=3)
    stream.write("first\n")
    written.reached.wait(10)

    for number in range(5):
        stream.write(f"{number}\n")
    written.opened.set()
    stream.close()

    assert written.getvalue().splitlines() == [
        "first", "0", "1", "2", '{"event": "log.dropped", "lines": 2}',
    ]  # fmt: skip


class Full(io.StringIO):
    """A stream on a disk that is full for a while."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.left = times
        self.refused = threading.Event()

    def write(self, text: str) -> int:
        """Refuse, or write."""
        if self.left:
            self.left -= 1
            self.refused.set()
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def test_a_stream_that_fails_ends_nothing() -> None:
    """A disk that is full loses lines; those that come when there is room again are written."""
    written = Full(1)
    stream = LogStream(written)

    stream.write("lost\n")
    written.refused.wait(10)
    stream.write("kept\n")
    stream.close()

    assert written.getvalue() == "kept\n"
