"""Replicas: processes of one service on one PostgreSQL, each with a role and an address."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tests.kit.folders import a_folder
from tests.kit.service import ROOT, Service


def command(service: Service, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the command line with the settings of *service*."""
    return subprocess.run(
        [sys.executable, "-m", "dispatcher", *words],
        cwd=ROOT,
        env=service.environ(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@contextmanager
def replicas(
    first: Service, url: str, roles: Sequence[str], launcher: Sequence[str] = ()
) -> Iterator[list[Service]]:
    """Run *first* and its replicas, one for each of *roles*, on the empty database at *url*."""
    first.environment = {**first.environment, "DISPATCHER_STORE": url}
    first.options = ("--role", roles[0])
    migrated = command(first, "migrate")
    assert migrated.returncode == 0, migrated.stderr
    with ExitStack() as at_the_end:
        running = [at_the_end.enter_context(first)]
        for role in roles[1:]:
            place = at_the_end.enter_context(a_folder())
            running.append(at_the_end.enter_context(first.replica(place, "--role", role)))
        for service in running:
            service.start(*launcher)
        yield running
