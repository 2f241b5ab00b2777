"""The profile of the code: short functions, short files, plain names."""

import ast
from pathlib import Path
from statistics import median, quantiles

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "dispatcher").rglob("*.py"), *(ROOT / "keys").rglob("*.py")])
STORES = ROOT / "dispatcher" / "adapters" / "sqlite"
SHUNNED = {"utils", "helpers", "common", "core", "base", "manager"}


def lengths_of(path: Path) -> dict[str, int]:
    """Return the lines of each function's body in *path*, its docstring aside."""
    lengths = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            first = body[0].lineno if body else node.lineno
            lengths[f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"] = (
                (node.end_lineno or first) - first + 1
            )
    return lengths


ALL_LENGTHS = {name: length for path in SOURCES for name, length in lengths_of(path).items()}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_holds_one_idea(path: Path) -> None:
    """A file has under 400 lines, a file of a store under 500."""
    allowed = 500 if path.is_relative_to(STORES) else 400

    lines = len(path.read_text(encoding="utf-8").splitlines())

    assert lines < allowed


def test_no_function_is_long() -> None:
    """No function's body is longer than 40 lines."""
    long = {name: length for name, length in ALL_LENGTHS.items() if length > 40}

    assert long == {}


def test_functions_are_short() -> None:
    """The median function has 3 to 7 lines, and 9 in 10 are under 22."""
    lengths = list(ALL_LENGTHS.values())

    assert 3 <= median(lengths) <= 7
    assert quantiles(lengths, n=10)[-1] < 22


def test_modules_are_named_for_what_they_are() -> None:
    """No module is named for being of use to others."""
    stems = {path.stem for path in SOURCES} | {path.parent.name for path in SOURCES}

    assert stems & SHUNNED == set()
