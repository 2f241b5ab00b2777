"""The document as a page: plain HTML and one style sheet, without a script, from nowhere else."""

import json
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

STYLE = """\
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 20%, transparent); }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
pre { overflow-x: auto; padding: .75rem; border: 1px solid var(--line); }
details { border-top: 1px solid var(--line); padding: .5rem 0; }
summary { cursor: pointer; }
summary b { display: inline-block; min-width: 4.75rem; }
table { border-collapse: collapse; margin: .5rem 0; }
th, td { text-align: start; vertical-align: top; padding: .25rem 1rem .25rem 0; }
"""

_Described = Mapping[str, Any]


def page_of(document: _Described) -> str:
    """Return the whole page."""
    info, components = document["info"], document["components"]
    operations = "".join(
        _operation(method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    schemas = "".join(_schema(name, one) for name, one in components["schemas"].items())
    title = escape(f"{info['title']} {info['version']}")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width">'
        '<link rel="stylesheet" href="docs.css"></head><body><main>'
        f"<h1>{title}</h1><p>{escape(info['description'])} "
        'The same for machines: <a href="openapi.json">openapi.json</a>.</p>'
        f"<h2>Operations</h2>{operations}<h2>Schemas</h2>{schemas}</main></body></html>\n"
    )


def _operation(method: str, path: str, operation: _Described) -> str:
    parts = [f"<p>{escape(operation['description'])}</p>" if "description" in operation else ""]
    if "parameters" in operation:
        parts.append(_table("Parameters", map(_parameter, operation["parameters"])))
    if "requestBody" in operation:
        parts.append(_table("Body", _contents(operation["requestBody"])))
    parts.append(_table("Answers", map(_answer, operation["responses"].items())))
    return (
        f"<details><summary><b>{method.upper()}</b> <code>{escape(path)}</code> "
        f"{escape(operation['summary'])}</summary>{''.join(parts)}</details>"
    )


def _parameter(parameter: _Described) -> str:
    return _row(f"<code>{escape(parameter['name'])}</code>", escape(parameter["in"]),
                _shape(parameter["schema"]))  # fmt: skip


def _answer(item: tuple[str, _Described]) -> str:
    status, answer = item
    shapes = "".join(_shape(one["schema"]) for one in answer.get("content", {}).values())
    return _row(escape(status), escape(answer["description"]), shapes)


def _contents(body: _Described) -> Iterable[str]:
    for media_type, content in body["content"].items():
        yield _row(f"<code>{escape(media_type)}</code>", _shape(content["schema"]))


def _shape(schema: _Described) -> str:
    """Return a link to a named schema, or what another one says."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    return f"<code>{escape(json.dumps(schema))}</code>"


def _schema(name: str, schema: _Described) -> str:
    text = escape(json.dumps(schema, indent=2))
    return f'<section id="{escape(name)}"><h3>{escape(name)}</h3><pre>{text}</pre></section>'


def _table(caption: str, rows: Iterable[str]) -> str:
    return f"<table><caption>{caption}</caption><tbody>{''.join(rows)}</tbody></table>"


def _row(*cells: str) -> str:
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
