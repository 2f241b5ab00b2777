"""What is written about the service is compared with the service."""

import re
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

from dispatcher.domain.deliveries import TRANSITIONS, DeliveryState
from dispatcher.domain.events import KNOWN_INITIATORS
from dispatcher.settings.environment import Settings, shown_value, variable

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
OPERATORS = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_described(name: str) -> None:
    """The operator's table has each variable with the default and the meaning of the source."""
    field = Settings.model_fields[name]
    default = "required"
    if field.default is not PydanticUndefined:
        default = f"`{shown_value(field.default)}`" if shown_value(field.default) else "none"

    row = f"| `{variable(name)}` | {default} | {field.description} |"

    assert row in OPERATORS.splitlines()


def test_the_diagram_of_a_delivery_is_the_table() -> None:
    """The README's state diagram has each transition of TRANSITIONS, and no other."""
    drawn = set(re.findall(r"^ +(\w+) --> (\w+): (\w+)$", README, flags=re.MULTILINE))

    table = {
        (state.value, after.value, move.value)
        for state in DeliveryState
        for move, after in TRANSITIONS[state].items()
    }

    assert drawn == table


def test_every_initiator_is_named() -> None:
    """The README names each known initiator."""
    missing = [name for name in KNOWN_INITIATORS if f"`{name}`" not in README]

    assert missing == []


def test_every_make_target_is_described() -> None:
    """Each target of the Makefile says what it does, and the README's two commands are targets."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)
    assert phony is not None

    described = set(re.findall(r"^([a-z]+):.*## \S", makefile, flags=re.MULTILINE))

    assert described == set(phony.group(1).split())
    assert {"run", "test"} <= described


def test_every_metric_is_described() -> None:
    """The operator's guide names each metric that the service exposes."""
    source = (ROOT / "dispatcher/adapters/telemetry.py").read_text(encoding="utf-8")
    counters = set(re.findall(r'counter\(\s*"(\w+)"', source))
    others = set(re.findall(r'(?:gauge|histogram)\(\s*"(\w+)"', source))

    names = {f"dispatcher_{name}_total" for name in counters}
    names |= {f"dispatcher_{name}" for name in others}

    assert [name for name in sorted(names) if f"`{name}" not in OPERATORS] == []
