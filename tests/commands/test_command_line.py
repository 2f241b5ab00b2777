"""The real command line as a process: what an operator sees, and its exit codes.

An operator's mistake is one clear line for each fault on standard error and exit code 1, never a
traceback.
"""

import base64
import json
import os
import re
import secrets
import signal
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anyio
import apsw
import httpx2
import pytest
from standardwebhooks import Webhook

from dispatcher.__main__ import _leaves, _lines_of
from dispatcher.adapters.clock import SystemClock
from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.domain.errors import Fault, InvalidSettings, StoreUnavailable
from keys import Seal
from tests.kit.folders import a_folder
from tests.kit.service import ROOT, Service, free_port

DEPLOY = ROOT / "deploy"
COMMAND = [sys.executable, "-m", "dispatcher"]
STORE = "store.db"


def a_master_key() -> str:
    """Make a master key."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")


@dataclass
class Told:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def faults(self) -> list[str]:
        """The faults told on standard error, without the word that begins each line."""
        return [re.sub("^(error: |FAULT )", "", line) for line in self.err.splitlines()]


@dataclass
class Operator:
    """Somebody in a folder of their own, with an environment, who gives commands."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make settings that the service can run with."""
        self.environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "DISPATCHER_ISSUER": "https://op.example/",
            "DISPATCHER_STORE": f"sqlite:///{STORE}",
            "DISPATCHER_LISTEN": "127.0.0.1:0",
            "DISPATCHER_MASTER_KEY": a_master_key(),
            "DISPATCHER_ALGORITHMS": "ES256",
        }

    def give(self, *arguments: str) -> Told:
        """Give one command and wait for its end; no command may end with a traceback."""
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stdout + done.stderr
        return Told(done.returncode, done.stdout, done.stderr)

    def make_the_store(self) -> None:
        """Make the store under the master key that is given now."""
        seal = Seal.from_text(self.environ["DISPATCHER_MASTER_KEY"])
        path = self.folder / STORE

        async def made() -> None:
            """Open it once."""
            await (await SqliteStore.open(path, clock=SystemClock(), seal=seal)).close()

        anyio.run(made)


@pytest.fixture
def operator() -> Iterator[Operator]:
    """Return an operator with sound settings and an empty folder."""
    with a_folder() as folder:
        yield Operator(folder)


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    """Return a service that runs, and holds its store and its port."""
    with (
        a_folder() as folder,
        Service(folder, [], environment={"DISPATCHER_ALGORITHMS": "ES256"}) as service,
    ):
        service.start()
        yield service


def test_the_version_is_the_packages(operator: Operator) -> None:
    """``--version`` prints the version of the installed package, and nothing else."""
    told = operator.give("--version")

    assert told == Told(0, f"{version('backchannel-logout-dispatcher')}\n", "")


def test_help_names_every_command(operator: Operator) -> None:
    """``--help`` says what there is, without any setting."""
    operator.environ = {name: operator.environ[name] for name in ("PATH", "PYTHONPATH")}

    told = operator.give("--help")

    assert (told.code, told.err) == (0, "")
    assert all(name in told.out for name in ("serve", "check", "migrate", "demo"))


@pytest.mark.parametrize("arguments", [["nonsense"], ["serve", "--nonsense"]])
def test_what_is_no_command_is_refused(operator: Operator, arguments: list[str]) -> None:
    """An unknown command or option is refused with a word of it, and exit code 2."""
    told = operator.give(*arguments)

    assert (told.code, told.out) == (2, "")
    assert arguments[-1] in told.err


def test_check_tells_what_it_found(operator: Operator) -> None:
    """``check`` prints the settings and what is behind each door, and hides the secret."""
    told = operator.give("check")

    assert (told.code, told.err) == (0, "")
    assert "DISPATCHER_ISSUER=https://op.example/" in told.out.splitlines()
    assert re.findall("^ok +([a-z]+): ", told.out, flags=re.MULTILINE) == [
        "store", "keys", "clock", "egress", "listen",
    ]  # fmt: skip
    assert operator.environ["DISPATCHER_MASTER_KEY"] not in told.out


def test_check_prints_json(operator: Operator) -> None:
    """``check --json`` prints one document: the settings, and each finding; typos are no fault."""
    operator.environ["DISPATCHER_ISUER"] = "x"

    told = operator.give("check", "--json")

    document = json.loads(told.out)
    assert (told.code, told.err) == (0, "")
    assert document["settings"]["DISPATCHER_ISSUER"] == "https://op.example/"
    assert document["settings"]["DISPATCHER_MASTER_KEY"] == "**********"
    assert document["findings"][0]["door"] == "DISPATCHER_ISUER"
    assert all(one.keys() == {"door", "found", "ok"} for one in document["findings"])


def test_check_prints_its_faults_as_json(operator: Operator) -> None:
    """``check --json`` tells faults within the document, and by its exit code."""
    operator.environ["DISPATCHER_LOG"] = "x"

    told = operator.give("check", "--json")

    assert (told.code, told.err) == (1, "")
    assert json.loads(told.out)["findings"] == [
        {"door": "DISPATCHER_LOG", "found": "input should be 'json' or 'console'", "ok": False}
    ]


def a_wrong_setting(operator: Operator) -> list[str]:
    """Get two settings wrong."""
    operator.environ |= {"DISPATCHER_LOG": "x", "DISPATCHER_GRACE": "15"}
    return [
        "DISPATCHER_GRACE: must be a duration such as 90s, 15m, 168h or 30d, 0s to 10m",
        "DISPATCHER_LOG: input should be 'json' or 'console'",
    ]


def no_master_key(operator: Operator) -> list[str]:
    """Give no master key."""
    del operator.environ["DISPATCHER_MASTER_KEY"]
    return ["DISPATCHER_MASTER_KEY: is required"]


def a_short_master_key(operator: Operator) -> list[str]:
    """Give a master key of 31 bytes."""
    key = base64.urlsafe_b64encode(secrets.token_bytes(31)).decode().rstrip("=")
    operator.environ["DISPATCHER_MASTER_KEY"] = key
    return ["DISPATCHER_MASTER_KEY: A master key is 32 bytes, base64url."]


def another_master_key(operator: Operator) -> list[str]:
    """Give another master key than the one that the store was made with."""
    operator.make_the_store()
    operator.environ["DISPATCHER_MASTER_KEY"] = a_master_key()
    return [
        (
            "DISPATCHER_MASTER_KEY: does not open what is sealed in this store (meta canary):"
            " This was sealed under a master key that is not at hand."
        )
    ]


def a_newer_store(operator: Operator) -> list[str]:
    """Use the store of a release to come."""
    operator.make_the_store()
    with apsw.Connection(str(operator.folder / STORE)) as connection:
        known = connection.pragma("user_version")
        connection.pragma("user_version", 999)
    connection.close()
    return [
        f"DISPATCHER_STORE: has schema version 999, this release knows {known}; run the newer one"
    ]


def no_config(operator: Operator) -> list[str]:
    """Name a declarative file that is not there."""
    operator.environ["DISPATCHER_CONFIG"] = "missing.toml"
    return ["DISPATCHER_CONFIG: missing.toml can not be read: No such file or directory"]


def a_faulty_config(operator: Operator) -> list[str]:
    """Write a declarative file with two faults."""
    (operator.folder / "a.toml").write_text("[[sources]]\nname = 'idp'\n[[applictions]]\n")
    operator.environ["DISPATCHER_CONFIG"] = "a.toml"
    proof = "is required, or bearer_token or header: a source must prove itself"
    return [
        "a.toml: applictions: is not a known member",
        f"a.toml: sources[0].secret: {proof}",
    ]


MISTAKES: list[Callable[[Operator], list[str]]] = [
    a_wrong_setting,
    no_master_key,
    a_short_master_key,
    another_master_key,
    a_newer_store,
    no_config,
    a_faulty_config,
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_check_tells_a_mistake_by_one_line_for_each_fault(
    operator: Operator, mistake: Callable[[Operator], list[str]]
) -> None:
    """An operator's mistake is one clear line for each fault, and exit code 1."""
    faults = mistake(operator)

    told = operator.give("check")

    assert (told.code, told.faults) == (1, faults)
    assert operator.environ.get("DISPATCHER_MASTER_KEY", "none") not in told.out + told.err


@pytest.mark.parametrize(
    ("command", "mistake"),
    [("serve", another_master_key), ("migrate", a_faulty_config)],
)
def test_a_mistake_stops_the_start(
    operator: Operator, command: str, mistake: Callable[[Operator], list[str]]
) -> None:
    """What check tells stops the other commands in the same words."""
    faults = mistake(operator)

    told = operator.give(command)

    assert (told.code, told.out, told.faults) == (1, "", faults)


def test_errors_of_tasks_within_tasks_are_told_one_by_one() -> None:
    """An error that ended the tasks around it is found, however many those are."""
    fault = InvalidSettings([Fault("DISPATCHER_LISTEN", "in use"), Fault("DISPATCHER_LOG", "odd")])
    inner = ExceptionGroup("of a task", [fault, StoreUnavailable("It is gone.")])

    lines = [line for error in _leaves(ExceptionGroup("", [inner])) for line in _lines_of(error)]

    assert lines == ["DISPATCHER_LISTEN: in use", "DISPATCHER_LOG: odd", "It is gone."]


def test_what_the_terminal_can_not_show_ends_nothing(operator: Operator) -> None:
    """A path beyond the terminal's characters is shown as well as can be."""
    operator.environ |= {"DISPATCHER_STORE": "sqlite:///é.db", "PYTHONIOENCODING": "ascii"}

    told = operator.give("check")

    assert (told.code, told.err) == (0, "")
    assert "DISPATCHER_STORE=sqlite:///\\xe9.db" in told.out


@pytest.mark.parametrize("command", ["check", "serve"])
def test_a_store_in_use_is_refused(running: Service, command: str) -> None:
    """A store belongs to one process: another one says which, and ends with exit code 1."""
    assert running.process is not None
    operator = Operator(running.folder)
    operator.environ |= running.environ() | {"DISPATCHER_LISTEN": "127.0.0.1:0"}

    told = operator.give(command)

    assert (told.code, told.faults) == (
        1,
        [
            (
                f"DISPATCHER_STORE: {running.folder}/dispatcher.db is in use by process"
                f" {running.process.pid}; a SQLite store belongs to one process"
            )
        ],
    )
    assert httpx2.get(f"{running.url}/readyz").status_code == 200


@pytest.mark.parametrize("command", ["check", "serve"])
def test_a_port_in_use_is_refused(running: Service, operator: Operator, command: str) -> None:
    """A port that another process listens on is named with its variable, exit code 1."""
    operator.environ["DISPATCHER_LISTEN"] = f"127.0.0.1:{running.port}"

    told = operator.give(command)

    assert (told.code, told.faults) == (
        1,
        [f"DISPATCHER_LISTEN: 127.0.0.1:{running.port}: Address already in use"],
    )


def test_a_part_of_the_service_needs_another_store(operator: Operator) -> None:
    """On a SQLite store there is no other role than all."""
    told = operator.give("serve", "--role", "api")

    assert (told.code, told.faults) == (
        1,
        ["--role: 'api': a SQLite store belongs to one process, whose role is all"],
    )
    assert list(operator.folder.iterdir()) == []


def test_migrate_brings_the_store_up_to_date(operator: Operator) -> None:
    """``migrate`` makes the store, and says what it is."""
    told = operator.give("migrate")

    assert (told.code, told.err) == (0, "")
    assert re.fullmatch(rf"SQLite [\d.]+ at {STORE}, schema \d+, .*\n", told.out)
    assert stat.S_IMODE((operator.folder / STORE).stat().st_mode) == 0o600


def test_the_config_option_goes_before_the_variable(operator: Operator) -> None:
    """``--config`` names the declarative file, whatever the environment says."""
    operator.environ["DISPATCHER_CONFIG"] = "missing.toml"
    (operator.folder / "a.toml").touch()

    told = operator.give("check", "--config", "a.toml")

    assert (told.code, told.err) == (0, "")
    assert "DISPATCHER_CONFIG=a.toml" in told.out


@contextmanager
def served(operator: Operator, *arguments: str) -> Iterator[str]:
    """Run ``serve`` until the block ends, by SIGTERM; give its URL, once it listens."""
    with subprocess.Popen(
        [*COMMAND, "serve", *arguments],
        cwd=operator.folder,
        env=operator.environ | {"DISPATCHER_LOG": "json", "DISPATCHER_DRAIN_DELAY": "0s"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            lines = map(json.loads, process.stdout)
            url = next(line["url"] for line in lines if line["event"] == "service.listening")
            httpx2.get(f"{url}/livez").raise_for_status()
            yield url
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()


def modes_of(folder: Path) -> dict[str, int]:
    """Return the mode of each file in *folder*."""
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


def declared_in(folder: Path) -> dict[str, Any]:
    """Return what the folder's declarative file says."""
    return tomllib.loads((folder / "dispatcher.toml").read_text())


def accepted(url: str, secret: str) -> int:
    """Send one event as the folder's source, and return the answer's status."""
    body = json.dumps({"id": "e1", "initiator": "rp-logout", "sub": "alice", "clients": []})
    now = datetime.now(UTC)
    headers = {
        "content-type": "application/json",
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", now, body),
    }
    return httpx2.post(f"{url}/webhooks/idp", content=body, headers=headers).status_code


def test_a_local_folder_is_all_that_is_needed(operator: Operator) -> None:
    """``serve --local`` makes what it lacks, for its owner alone, works, and keeps it."""
    operator.environ = {
        **{name: operator.environ[name] for name in ("PATH", "PYTHONPATH")},
        "DISPATCHER_LISTEN": f"127.0.0.1:{free_port()}",
        "DISPATCHER_ALGORITHMS": "ES256",
    }
    data = operator.folder / "data"

    with served(operator, "--local", "data") as url:
        first = declared_in(data)
        modes = modes_of(data)
        answers = [accepted(url, first["sources"][0]["secret"])]
    master_key = (data / "master.key").read_text()
    with served(operator, "--local", "data") as url:
        ops = first["management_clients"][0]
        granted = httpx2.post(
            f"{url}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(ops["client_id"], ops["client_secret"]),
        )
        answers += [accepted(url, first["sources"][0]["secret"]), granted.status_code]

    assert answers == [202, 202, 200]
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert modes.keys() >= {"master.key", "dispatcher.toml", "dispatcher.db"}
    assert set(modes.values()) == {0o600}
    assert declared_in(data) == first
    assert (data / "master.key").read_text() == master_key


def test_a_local_folder_that_can_not_be_used_is_refused(operator: Operator) -> None:
    """``serve --local`` on what is no folder says so in one line."""
    (operator.folder / "file").touch()

    told = operator.give("serve", "--local", "file")

    assert (told.code, told.faults) == (1, ["--local: file can not be used: File exists"])


def settings_of(example: str) -> dict[str, str]:
    """Return the variables of an example of the environment, those behind a # too."""
    pairs = re.findall(r"^(?:# )?(DISPATCHER_\w+)=(.*)$", example, flags=re.MULTILINE)
    return dict(pairs)


def placed(text: str, folder: Path, contents: Mapping[str, str]) -> str:
    """Put each secret file that *text* names into *folder*, and name it there."""
    for path in re.findall(r"/run/secrets/[\w-]+", text):
        name = path.rsplit("/", 1)[1]
        (folder / name).write_text(contents[name] + "\n")
    return text.replace("/run/secrets/", f"{folder}/")


def test_the_examples_are_accepted_as_they_stand(operator: Operator) -> None:
    """Both examples of the operator's guide are accepted, once their files are where they say."""
    folder = operator.folder
    contents = {
        "dispatcher-master-key": a_master_key(),
        "dispatcher-idp": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "dispatcher-keycloak": secrets.token_urlsafe(32),
        "dispatcher-ops": secrets.token_urlsafe(32),
    }
    environment = placed((DEPLOY / "env.example").read_text(), folder, contents)
    declared = placed((DEPLOY / "dispatcher.example.toml").read_text(), folder, contents)
    (folder / "dispatcher.toml").write_text(declared)
    del operator.environ["DISPATCHER_MASTER_KEY"], operator.environ["DISPATCHER_ALGORITHMS"]
    operator.environ |= settings_of(environment.replace("/etc/dispatcher/", f"{folder}/"))

    told = operator.give("check")

    assert (told.code, told.err) == (0, "")
    assert "dispatcher.toml: 2 applications, 3 sources, 1 management clients" in told.out
    assert "not a setting" not in told.out
    assert {path.name for path in folder.iterdir()} >= contents.keys()
    assert not any(secret in told.out for secret in contents.values())
