"""The stage: the real service as a process of its own, and the sample applications on their ports.

Everything lies in a temporary folder, every secret is random, every port is free, and all is gone
at the end.
"""

import base64
import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import httpx2
import uvicorn
from anyio.abc import Process

from dispatcher.commands.demo.rp import Registration, SampleRp, published_keys
from dispatcher.commands.demo.scenario import SampleApplication, Scenario
from dispatcher.commands.demo.source import Source
from dispatcher.domain.applications import Mode
from dispatcher.domain.errors import DispatcherError

SECONDS_TO_START = 20
SECONDS_TO_END = 10
LOG_LINES_SHOWN = 30
_SENDERS = """\
[[sources]]
name = "{source.name}"
secret = "{source.written_secret}"

[[management_clients]]
client_id = "demo"
client_secret = "{client_secret}"
scopes = ["read:events", "read:sessions"]"""
INHERITED = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH")


class DemoFailed(DispatcherError):
    """The demo could not be played to its end."""

    code = "demo_failed"


@dataclass(frozen=True, slots=True)
class OnAir:
    """A sample application with the socket that it listens on."""

    rp: SampleRp
    bound: socket.socket

    @property
    def url(self) -> str:
        """Where the application is."""
        return "http://{}:{}".format(*self.bound.getsockname())


@dataclass(slots=True, kw_only=True)
class Stage:
    """All that takes part; *exit_code* and *last_words* are the service's, once it has ended."""

    url: str
    client: httpx2.AsyncClient
    source: Source
    client_secret: str = field(repr=False)
    applications: Mapping[str, OnAir]
    folder: Path
    exit_code: int | None = None
    last_words: str = ""

    async def sessions(self) -> dict[str, dict[str, str]]:
        """Ask every application over HTTP which sessions (sid → user) it holds."""
        held: dict[str, dict[str, str]] = {}
        for client_id, on_air in self.applications.items():
            answer = await self.client.get(f"{on_air.url}/sessions")
            held[client_id] = answer.raise_for_status().json()["sessions"]
        return held

    async def access_token(self) -> str:
        """Get an access token for the management API."""
        form = {"grant_type": "client_credentials"}
        answer = await self.client.post(
            f"{self.url}/oauth/token", data=form, auth=("demo", self.client_secret)
        )
        return str(_good(answer)["access_token"])

    async def api(self, path: str, access_token: str, **query: str) -> dict[str, Any]:
        """Read *path* of the management API."""
        answer = await self.client.get(
            f"{self.url}/api/v2{path}",
            params=query,
            headers={"authorization": f"Bearer {access_token}"},
        )
        return _good(answer)


def _good(answer: httpx2.Response) -> dict[str, Any]:
    if not answer.is_success:
        raise DemoFailed(f"{answer.url} answered {answer.status_code}: {answer.text}")
    read: dict[str, Any] = answer.json()
    return read


@asynccontextmanager
async def staged(scenario: Scenario) -> AsyncIterator[Stage]:
    """Start the service and the applications of *scenario*, and end them again."""
    url = f"http://127.0.0.1:{_free_port()}"
    with TemporaryDirectory(prefix="dispatcher-demo-") as folder:
        async with httpx2.AsyncClient(trust_env=False, timeout=10) as client:
            with _on_their_ports(scenario, url, client) as applications:
                stage = Stage(
                    url=url,
                    client=client,
                    source=Source("idp", f"{url}/webhooks/idp"),
                    client_secret=secrets.token_urlsafe(32),
                    applications=applications,
                    folder=Path(folder),
                )
                declare(stage, scenario)
                async with _served(applications), _service(stage):
                    yield stage


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return int(bound.getsockname()[1])


@contextmanager
def _on_their_ports(
    scenario: Scenario, issuer: str, client: httpx2.AsyncClient
) -> Iterator[dict[str, OnAir]]:
    """Bind a free port for each application: its URI is known before it is served."""
    applications = {
        one.client_id: OnAir(_sample(one, scenario, issuer, client), _bound())
        for one in scenario.applications
    }
    try:
        yield applications
    finally:
        for on_air in applications.values():
            on_air.bound.close()


def _bound() -> socket.socket:
    bound = socket.create_server(("127.0.0.1", 0), backlog=128)
    bound.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    return bound


def _sample(
    one: SampleApplication, scenario: Scenario, issuer: str, client: httpx2.AsyncClient
) -> SampleRp:
    return SampleRp(
        Registration(
            client_id=one.client_id,
            issuer=issuer,
            algorithm=one.algorithm,
            token_type=one.token_type.value,
        ),
        sessions=scenario.sessions_of(one.client_id),
        fetch_keys=lambda: published_keys(client, issuer),
        stumbles=one.stumbles,
    )


class _Server(uvicorn.Server):
    """uvicorn within our own process: the signals are ours."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


@asynccontextmanager
async def _served(applications: Mapping[str, OnAir]) -> AsyncIterator[None]:
    """Serve the applications on their sockets."""
    servers: list[_Server] = []
    async with anyio.create_task_group() as tasks:
        for on_air in applications.values():
            config = uvicorn.Config(
                on_air.rp.app, ws="none", lifespan="off", log_config=None, access_log=False
            )
            servers.append(_Server(config))
            tasks.start_soon(servers[-1].serve, [on_air.bound])
        try:
            yield
        finally:
            for server in servers:
                server.should_exit = True


@asynccontextmanager
async def _service(stage: Stage) -> AsyncIterator[None]:
    """Run ``dispatcher serve`` until the end, which is a SIGTERM.

    It has a session of its own: a Ctrl+C in our terminal is for us, and we end it in order.
    """
    with (stage.folder / "service.log").open("wb") as log:
        process = await anyio.open_process(
            [sys.executable, "-m", "dispatcher", "serve", "--config", _config(stage)],
            env=environment(stage, os.environ),
            cwd=stage.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        await _ready(stage, process)
        yield
    except (DemoFailed, httpx2.HTTPError) as error:
        raise DemoFailed(f"{error}\nThe service's last words:\n{_last_words(stage)}") from error
    finally:
        with anyio.CancelScope(shield=True):
            stage.exit_code = await _ended(process)
            stage.last_words = _last_words(stage)


async def _ready(stage: Stage, process: Process) -> None:
    """Wait until the service says that it is ready."""
    with anyio.move_on_after(SECONDS_TO_START):
        while process.returncode is None:
            if await _is_ready(stage):
                return
            await anyio.sleep(0.05)
    what = "ended" if process.returncode is not None else "was not ready in time"
    raise DemoFailed(f"the service {what}")


def _last_words(stage: Stage) -> str:
    """Return the end of what the service wrote to its standard output and error."""
    lines = (stage.folder / "service.log").read_text(errors="replace").splitlines()
    return "\n".join(lines[-LOG_LINES_SHOWN:])


async def _is_ready(stage: Stage) -> bool:
    try:
        return (await stage.client.get(f"{stage.url}/readyz")).is_success
    except httpx2.TransportError:
        return False


async def _ended(process: Process) -> int:
    if process.returncode is None:
        process.terminate()
    with anyio.move_on_after(SECONDS_TO_END):
        return await process.wait()
    process.kill()
    return await process.wait()


def environment(stage: Stage, ours: Mapping[str, str]) -> dict[str, str]:
    """Return the service's whole environment: of *ours* only what any program needs."""
    return {name: ours[name] for name in INHERITED if name in ours} | {
        "DISPATCHER_ISSUER": stage.url,
        "DISPATCHER_LISTEN": stage.url.removeprefix("http://"),
        "DISPATCHER_STORE": f"sqlite:///{stage.folder / 'dispatcher.db'}",
        "DISPATCHER_MASTER_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "DISPATCHER_ALGORITHMS": "RS256,ES256",
        "DISPATCHER_EGRESS_ALLOW": "127.0.0.0/8",
        "DISPATCHER_EGRESS_ALLOW_HTTP": "true",
        "DISPATCHER_DISK_RESERVE": "16MiB",
        "DISPATCHER_DRAIN_DELAY": "0s",
        "DISPATCHER_LOG": "json",
    }


def declare(stage: Stage, scenario: Scenario) -> None:
    """Write the declarative file: who may send events, who may read, and the applications."""
    tables = [_SENDERS.format(source=stage.source, client_secret=stage.client_secret)]
    for one in scenario.applications:
        uri = f"{stage.applications[one.client_id].url}/backchannel-logout"
        tables.append(_application(one, uri))
    path = Path(_config(stage))
    path.touch(mode=0o600)
    path.write_text("\n\n".join(tables) + "\n", encoding="utf-8")


def _config(stage: Stage) -> str:
    return str(stage.folder / "dispatcher.toml")


def _application(one: SampleApplication, uri: str) -> str:
    """Return one application's table; what JSON calls a string or an array, TOML does too."""
    selected = (
        f"\nselected_initiators = {json.dumps(one.selected)}" if one.mode is Mode.CUSTOM else ""
    )
    return f"""\
[[applications]]
client_id = "{one.client_id}"
name = "{one.client_id.title()}"
jwt_configuration = {{ alg = "{one.algorithm}" }}
logout_delivery = {{ token_type = "{one.token_type.value}" }}

[applications.oidc_logout]
backchannel_logout_urls = ["{uri}"]

[applications.oidc_logout.backchannel_logout_initiators]
mode = "{one.mode}"{selected}"""
