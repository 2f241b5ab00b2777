"""Replicas: services with the same settings and secrets, on one database."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from tests.kit.service import ROOT, Service, free_port


def a_replica(first: Service, folder: Path, *options: str) -> Service:
    """Return one more replica of *first*: the same settings and secrets, but for its address."""
    replica = replace(first, folder=folder, port=free_port(), process=None, options=options)
    replica._master_key = first._master_key
    return replica


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
