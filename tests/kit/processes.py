"""Sinks and producers as a test starts them: processes of their own, ended with the test."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.kit.service import ROOT


@dataclass(frozen=True)
class Received:
    """One token as a sink got it; status 0 is a reply that was lost on its way back."""

    at: float
    port: int
    status: int
    token: str


@dataclass
class SinkProcess:
    """A running sink."""

    process: "subprocess.Popen[str]"
    ports: Sequence[int]
    history: Path

    def heal(self) -> None:
        """Let every application answer 200 from now on."""
        assert self.process.stdin is not None
        self.process.stdin.write("heal\n")
        self.process.stdin.flush()

    def received(self) -> list[Received]:
        """Return every token received so far, oldest first."""
        lines = self.history.read_text(encoding="ascii").splitlines()
        fields = (line.split(" ") for line in lines if line.count(" ") == 3)
        return [
            Received(float(at), int(port), int(status), token) for at, port, status, token in fields
        ]

    def count(self) -> int:
        """Return how many tokens have come."""
        with self.history.open("rb") as history:
            return sum(block.count(b"\n") for block in iter(lambda: history.read(1 << 20), b""))


@contextmanager
def a_sink(
    folder: Path,
    *,
    applications: int,
    unavailable: float = 0.0,
    lost: float = 0.0,
    seconds: float = 0.0,
    seed: int = 1,
    recorded: bool = True,
) -> Iterator[SinkProcess]:
    """Run a sink with so many applications, each on a port of its own, which take *seconds* each.

    Unless *recorded* it keeps no history, and costs the machine so much less.
    """
    history = folder / "received.log"
    history.touch()
    arguments: dict[str, object] = {
        "--applications": applications,
        "--unavailable": unavailable,
        "--lost": lost,
        "--seconds": seconds,
        "--seed": seed,
    }
    if recorded:
        arguments["--history"] = history
    command = [sys.executable, "-m", "tests.kit.sink"]
    command += [str(part) for pair in arguments.items() for part in pair]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        ports = json.loads(process.stdout.readline())["ports"]
        yield SinkProcess(process, ports, history)
        process.stdin.close()


@contextmanager
def a_producer(order: Mapping[str, object]) -> Iterator["subprocess.Popen[str]"]:
    """Run a producer that carries out *order*; ``history_of`` waits for it.

    It is ended with the block: where a test fails it would try to be answered for ever.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "tests.kit.producer"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(order))
        process.stdin.close()
        try:
            yield process
        finally:
            process.kill()


def history_of(producer: "subprocess.Popen[str]") -> dict[str, Any]:
    """Wait for *producer* to end, and return what it tells."""
    assert producer.stdout is not None
    told = producer.stdout.read()
    if producer.wait() != 0:
        raise RuntimeError("the producer failed")
    history: dict[str, Any] = json.loads(told)
    return history


def duplicates(counted: "Counter[tuple[int, str]]") -> int:
    """Return how many of what was counted came more than once."""
    return sum(count - 1 for count in counted.values())
