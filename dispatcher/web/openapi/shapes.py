"""How JSON Schema is written here: short, and strict unless it says otherwise."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TypeAlias

Schema: TypeAlias = Mapping[str, object]

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
ANYTHING: Schema = {"type": "object"}
COUNT: Schema = {"type": "integer", "minimum": 0}
MOMENT: Schema = {"type": "string", "format": "date-time"}
IDENTIFIER: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "pattern": r"^[\x20-\x7e]+$",
}
INITIATOR: Schema = {"type": "string", "pattern": "^[a-z][a-z0-9-]{0,63}$"}
METADATA: Schema = {
    "type": "object",
    "maxProperties": 25,
    "additionalProperties": {"type": "string", "maxLength": 255},
}


def ref(name: str) -> Schema:
    """Return a reference to the schema *name*."""
    return {"$ref": f"#/components/schemas/{name}"}


def record(optional: Iterable[str] = (), **members: Schema) -> Schema:
    """Return an object that has *members* and no others; all of them but the *optional* ones."""
    return {
        "type": "object",
        "properties": members,
        "required": [name for name in members if name not in {*optional}],
        "additionalProperties": False,
    }


def partial(**members: Schema) -> Schema:
    """Return an object each of whose *members* may be left out, and that has no others."""
    return record(members, **members)


def array(items: Schema, **rules: object) -> Schema:
    """Return an array of *items*."""
    return {"type": "array", "items": items, **rules}


def one_of(*kinds: type[StrEnum], more: Iterable[str] = ()) -> Schema:
    """Return one of the names of closed sets, or of *more*."""
    return {"type": "string", "enum": [*(str(one) for kind in kinds for one in kind), *more]}


def or_null(schema: Schema) -> Schema:
    """Return *schema*, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def page(member: str, items: Schema) -> Schema:
    """Return a page of a list: its items, and where the next one begins."""
    return record(**{member: array(items), "next": or_null(TEXT)})
