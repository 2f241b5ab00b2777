"""``serve --local``: a folder with everything that the service needs to be tried."""

import stat
from pathlib import Path

import pytest

from dispatcher.adapters.vault import faults_of_source
from dispatcher.commands.local import local_environment
from dispatcher.domain.applications import RegistrationRules
from dispatcher.domain.errors import InvalidSettings
from dispatcher.domain.sources import Scope
from dispatcher.settings import Settings, read_declared
from keys import Seal

MADE = {"master.key", "dispatcher.toml"}


def test_the_folder_is_enough_to_start_with(tmp_path: Path) -> None:
    """With nothing in the environment the folder gives settings that are whole and sound."""
    settings = Settings.from_env(local_environment(tmp_path / "data", {}))

    assert settings.config is not None
    declared = read_declared(settings.config, RegistrationRules())
    Seal.from_text(settings.master_key.get_secret_value())
    assert [source.name for source in declared.sources] == ["idp"]
    assert {one.client_id: one.scopes for one in declared.management_clients} == {"ops": {*Scope}}
    assert [fault for source in declared.sources for fault in faults_of_source(source)] == []


def test_everything_is_in_the_folder(tmp_path: Path) -> None:
    """The store and every file lie in the folder, and only this machine is reached."""
    folder = tmp_path / "a" / "b"

    settings = Settings.from_env(local_environment(folder, {}))

    assert {file.name for file in folder.iterdir()} == MADE
    assert (settings.store_path, settings.config) == (
        folder / "dispatcher.db",
        folder / "dispatcher.toml",
    )
    assert settings.listen.on_loopback
    assert [str(network) for network in settings.egress_allow] == ["127.0.0.0/8"]


@pytest.mark.parametrize("there", [True, False])
def test_the_folder_is_its_owners_alone(tmp_path: Path, *, there: bool) -> None:
    """Folder and files are for the owner alone, also where the folder was there before."""
    folder = tmp_path / "data"
    if there:
        folder.mkdir(mode=0o755)

    local_environment(folder, {})

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_secrets_are_made_once(tmp_path: Path) -> None:
    """At the second start nothing is made anew: not the secrets, not what somebody changed."""
    local_environment(tmp_path, {})
    (tmp_path / "dispatcher.toml").write_text("# mine\n")
    key = (tmp_path / "master.key").read_text()

    local_environment(tmp_path, {})

    assert (tmp_path / "master.key").read_text() == key
    assert (tmp_path / "dispatcher.toml").read_text() == "# mine\n"


def test_secrets_are_random(tmp_path: Path) -> None:
    """No two folders have a secret in common."""
    local_environment(tmp_path / "one", {})
    local_environment(tmp_path / "other", {})

    one, other = (
        {line for name in MADE for line in (folder / name).read_text().splitlines()}
        for folder in (tmp_path / "one", tmp_path / "other")
    )

    assert [line for line in one & other if "secret =" in line or len(line) > 100] == []
    assert (tmp_path / "one/master.key").read_text() not in other


def test_what_is_given_counts(tmp_path: Path) -> None:
    """What the environment says goes before the folder's defaults; what is empty says nothing."""
    given = {
        "DISPATCHER_ISSUER": "https://op.example/",
        "DISPATCHER_MASTER_KEY": "mine",
        "DISPATCHER_CONFIG": " ",
        "DISPATCHER_LOG": "json",
        "HOME": "/nowhere",
    }

    environ = local_environment(tmp_path, given)

    settings = Settings.from_env(environ)
    assert (settings.issuer, settings.log) == ("https://op.example/", "json")
    assert settings.master_key.get_secret_value() == "mine"
    assert settings.config == tmp_path / "dispatcher.toml"
    assert environ["HOME"] == "/nowhere"


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_master_key_is_none(tmp_path: Path, empty: str) -> None:
    """An empty master key in the environment does not keep the folder's from being used."""
    settings = Settings.from_env(local_environment(tmp_path, {"DISPATCHER_MASTER_KEY": empty}))

    assert settings.master_key.get_secret_value() == (tmp_path / "master.key").read_text()


@pytest.mark.parametrize(
    ("name", "reason"), [("file", "File exists"), ("file/data", "Not a directory")]
)
def test_a_folder_that_can_not_be_used_is_named(tmp_path: Path, name: str, reason: str) -> None:
    """Where the folder can not be made, that is said in one line."""
    (tmp_path / "file").touch()

    with pytest.raises(InvalidSettings) as caught:
        local_environment(tmp_path / name, {})

    assert [str(fault) for fault in caught.value.faults] == [
        f"--local: {tmp_path / name} can not be used: {reason}"
    ]
