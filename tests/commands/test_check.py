"""``dispatcher check``: every door is tried, and each fault found is told by its name."""

import socket
import time
from collections.abc import Iterator
from functools import partial
from itertools import chain, repeat
from pathlib import Path

import pytest

from dispatcher.adapters.clock import SystemClock
from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.app import open_house
from dispatcher.commands.check import Finding, check
from dispatcher.settings.environment import Settings, variable
from keys import Seal
from tests.kit.folders import a_folder

MASTER_KEY = "KANARI-" * 6 + "A"
DOORS = ["store", "keys", "clock", "egress", "listen"]


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio, as the service does."""
    return "asyncio"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return an empty folder."""
    with a_folder() as folder:
        yield folder


@pytest.fixture
def environ(folder: Path) -> dict[str, str]:
    """Return an environment that the service can run with."""
    return {
        "DISPATCHER_ISSUER": "https://op.example/",
        "DISPATCHER_STORE": f"sqlite:///{folder}/store.db",
        "DISPATCHER_LISTEN": "127.0.0.1:0",
        "DISPATCHER_MASTER_KEY": MASTER_KEY,
        "DISPATCHER_ALGORITHMS": "ES256",
    }


async def findings_of(environ: dict[str, str], **changes: str) -> list[Finding]:
    """Check *environ* with *changes*."""
    changed = {variable(name): text for name, text in changes.items()}
    return (await check(environ | changed))[1]


def faults_of(findings: list[Finding]) -> list[str]:
    """List what stands in the service's way."""
    return [f"{one.door}: {one.found}" for one in findings if not one.ok]


async def test_every_door_opens(environ: dict[str, str], folder: Path) -> None:
    """With sound settings every door is tried and tells what is behind it."""
    _, findings = await check(environ)

    found = {one.door: one.found for one in findings}
    assert list(found) == DOORS
    assert all(one.ok for one in findings)
    assert f"{folder}/store.db, schema" in found["store"]
    assert found["store"].endswith("; 0 applications, 0 sources")
    assert found["keys"] == "sign and verify: ES256"
    assert found["egress"] == "public addresses; allowed: nothing besides; https only"
    assert found["listen"] == "127.0.0.1:0 is free"


async def test_the_settings_in_force_are_shown(environ: dict[str, str]) -> None:
    """Every setting is shown as it is in force, the master key hidden."""
    shown, findings = await check(environ)

    assert shown == Settings.from_env(environ).shown()
    assert "KANARI" not in f"{shown}{findings}"


async def test_check_lets_everything_go(environ: dict[str, str]) -> None:
    """Checking twice finds the same: the store, its lock and the listener are free again."""
    first, second = await findings_of(environ), await findings_of(environ)

    assert [one.door for one in first] == [one.door for one in second] == DOORS
    assert faults_of([*first, *second]) == []


async def test_what_egress_allows_is_told(environ: dict[str, str]) -> None:
    """What is allowed besides public addresses and https is told."""
    findings = await findings_of(
        environ, egress="private", egress_allow="127.0.0.0/8,::1/128", egress_allow_http="true"
    )

    assert findings[DOORS.index("egress")].found == (
        "private addresses; allowed: 127.0.0.0/8, ::1/128; http and https"
    )


async def test_an_unknown_variable_is_reported(environ: dict[str, str]) -> None:
    """A variable that means nothing is reported by name, and is no fault."""
    findings = await findings_of(environ, isuer="KANARI")

    assert findings[0] == Finding(
        "DISPATCHER_ISUER", "is not a setting of this version, and does nothing"
    )
    assert faults_of(findings) == []


async def test_a_typing_error_is_told_beside_its_fault(environ: dict[str, str]) -> None:
    """Where a variable is missing, the misspelt one that stands in its place is told too."""
    environ["DISPATCHER_ISUER"] = environ.pop("DISPATCHER_ISSUER")

    shown, findings = await check(environ)

    assert shown == {}
    assert [one.door for one in findings] == ["DISPATCHER_ISUER", "DISPATCHER_ISSUER"]
    assert faults_of(findings) == ["DISPATCHER_ISSUER: is required"]


async def test_every_fault_of_the_settings_is_told(environ: dict[str, str]) -> None:
    """Each wrong setting is a finding of its own, by its variable."""
    findings = await findings_of(environ, log="x", egress="x")

    assert [one.door for one in findings if not one.ok] == ["DISPATCHER_EGRESS", "DISPATCHER_LOG"]


async def test_every_fault_of_the_file_is_told(environ: dict[str, str], folder: Path) -> None:
    """Each fault of the declarative file is a finding of its own, by its place."""
    config = folder / "dispatcher.toml"
    config.write_text('[[management_clients]]\nclient_id = "ops"\n[[applictions]]\n')
    first = faults_of(await findings_of(environ, config=str(config)))
    config.write_text('[[sources]]\nname = "idp"\nsecret = "KANARI"\n')
    second = faults_of(await findings_of(environ, config=str(config)))

    assert first == [
        f"{config}: applictions: is not a known member",
        f"{config}: management_clients[0].client_secret: is required",
        f"{config}: management_clients[0].scopes: is required: what may this client do?",
    ]
    assert second == [f"{config}: sources.idp.secret: A webhook secret starts with whsec_."]


async def test_a_store_in_use_is_told_plainly(environ: dict[str, str], folder: Path) -> None:
    """While the service runs on the store, check says so, and by which process."""
    store = await SqliteStore.open(
        folder / "store.db", clock=SystemClock(), seal=Seal.from_text(MASTER_KEY)
    )

    findings = await findings_of(environ)

    (fault,) = faults_of(findings)
    assert fault.startswith(f"DISPATCHER_STORE: {folder}/store.db is in use by process ")
    await store.close()


async def test_a_disk_below_the_reserve_is_told(environ: dict[str, str]) -> None:
    """A disk on which intake would be refused at once is a fault of the store's."""
    findings = await findings_of(environ, disk_reserve="999999999GiB")

    assert faults_of(findings) == [
        "store: free disk is below DISPATCHER_DISK_RESERVE: intake would answer 503"
    ]


async def test_a_file_that_is_no_store_is_told(environ: dict[str, str], folder: Path) -> None:
    """A file that is something else is the store's fault, in one line."""
    (folder / "store.db").write_bytes(b"a letter" * 1000)

    (fault,) = faults_of(await findings_of(environ))

    assert fault.startswith("store: The store does not answer: ")
    assert "\n" not in fault


async def test_a_folder_that_is_not_there_is_told(environ: dict[str, str], folder: Path) -> None:
    """A store in a folder that is not there is a fault of its variable."""
    findings = await findings_of(environ, store=f"sqlite:///{folder}/missing/store.db")

    assert faults_of(findings) == [
        (
            f"DISPATCHER_STORE: {folder}/missing/store.db.lock can not be opened: No such file or"
            " directory"
        )
    ]


async def test_keys_that_are_not_there_are_told(environ: dict[str, str], folder: Path) -> None:
    """A folder without keys is a fault of the variable that names it."""
    findings = await findings_of(environ, keys=f"folder:{folder}")

    assert faults_of(findings) == [f"DISPATCHER_KEYS: {folder}: there is no signing key in it"]


async def test_a_port_in_use_is_told(environ: dict[str, str]) -> None:
    """A port that somebody else listens on is a fault of its variable."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"

        findings = await findings_of(environ, listen=listen)

    assert faults_of(findings) == [f"DISPATCHER_LISTEN: {listen}: Address already in use"]


async def test_two_listeners_need_two_ports(environ: dict[str, str]) -> None:
    """Both listeners on one address are told by the second's variable, before the start."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        listen = f"127.0.0.1:{probe.getsockname()[1]}"

    findings = await findings_of(environ, listen=listen, management_listen=listen)

    assert faults_of(findings) == [
        f"DISPATCHER_MANAGEMENT_LISTEN: {listen}: Address already in use"
    ]


async def test_a_host_that_is_not_there_is_told(environ: dict[str, str]) -> None:
    """An address that is not this machine's is a fault of its variable."""
    findings = await findings_of(
        environ, listen="192.0.2.1:8080", public_url="https://logout.example"
    )

    assert faults_of(findings) == [
        "DISPATCHER_LISTEN: 192.0.2.1:8080: Cannot assign requested address"
    ]


async def test_a_clock_that_is_set_meanwhile_is_told(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wall clock that is set while the doors are tried is a fault: timestamps mean nothing."""
    now = time.time()
    times = chain([now], repeat(now + 3600))
    monkeypatch.setattr("dispatcher.app.SystemClock", partial(SystemClock, wall=times.__next__))

    findings = await findings_of(environ)

    assert faults_of(findings) == [
        "clock: the wall clock was set while this ran, or is not that of the store"
    ]


async def test_a_check_changes_nothing(environ: dict[str, str], folder: Path) -> None:
    """What has left the declarative file stays as it is until the service itself starts."""
    declared = folder / "dispatcher.toml"
    environ["DISPATCHER_CONFIG"] = str(declared)
    shop = 'client_id = "shop"\nname = "Shop"\njwt_configuration = {alg = "ES256"}\n'
    declared.write_text(f"[[applications]]\n{shop}")
    async with open_house(Settings.from_env(environ)):
        pass
    declared.write_text("")
    await check(environ)

    async with open_house(Settings.from_env(environ)) as house:
        warnings = list(house.warnings)

    assert [warning for warning in warnings if "shop" in warning]
