"""What is printed: the applications, what every event meant for each of them, and the checks."""

import io
import json
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import assert_never

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dispatcher.commands.demo.play import Check, Row
from dispatcher.commands.demo.scenario import Fate, SampleEvent, Scenario, times
from dispatcher.commands.demo.stage import Stage
from dispatcher.domain.applications import Mode

WIDTH = 110
MEANWHILE = """
Now a source tells of these sessions and of their ends, by signed webhooks. An event ends one \
session, or all sessions of a user; ms is from its 202 to the token that the application verified.
"""


def screen() -> Console:
    """Return where to print: on a terminal as wide as it is, else plainly, and wide enough.

    A sign that the output's encoding lacks is a question mark then, not the end of the demo.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=WIDTH)


def overture(stage: Stage) -> str:
    """Return what stands above everything."""
    return f"""
The service runs at {stage.url}, on a SQLite file made for this demo.
These applications hold sessions, each on a port of its own, and verify what they are told:
"""


def applications_table(scenario: Scenario) -> Table:
    """Return who takes part, and what each subscribed to."""
    table = _table("application", "mode", "subscribes to", "token", "")
    for one in scenario.applications:
        told_of = "every initiator, known or to come"
        if one.mode is Mode.CUSTOM:
            told_of = ", ".join(one.selected)
        at_first = f"first answers 503 {times(one.stumbles)}" if one.stumbles else ""
        token = f"{one.algorithm}, typ {one.token_type}"
        table.add_row(Text(one.client_id, "bold"), one.mode, told_of, token, at_first)
    return table


def outcome_table(rows: Sequence[Row], *, width: int = WIDTH) -> Table:
    """Return what every event meant for every application: a section for each event.

    Where the screen is narrow, the modes are left to the first table.
    """
    narrow = width < WIDTH
    table = _outcome_columns(narrow=narrow)
    event: SampleEvent | None = None
    line = 0
    for row in rows:
        if row.event is not event:
            table.add_section()
            event, line = row.event, 0
        table.add_row(*_cells(row, line, narrow=narrow))
        line += 1
    return table


def _outcome_columns(*, narrow: bool) -> Table:
    """Return the table's head; no column may get so narrow that its words are cut."""
    table = _table()
    table.add_column("event", min_width=16)
    table.add_column("who" if narrow else "application", no_wrap=True)
    table.add_column("sessions before → after", min_width=15)
    table.add_column("what happened", min_width=14)
    table.add_column("attempts", justify="right", no_wrap=True)
    table.add_column("ms", justify="right", min_width=5, no_wrap=True)
    return table


def check_line(check: Check) -> Text:
    """Return one check as a line."""
    return Text.assemble(_mark(check.ok), f" {check.name:<18} {check.text}")


def verdict(checks: Sequence[Check]) -> Text:
    """Return the last line."""
    if all(check.ok for check in checks):
        return Text("All is as it should be.", "bold green")
    return Text("NOT all is as it should be: see what is marked with ✗.", "bold red")


def while_it_stays(stage: Stage, scenario: Scenario) -> Text:
    """Return where everything is, and how to send an event to it."""
    forged = scenario.forged
    body = json.dumps({"initiator": forged.initiator, "sub": forged.user})
    urls = [f"  {name:<8} {one.url}/sessions" for name, one in stage.applications.items()]
    return Text(
        "\n".join(
            (
                "",
                f"Everything stays until Ctrl+C. The service: {stage.url}; what it publishes:",
                f"  {stage.url}/.well-known/openid-configuration",
                f"  {stage.url}/metrics",
                "The sessions that the applications hold:",
                *urls,
                f"To end all sessions of {forged.user}, signed as the source {stage.source.name}:",
                "",
                stage.source.shell(body),
                "",
            )
        )
    )


def _table(*headers: str) -> Table:
    table = Table(
        box=box.HORIZONTALS,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
        header_style="bold",
    )
    for header in headers:
        table.add_column(header)
    return table


def _cells(row: Row, line: int, *, narrow: bool) -> Sequence[str | Text]:
    """Return one row's cells; the first lines of a section say what the event was."""
    style = _style(row.fate)
    about = _about(row.event)
    one = row.application
    return (
        about[line] if line < len(about) else "",
        Text(one.client_id if narrow else f"{one.client_id} · {one.mode}", style),
        Text(_sessions(row), style),
        Text.assemble(_mark(row.as_expected), " ", (_happened(row), style)),
        str(row.attempts or ""),
        _milliseconds(row.told_after),
    )


def _about(event: SampleEvent) -> Sequence[Text]:
    about = [Text(event.initiator, "bold"), Text(event.scope)]
    if not event.known:
        about.append(Text("unknown initiator"))
    if event.clients is not None:
        about.append(Text("naming its clients"))
    return about


def _sessions(row: Row) -> str:
    """Return the user's sessions before and after, each without the user's name."""
    before, after = (
        ", ".join(sid.removeprefix(f"{row.event.user}-") for sid in sids)
        for sids in (row.before, row.after)
    )
    return f"{before} → {after or 'none'}" if before else "none"


def _happened(row: Row) -> str:
    stumbles = row.application.stumbles
    if row.fate is Fate.LOGGED_OUT and stumbles:
        return "503, " * stumbles + f"then {row.fate}"
    return row.fate.value


def _style(fate: Fate) -> str:
    match fate:
        case Fate.LOGGED_OUT:
            return "green"
        case Fate.STILL_LOGGED_IN:
            return "bold red"
        case Fate.NOT_SUBSCRIBED | Fate.TOOK_NO_PART:
            return "dim"
        case _:
            assert_never(fate)


def _milliseconds(duration: timedelta | None) -> str:
    return "" if duration is None else f"{duration / timedelta(milliseconds=1):,.0f}"


def _mark(ok: bool) -> Text:  # noqa: FBT001 - the thing shown is a truth value
    return Text("✓", "green") if ok else Text("✗", "bold red")
