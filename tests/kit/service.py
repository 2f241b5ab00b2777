"""The real service as a process of its own, with its folder, its secrets and its operator."""

import base64
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import httpx2
import psutil

START_SECONDS = 30.0
ROOT = Path(__file__).parents[2]
_PASSED_ON = "PATH", "OPENSSL_ia32cap"
"""What the service has of our own environment."""

_PORTS = range(10_000, 32_000)
"""Below those that a system gives to who asks for any: nobody is given one of these meanwhile."""


def free_port() -> int:
    """Return a port of loopback that nobody listens on, and that nobody else picks meanwhile."""
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _second(pair: str) -> int:
    """Return the second of two numbers as the kernel lists them: a port, or bytes to be read."""
    return int(pair.partition(":")[2], 16)


def toml_of(value: object) -> str:
    """Write *value* as TOML does: JSON, but for tables."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {toml_of(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml_of, value)) + "]"
    return json.dumps(value)


@dataclass
class Service:
    """One service in *folder*; start it, kill it, start it again on the same store."""

    folder: Path
    applications: Sequence[Mapping[str, object]]
    environment: Mapping[str, str] = field(default_factory=dict)
    sources: Sequence[Mapping[str, object]] = ()
    secret: str = field(
        default_factory=lambda: "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    )
    client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    port: int = field(default_factory=free_port)
    options: Sequence[str] = ()
    """What is given to ``serve``, as ``--role``."""
    process: "subprocess.Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        """Write the declarative file and make the master key."""
        self._master_key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        tables = {
            "sources": [{"name": "idp", "secret": self.secret}, *self.sources],
            "management_clients": [
                {
                    "client_id": "ops",
                    "client_secret": self.client_secret,
                    "scopes": ["read:clients", "create:clients", "update:clients",
                               "delete:clients", "read:events", "read:sessions"],
                }
            ],
            "applications": list(self.applications),
        }  # fmt: skip
        text = "\n".join(f"{name} = {toml_of(table)}" for name, table in tables.items())
        self.config.write_text(text, encoding="utf-8")

    def replica(self, folder: Path, *options: str) -> "Service":
        """Return one more process of this service, at an address and with *options* of its own."""
        one = replace(self, folder=folder, port=free_port(), process=None, options=options)
        one._master_key = self._master_key
        return one

    @property
    def config(self) -> Path:
        """The declarative file."""
        return self.folder / "dispatcher.toml"

    @property
    def url(self) -> str:
        """Where the service listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def webhook_url(self) -> str:
        """Where the source ``idp`` sends its events."""
        return f"{self.url}/webhooks/idp"

    @property
    def log(self) -> Path:
        """What the service writes."""
        return self.folder / "service.log"

    @property
    def issuer(self) -> str:
        """The ``iss`` of its tokens."""
        return "https://op.example/"

    @property
    def running(self) -> "subprocess.Popen[bytes]":
        """The process that was started last."""
        assert self.process is not None
        return self.process

    def environ(self) -> dict[str, str]:
        """Return the whole environment of the process."""
        return {
            **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            "PYTHONPATH": str(ROOT),
            "DISPATCHER_ISSUER": self.issuer,
            "DISPATCHER_STORE": f"sqlite:///{self.folder / 'dispatcher.db'}",
            "DISPATCHER_LISTEN": f"127.0.0.1:{self.port}",
            "DISPATCHER_MASTER_KEY": self._master_key,
            "DISPATCHER_CONFIG": str(self.config),
            "DISPATCHER_EGRESS_ALLOW": "127.0.0.0/8",
            "DISPATCHER_EGRESS_ALLOW_HTTP": "true",
            "DISPATCHER_DRAIN_DELAY": "0s",
            "DISPATCHER_LOG": "json",
            **self.environment,
        }

    def __enter__(self) -> Self:
        """Leave no process behind, whatever becomes of the test."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill what still runs."""
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def start(self, *arguments: str) -> None:
        """Start the process and wait until it is ready."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*(arguments or (sys.executable, "-m", "dispatcher")), "serve", *self.options],
                cwd=self.folder,
                env=self.environ(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.until_ready()

    def until_ready(self) -> None:
        """Return when the service says that it is ready; fail with its log where it ends."""
        assert self.process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the service ended: {self.log.read_text()[-2000:]}")
            try:
                if httpx2.get(f"{self.url}/readyz", timeout=2).status_code == 200:
                    return
            except httpx2.TransportError:
                time.sleep(0.02)
        raise RuntimeError(f"the service does not get ready: {self.log.read_text()[-2000:]}")

    def kill(self) -> None:
        """End the process as a power cut would: SIGKILL."""
        self.running.kill()
        self.running.wait()

    def freeze(self) -> None:
        """Stop the process where it is: SIGSTOP."""
        self.running.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the process go on as if nothing had been: SIGCONT."""
        self.running.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """End the process as an operator does (SIGTERM), and return its exit code."""
        if self.running.poll() is None:
            self.running.send_signal(signal.SIGTERM)
        return self.running.wait(timeout=60)

    def cpu_seconds(self) -> float:
        """Return the user and system time that the process has used."""
        times = psutil.Process(self.running.pid).cpu_times()
        return times.user + times.system

    def descriptors(self) -> int:
        """Return how many files and sockets the process has open."""
        return int(psutil.Process(self.running.pid).num_fds())

    def connections_to(self, ports: Collection[int]) -> set[tuple[int, int]]:
        """Return the connections that the process has open to these *ports*: both ends' ports."""
        found = psutil.Process(self.running.pid).net_connections("tcp4")
        ends = [
            (one.laddr.port, one.raddr.port) for one in found if one.status != psutil.CONN_LISTEN
        ]
        return {(ours, theirs) for ours, theirs in ends if theirs in ports}

    def unread_from(self, ports: Collection[int]) -> int:
        """Return over how many of these connections something has come that it has not read."""
        rows = map(str.split, Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:])
        unread = {(_second(row[1]), _second(row[2])) for row in rows if _second(row[4])}
        return len(self.connections_to(ports) & unread)

    def resident_bytes(self) -> int:
        """Return the memory that the process holds."""
        return int(psutil.Process(self.running.pid).memory_info().rss)

    def api(self) -> httpx2.Client:
        """Return a client of the management API, with its access token."""
        granted = httpx2.post(
            f"{self.url}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=("ops", self.client_secret),
        ).raise_for_status()
        token = granted.json()["access_token"]
        return httpx2.Client(base_url=self.url, headers={"Authorization": f"Bearer {token}"})

    def metric(self, line_start: str) -> float:
        """Return the sum of the samples in ``/metrics`` whose line starts with *line_start*."""
        text = httpx2.get(f"{self.url}/metrics").raise_for_status().text
        lines = [line for line in text.splitlines() if line.startswith(line_start)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)
