"""The command line: ``dispatcher``, or ``python -m dispatcher``."""

import io
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

import anyio
import typer

from dispatcher.domain.errors import DispatcherError, Fault, Invalid, InvalidSettings

T = TypeVar("T")

app = typer.Typer(
    name="dispatcher",
    help="Delivers OpenID Connect Back-Channel Logout tokens, durably.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="The declarative file; DISPATCHER_CONFIG otherwise.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Delivers OpenID Connect Back-Channel Logout tokens, durably."""
    if version:
        from dispatcher.app import VERSION

        print(VERSION)
        raise typer.Exit


@app.command()
def serve(
    config: ConfigOption = None,
    role: Annotated[
        str, typer.Option(help="all, api or worker; all is the only one on an embedded store.")
    ] = "all",
    local: Annotated[
        Path | None, typer.Option(help="Try it: keep everything, secrets too, in this folder.")
    ] = None,
) -> None:
    """Run the service, until SIGTERM."""
    from dispatcher.app import Role
    from dispatcher.app import serve as run_service
    from dispatcher.commands.local import local_environment
    from dispatcher.settings import Settings

    environ = _environment(config)
    if role not in set(Role):
        raise InvalidSettings([Fault("--role", f"{role!r}: must be one of {', '.join(Role)}")])
    if local is not None:
        environ = local_environment(local, environ)
    settings = Settings.from_env(environ)
    _run(partial(run_service, settings, Role(role)))


@app.command()
def check(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Read the settings, try every door, and print what was found."""
    from dispatcher.commands.check import check as try_doors

    settings, findings = _run(partial(try_doors, _environment(config)))
    if as_json:
        told = [{"door": one.door, "found": one.found, "ok": one.ok} for one in findings]
        print(json.dumps({"settings": settings, "findings": told}, indent=2))
    else:
        for name, value in settings.items():
            print(f"{name}={value}")
        for one in findings:
            stream = sys.stdout if one.ok else sys.stderr
            print(f"{'ok   ' if one.ok else 'FAULT'} {one.door}: {one.found}", file=stream)
    if not all(one.ok for one in findings):
        raise typer.Exit(1)


@app.command()
def migrate(config: ConfigOption = None) -> None:
    """Bring the store's schema up to date."""
    from dispatcher.app import open_house
    from dispatcher.settings import Settings
    from dispatcher.stores import migrate_store

    settings = Settings.from_env(_environment(config))

    async def bring_up_to_date() -> str:
        await migrate_store(settings)
        async with open_house(settings, apply=False) as house:
            return house.store.describe()

    print(_run(bring_up_to_date))


@app.command()
def demo(
    stay: Annotated[bool, typer.Option(help="Keep everything running until Ctrl+C.")] = False,
) -> None:
    """See the main job from end to end, with real sample applications."""
    from dispatcher.commands.demo import demo as show

    if not _run(partial(show, stay=stay)):
        raise typer.Exit(1)


def _environment(config: Path | None) -> dict[str, str]:
    environ = dict(os.environ)
    if config is not None:
        environ["DISPATCHER_CONFIG"] = str(config)
    return environ


def _run(work: Callable[[], Awaitable[T]]) -> T:
    return anyio.run(work, backend_options={"use_uvloop": True})


def main() -> None:
    """Run the command line; an error is one clear line for each fault, and exit code 1."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A path may hold what the terminal can not show; that is no reason to end.
        sys.stdout.reconfigure(errors="backslashreplace")
    told: list[str] = []
    try:
        app()
    except* DispatcherError as group:  # alone, or out of the tasks that it ended
        told += [line for error in _leaves(group) for line in _lines_of(error)]
    for line in told:
        print(f"error: {line}", file=sys.stderr)
    if told:
        sys.exit(1)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _lines_of(error: BaseException) -> list[str]:
    return [str(fault) for fault in error.faults] if isinstance(error, Invalid) else [str(error)]


if __name__ == "__main__":
    main()
