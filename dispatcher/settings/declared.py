"""The declarative file (TOML): sources, management clients and applications.

Applied at every start: it creates and replaces what it names and owns it; it never deletes. Every
secret may also be given as ``…_file``, the path of a file that holds it.
"""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from dispatcher.domain.applications import (
    Application,
    ManagedBy,
    RegistrationRules,
    application_from,
)
from dispatcher.domain.errors import Fault, Invalid, InvalidSettings
from dispatcher.domain.events import IDENTIFIER_RULE, ClientId, is_identifier
from dispatcher.domain.reading import Reader
from dispatcher.domain.sources import (
    SECRET_MEMBERS,
    DeclaredClient,
    Scope,
    Source,
    source_from,
)
from dispatcher.settings.files import Unreadable, secret_of, text_of

T = TypeVar("T")

_TABLES = frozenset({"sources", "management_clients", "applications"})
_CLIENT_MEMBERS = frozenset({"client_id", "client_secret", "scopes"})
_SECRETS: Mapping[str, tuple[str, ...]] = {
    "sources": (*SECRET_MEMBERS, *(f"{name}s" for name in SECRET_MEMBERS)),
    "management_clients": ("client_secret",),
    "applications": (),  # certificates and keys come as files of their own, which egress reads
}


_NOT_READ = "not: read"
"""Stands in for any secret that can not be read, a header among them: one fault is enough."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What the file names."""

    sources: tuple[Source, ...] = ()
    management_clients: tuple[DeclaredClient, ...] = ()
    applications: tuple[Application, ...] = ()


def read_declared(path: Path, rules: RegistrationRules) -> Declared:
    """Read the file at *path*; raise InvalidSettings with every fault of every table."""
    document = _toml(path)
    faults: list[Fault] = []
    Reader(document, faults=faults).refuse_others(_TABLES)
    file_rules = replace(rules, managed_by=ManagedBy.FILE)

    declared = Declared(
        sources=_each(
            document,
            "sources",
            lambda table: source_from(table, allow_http=rules.allow_http),
            faults,
        ),
        management_clients=_each(document, "management_clients", _client_from, faults),
        applications=_each(
            document, "applications", lambda table: application_from(table, file_rules), faults
        ),
    )
    _once(declared, faults)
    if faults:
        raise InvalidSettings([Fault(f"{path}: {one.field}", one.message) for one in faults])
    return declared


def _toml(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(text_of(path))
    except Unreadable as error:
        raise InvalidSettings([Fault("DISPATCHER_CONFIG", f"{path} {error}")]) from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettings([Fault(str(path), f"is not TOML: {error}")]) from None
    except (ValueError, RecursionError):
        message = "is not TOML: a number is too long, or something is nested too deeply"
        raise InvalidSettings([Fault(str(path), message)]) from None


def _each(
    document: Mapping[str, object],
    name: str,
    read: Callable[[Mapping[str, object]], T],
    faults: list[Fault],
) -> tuple[T, ...]:
    """Read each table of the array *name*, going on after a faulty one."""
    read_whole: list[T] = []
    for path, table in Reader(document, faults=faults).items(name):
        if not isinstance(table, dict):
            faults.append(Fault(path, "must be a table"))
            continue
        found: list[Fault] = []
        given = _with_secrets(table, _SECRETS[name], found)
        try:
            read_whole.append(read(given))
        except Invalid as error:
            found += error.faults
        faults += [Fault(f"{path}.{fault.field}", fault.message) for fault in found]
    return tuple(read_whole)


def _with_secrets(
    table: Mapping[str, object], names: Sequence[str], faults: list[Fault]
) -> dict[str, object]:
    """Return *table* with each secret of *names* that is given as a file read from there.

    So is each of several (``secrets_file = ["new", "old"]``), while one replaces the other.
    """
    given = dict(table)
    for name in names:
        path = given.pop(f"{name}_file", None)
        if path is None:
            continue
        if name in given:
            faults.append(Fault(f"{name}_file", f"stands beside {name}; give one of them"))
        else:
            read = _secrets if name.endswith("s") else _secret
            given[name] = read(path, f"{name}_file", faults)
    return given


def _secrets(paths: object, member: str, faults: list[Fault]) -> list[str]:
    if isinstance(paths, list):
        return [_secret(path, f"{member}[{at}]", faults) for at, path in enumerate(paths)]
    faults.append(Fault(member, "must be an array of strings, the paths of files"))
    return []


def _secret(path: object, member: str, faults: list[Fault]) -> str:
    """Return the secret in the file at *path*; where there is none, something to go on with."""
    try:
        if isinstance(path, str):
            return secret_of(path)
        faults.append(Fault(member, "must be a string, the path of a file"))
    except Unreadable as error:
        faults.append(Fault(member, str(error)))
    return _NOT_READ


def _client_from(table: Mapping[str, object]) -> DeclaredClient:
    faults: list[Fault] = []
    root = Reader(table, faults=faults)
    root.refuse_others(_CLIENT_MEMBERS)
    scopes = root.texts(
        "scopes", ok=lambda text: text in [*Scope], rule=f"one of {', '.join(Scope)}"
    )
    client = DeclaredClient(
        client_id=ClientId(root.required("client_id", ok=is_identifier, rule=IDENTIFIER_RULE)),
        secret=root.required("client_secret"),
        scopes=frozenset(map(Scope, scopes or ())),
    )
    if not scopes and not any(fault.field.startswith("scopes") for fault in faults):
        root.fault("scopes", "is required: what may this client do?")
    if faults:
        raise InvalidSettings(faults)
    return client


def _once(declared: Declared, faults: list[Fault]) -> None:
    """Note what the file names twice."""
    named: dict[str, list[str]] = {
        "sources": [source.name for source in declared.sources],
        "management_clients": [client.client_id for client in declared.management_clients],
        "applications": [application.client_id for application in declared.applications],
    }
    for table, names in named.items():
        twice = sorted({name for name in names if names.count(name) > 1})
        faults.extend(Fault(table, f"name {name!r} twice") for name in twice)
