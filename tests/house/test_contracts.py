"""The house as contracts: all are kept, and each one is broken by what it is there against."""

import shutil
import sys
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from importlinter import configuration
from importlinter.application.use_cases import lint_imports

from tests.kit.folders import a_folder

ROOT = Path(__file__).parents[2]
PACKAGES = ("dispatcher", "keys")
CONTRACTS: list[str] = [
    contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "importlinter"
    ]["contracts"]
]


@dataclass(frozen=True)
class Sabotage:
    """One line too many in a file of the source, and the contract that it breaks."""

    contract: str
    file: str
    line: str


SABOTAGES = [
    Sabotage(
        "The floors: an import only goes down",
        "dispatcher/adapters/clock.py",
        "from dispatcher.pipeline import upkeep",
    ),
    Sabotage(
        "The floors: an import only goes down",
        "dispatcher/settings/files.py",
        "from dispatcher.pipeline import upkeep",
    ),
    Sabotage("The floors: an import only goes down", "dispatcher/utils.py", "import math"),
    Sabotage(
        "The vault lies under the house and knows nothing of it",
        "keys/errors.py",
        "from dispatcher.domain import errors",
    ),
    Sabotage(
        "Only the roof names an adapter",
        "dispatcher/commands/local.py",
        "from dispatcher.adapters import clock",
    ),
    Sabotage(
        "Only the roof, the stores and the door to the vault open it",
        "dispatcher/commands/local.py",
        "from keys import seal",
    ),
    Sabotage(
        "How things lie in a store is the stores' own business",
        "dispatcher/web/queries.py",
        "from dispatcher.stored import values",
    ),
    Sabotage(
        "The work knows no settings: it is given plain values",
        "dispatcher/web/routes.py",
        "from dispatcher.settings import environment",
    ),
    Sabotage(
        "One vendor, one room: cryptography and tokens in the vault",
        "dispatcher/adapters/vault.py",
        "import cryptography",
    ),
    Sabotage(
        "One vendor, one room: cryptography and tokens in the vault",
        "dispatcher/adapters/egress/tls.py",
        "import jwt",
    ),
    Sabotage(
        "One vendor, one room: the second JOSE implementation only in the demo's sample"
        " applications",
        "keys/jwk.py",
        "import joserfc",
    ),
    Sabotage(
        "One vendor, one room: the web framework in the face and the roof",
        "dispatcher/commands/check.py",
        "import starlette",
    ),
    Sabotage(
        "One vendor, one room: the parser of answers in egress",
        "dispatcher/web/routes.py",
        "import httptools",
    ),
    Sabotage(
        "One vendor, one room: the HTTP client where keys are fetched, and in the commands",
        "dispatcher/adapters/vault.py",
        "import httpx2",
    ),
    Sabotage(
        "One vendor, one room: SQLite in its store",
        "dispatcher/adapters/egress/sender.py",
        "import apsw",
    ),
    Sabotage(
        "One vendor, one room: PostgreSQL in its store",
        "dispatcher/adapters/sqlite/engine.py",
        "import psycopg",
    ),
    Sabotage(
        "One vendor, one room: metrics and logs in telemetry",
        "dispatcher/app.py",
        "import structlog",
    ),
    Sabotage(
        "The ground floor does no I/O, reads no clock, rolls no dice",
        "dispatcher/domain/retry.py",
        "import uuid",
    ),
    Sabotage(
        "The work runs on anyio, so that it can be simulated on another clock",
        "dispatcher/pipeline/workers.py",
        "import asyncio",
    ),
    Sabotage(
        "Adapters do not know each other",
        "dispatcher/adapters/vault.py",
        "from dispatcher.adapters import clock",
    ),
    Sabotage(
        "No cycles anywhere", "dispatcher/domain/errors.py", "from dispatcher.domain import reading"
    ),
    Sabotage("No cycles anywhere", "keys/errors.py", "from keys import seal"),
]


@dataclass(frozen=True)
class Tree:
    """A copy of the source and its contracts, and what they say of it."""

    folder: Path

    def broken(self) -> list[str]:
        """Return the contracts that the copy breaks, by what the linter's own command tells."""
        told = StringIO()
        with redirect_stdout(told):
            kept: bool = lint_imports(
                config_filename=str(self.folder / "pyproject.toml"),
                cache_dir=str(self.folder / "cache"),
                is_debug_mode=True,
            )
        text = " ".join(told.getvalue().split())  # a long name is told on two lines
        broken = [name for name in CONTRACTS if f"{name} BROKEN" in text]
        assert [name for name in CONTRACTS if f"{name} KEPT" not in text] == broken
        assert kept is (broken == [])
        return broken


@pytest.fixture(scope="module")
def copied() -> Iterator[Tree]:
    """Copy the source once: what was read of a file that has not changed is kept."""
    configuration.configure()
    with a_folder() as folder:
        for package in PACKAGES:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / package, folder / package, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", folder)
        yield Tree(folder)


@pytest.fixture
def tree(copied: Tree, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """Return the copy, found under the packages' names in place of the source itself."""
    monkeypatch.syspath_prepend(str(copied.folder))
    for package in PACKAGES:
        monkeypatch.delitem(sys.modules, package, raising=False)
    return copied


def test_every_contract_is_kept(tree: Tree) -> None:
    """The source breaks none of its contracts."""
    assert tree.broken() == []


def test_every_contract_is_tried() -> None:
    """For each contract there is something that breaks it, and for nothing else."""
    assert {sabotage.contract for sabotage in SABOTAGES} == set(CONTRACTS)
    assert len(CONTRACTS) == len(set(CONTRACTS))


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda one: f"{one.file}: {one.line}")
def test_a_contract_is_broken_by_what_it_is_against(tree: Tree, sabotage: Sabotage) -> None:
    """One import too many breaks the one contract that is there against it."""
    file = tree.folder / sabotage.file
    sound = file.read_bytes() if file.exists() else None
    try:
        file.write_bytes((sound or b"") + f"\n{sabotage.line}\n".encode())
        broken = tree.broken()
    finally:
        file.unlink() if sound is None else file.write_bytes(sound)

    assert broken == [sabotage.contract]
