"""A service that is told to end does so in order: it loses nothing and sends nothing twice."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from anyio import to_thread

from tests.kit.rp_server import RpServer
from tests.kit.service import Service
from tests.kit.steps import (
    PATIENCE_SECONDS,
    a_service,
    an_event,
    status_of,
    told,
    until,
    until_nothing_waits,
)
from tests.lab.drains import (
    GRACE_IS_OVER,
    KILLED_IN_DRAIN,
    SECOND_SIGNAL,
    End,
    Held,
    drain,
    force,
    until_asked,
)

ENDS = {
    "its grace is over": GRACE_IS_OVER,
    "it is told again": SECOND_SIGNAL,
    "it is killed meanwhile": KILLED_IN_DRAIN,
}


@pytest.mark.timeout(180)
def test_a_service_that_ends_under_load_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    """After SIGTERM readiness is 503 while intake still answers 202; then the process ends with 0.

    Every event accepted before, during and after is delivered once: nothing was cut.
    """
    drained = drain(tmp_path, events=750)

    kept = drained.kept
    print(f"{len(kept.owed)} owed, {len(kept.missing)} missing, {kept.duplicates} came twice")
    assert drained.during == (202, 503)
    assert (drained.exit_code, drained.afterwards) == (0, 0)
    assert drained.accepted == 750
    assert (kept.missing, kept.unasked, kept.duplicates) == (frozenset(), frozenset(), 0)


async def test_the_listener_closes_while_what_is_in_flight_still_ends(tmp_path: Path) -> None:
    """When the drain delay is over nobody is let in, and a token on its way is still answered.

    The process ends with 0 as soon as it is, and that token is never sent again.
    """
    held = Held()
    async with RpServer(held) as rp:
        with a_service(tmp_path, [rp.uri()], ATTEMPT_TIMEOUT="10") as service:
            await to_thread.run_sync(service.start)
            await to_thread.run_sync(told, service, an_event(1, "crm"))
            await until_asked(rp, 1)
            service.running.send_signal(signal.SIGTERM)
            await to_thread.run_sync(until, lambda: status_of(service, "/livez") == 0)
            ended_before = service.running.poll()
            held.opened.set()
            exit_code = await to_thread.run_sync(service.running.wait, PATIENCE_SECONDS)

            await to_thread.run_sync(service.start)
            await to_thread.run_sync(until_nothing_waits, service)
            await to_thread.run_sync(service.stop)

    assert (ended_before, exit_code) == (None, 0)
    assert len(rp.requests) == 1


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
async def test_what_an_ended_service_held_is_told_at_its_next_start(
    tmp_path: Path, end: End
) -> None:
    """Though an application holds its tokens the process ends, and the next one tells of them.

    It ends with 0 when its grace is over, and not with 0 where somebody could not wait.
    """
    forced = await force(tmp_path, end)

    assert forced.exit_code == end.exit_code
    assert forced.delivered == {"s1", "s2"}


def test_a_signal_is_heeded_from_the_first_line_on(tmp_path: Path) -> None:
    """SIGTERM at the moment when the service says that it listens is a drain like any other."""
    with Service(tmp_path, []) as service:
        command = [sys.executable, "-m", "dispatcher", "serve"]
        with subprocess.Popen(
            command, cwd=tmp_path, env=service.environ(), stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            first = next(line for line in process.stdout if "service.listening" in line)
            process.terminate()
            rest = process.stdout.read()

    assert "service.listening" in first
    assert "service.draining" in rest
    assert process.returncode == 0
