"""What lies in the repository, and what never does."""

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKED = sorted((ROOT / "requirements").glob("*.txt"))

_MADE_HERE = {".git", ".venv", ".hypothesis", "__pycache__", "build", "dist", "data"}
_CACHE = re.compile(r"\.\w+_cache")
_KEY_FILES = {".pem", ".key", ".jwk", ".jwks", ".p12", ".pfx", ".der", ".db", ".db-wal", ".lock"}
# The example of the Standard Webhooks specification: the one secret that everybody knows.
_PUBLISHED = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SECRETS = {
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:\\n|\s|\")+[A-Za-z0-9+/]{40}",
    "a certificate": r"-----BEGIN CERTIFICATE-----(?:\\n|\s|\")+[A-Za-z0-9+/]{40}",
    "a private JWK": r"['\"](?:d|p|q|dp|dq|qi|k)['\"]\s*:\s*['\"][A-Za-z0-9_-]{40}",
    "a webhook secret": rf"whsec_(?!{_PUBLISHED})(?=[A-Za-z0-9+/]*[0-9+/])[A-Za-z0-9+/]{{32}}",
    "a signed token": r"eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{20,}",
    "a cloud's access key": r"\bAKIA[A-Z0-9]{16}\b",
    "a forge's token": r"\b(?:ghp|gho|ghs|glpat|github_pat)[_-]\w{20,}",
    "a master key": r"MASTER_KEY[\"']?\s*[=:]\s*[\"']?[A-Za-z0-9_-]{43}\b",
}
_SHARED_ROOTS = {
    "app", "bin", "boot", "dev", "etc", "lib", "media", "mnt", "opt", "private", "proc", "run",
    "sbin", "srv", "sys", "tmp", "usr", "var",
}  # fmt: skip
_A_HOME = r"(?:/home/|/Users/|\b[A-Z]:\\Users\\)\w|/root/"
_AN_INDEX = r"pypi[.]org|pythonhosted[.]org|--(?:extra-)?index-url|PIP_INDEX|UV_INDEX|--find-links"
_A_NOTE = re.compile(r"\b(?:TO[D]O|FIX[M]E|X[X]X|HA[C]K)\b")
_AN_EXCEPTION = re.compile(r"#\s*(noqa|type:\s*ignore)(?P<codes>[^#\n]*)(?P<rest>.*)$")
_NOQA = re.compile(r": [A-Z]+[0-9]+(?:, [A-Z]+[0-9]+)* - \w.*")
_IGNORE = re.compile(r"\[[a-z-]+(?:, ?[a-z-]+)*\]\s*")


def _walk() -> Iterator[Path]:
    """Walk through the tree, past what is made in it."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in _MADE_HERE and not _CACHE.match(name)]
        yield from (Path(folder, name) for name in files if not name.startswith(".coverage"))


FILES = sorted(_walk())
TEXTS = {
    str(path.relative_to(ROOT)): path.read_bytes().decode("utf-8", "replace") for path in FILES
}


def found(pattern: str | re.Pattern[str]) -> list[str]:
    """List where *pattern* is found: file and line."""
    return [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}"
        for name, text in TEXTS.items()
        for match in re.finditer(pattern, text)
    ]


def places_of_this_machine() -> list[str]:
    """Return the paths that lead to this tree here, and would lead nowhere elsewhere."""
    if ROOT.parts[1] in _SHARED_ROOTS:
        return [str(ROOT)] if len(ROOT.parts) > 2 else []
    return [str(folder) for folder in (ROOT, *ROOT.parents) if len(folder.parts) > 1]


def test_there_is_something_to_look_at() -> None:
    """The whole tree is looked at, this file among it."""
    assert {"pyproject.toml", "tests/house/test_repository.py", "keys/vault.py"} <= TEXTS.keys()


@pytest.mark.parametrize("what", SECRETS)
def test_no_secret_lies_in_the_tree(what: str) -> None:
    """Secrets and keys are made when they are needed; none lies in the repository."""
    assert found(SECRETS[what]) == []


def test_no_file_is_key_material() -> None:
    """No file of the repository is named as a key, a certificate or a store is."""
    assert [name for name in TEXTS if Path(name).suffix in _KEY_FILES] == []


def test_keys_of_an_instance_are_not_taken_in() -> None:
    """What a running instance makes beside the source is kept out of the repository by name."""
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()

    assert {"*.pem", "*.key", "*.jwk", "*.db", "*.db-wal", "data/"} <= set(ignored)


@pytest.mark.parametrize("place", places_of_this_machine())
def test_no_path_is_this_machines(place: str) -> None:
    """No file names the place where the tree happens to lie."""
    assert found(rf"(?<![\w.}}-]){re.escape(place)}(?:/|\b)") == []


def test_no_path_is_somebodys_home() -> None:
    """No file names somebody's home."""
    assert [place for place in found(_A_HOME) if "test_repository" not in place] == []


def test_no_index_is_named() -> None:
    """Where packages come from is the machine's own setting."""
    assert [place for place in found(_AN_INDEX) if "test_repository" not in place] == []


def test_nothing_is_left_for_later() -> None:
    """What is not done stands in no comment."""
    assert found(_A_NOTE) == []


@pytest.mark.parametrize("path", LOCKED, ids=lambda path: path.name)
def test_requirements_are_locked(path: Path) -> None:
    """Each locked requirement is one version, with the hash of each of its files."""
    joined = path.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in joined.splitlines() if line and not line.startswith("#")]

    faulty = [
        line.split(" ")[0]
        for line in lines
        if not re.fullmatch(
            r"[\w.-]+==[\w.!+]+(?: ; [^-]+?)?(?:\s+--hash=sha256:[0-9a-f]{64})+", line
        )
    ]

    assert lines
    assert faulty == []


def names_in(requirements: str) -> set[str]:
    """Return the distributions that *requirements* name."""
    return set(re.findall(r"^([\w.-]+)==", requirements, flags=re.MULTILINE))


def test_every_dependency_is_locked() -> None:
    """What the project depends on is in the lock of the service, and that in the developers'."""
    declared = {re.split("[<>=!~ ;[]", one)[0] for one in PROJECT["project"]["dependencies"]}
    needed = {re.split("[<>=!~ ;[]", one)[0] for one in PROJECT["dependency-groups"]["dev"]}

    runtime = names_in((ROOT / "requirements/runtime.txt").read_text(encoding="utf-8"))
    dev = names_in((ROOT / "requirements/dev.txt").read_text(encoding="utf-8"))

    assert declared - runtime == set()
    assert (needed | declared) - dev == set()


def _is_explained(exception: re.Match[str], line_above: str) -> bool:
    """Whether an exception names its rule and its reason."""
    codes, rest = exception["codes"].rstrip(), exception["rest"]
    if exception[1] == "noqa":
        return bool(_NOQA.fullmatch(codes)) or (
            bool(re.match(r": [A-Z]+[0-9]+", codes)) and line_above.lstrip().startswith("# ")
        )
    return bool(_IGNORE.fullmatch(codes)) and bool(re.match(r"# \w", rest))


def test_every_exception_has_its_reason() -> None:
    """Each exception from a rule names the rule, and has its reason beside it or just above."""
    unexplained = []
    for name, text in TEXTS.items():
        if name.endswith(".py") and name != "tests/house/test_repository.py":
            lines = ["", *text.splitlines()]
            unexplained += [
                f"{name}:{number}"
                for number, line in enumerate(lines)
                if (exception := _AN_EXCEPTION.search(line))
                and not _is_explained(exception, lines[number - 1])
            ]

    assert unexplained == []


def test_every_rule_that_is_off_has_its_reason() -> None:
    """Each linter's rule that is switched off for all, or for a folder, has its reason."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = text.split("[tool.ruff.lint]")[1].split("[tool.mypy]")[0]
    switched_off = re.findall(r'^ *"[A-Z]+[0-9]*",.*$|^"[^"]+" = \[.+\].*$', section, re.MULTILINE)

    assert switched_off
    excused = {'  "S106",', '  "S107",', '  "S607",'}  # each under the one that says why
    assert [line for line in switched_off if "# " not in line and line not in excused] == []


def test_the_licence_is_the_one_that_is_named() -> None:
    """The licence that the package names lies beside it, whole."""
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")

    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert licence.split()[:4] == ["Apache", "License", "Version", "2.0,"]
    assert "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
