"""Who may send events, and who may call the management API."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from dispatcher.domain.applications import ManagedBy
from dispatcher.domain.errors import Fault, InvalidSettings
from dispatcher.domain.events import Audience, ClientId, SourceName, is_initiator
from dispatcher.domain.reading import Reader

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_NAME_RULE = "1 to 64 of a-z, 0-9, - and _, the first a letter or a digit"


class SourceFormat(StrEnum):
    """The shape in which a source tells of events."""

    NATIVE = "native"


class Proof(StrEnum):
    """What a webhook's signature proves."""

    OK = "ok"
    MALFORMED = "malformed"
    STALE = "stale"
    MISMATCH = "mismatch"


class Scope(StrEnum):
    """What a management client may do."""

    READ_CLIENTS = "read:clients"
    CREATE_CLIENTS = "create:clients"
    UPDATE_CLIENTS = "update:clients"
    DELETE_CLIENTS = "delete:clients"
    READ_SESSIONS = "read:sessions"
    READ_EVENTS = "read:events"
    REPLAY_DELIVERIES = "replay:deliveries"
    READ_KEYS = "read:keys"
    ROTATE_KEYS = "rotate:keys"
    READ_SOURCES = "read:sources"
    UPDATE_SOURCES = "update:sources"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Who may send events, and how it proves itself.

    ``secrets`` are Standard Webhooks HMAC secrets (``whsec_…``); several are valid at once while
    one is being replaced. ``initiators`` is None where the source may send any.
    """

    name: SourceName
    format: SourceFormat = SourceFormat.NATIVE
    secrets: tuple[str, ...] = field(default=(), repr=False)
    bearer_tokens: tuple[str, ...] = field(default=(), repr=False)
    audience: Audience = Audience.SESSION
    initiators: frozenset[str] | None = None
    managed_by: ManagedBy = ManagedBy.FILE


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagementClient:
    """Who may call the management API; of the secret only its hash is kept."""

    client_id: ClientId
    secret_hash: str = field(repr=False)
    scopes: frozenset[Scope]


@dataclass(frozen=True, slots=True)
class DeclaredClient:
    """A management client with its secret as the operator wrote it: hashed before it is stored."""

    client_id: ClientId
    secret: str = field(repr=False)
    scopes: frozenset[Scope]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What an access token allows, until it expires."""

    client_id: ClientId
    scopes: frozenset[Scope]
    expires_at: datetime


_SOURCE_MEMBERS = frozenset(
    {"name", "format", "secret", "secrets", "bearer_token", "audience", "initiators"}
)


def source_from(document: Mapping[str, object], *, path: str = "") -> Source:
    """Read a source's record; raise InvalidSettings with every fault, secrets never quoted."""
    faults: list[Fault] = []
    root = Reader(document, path=path, faults=faults)
    root.refuse_others(_SOURCE_MEMBERS)
    secret, bearer = root.text("secret"), root.text("bearer_token")
    secrets = root.texts("secrets", ok=bool, rule="a secret") or ()
    source = Source(
        name=SourceName(root.required("name", ok=_is_name, rule=_NAME_RULE)),
        format=root.choice("format", SourceFormat, [*SourceFormat]) or SourceFormat.NATIVE,
        secrets=((secret,) if secret else ()) + secrets,
        bearer_tokens=(bearer,) if bearer else (),
        audience=root.choice("audience", Audience, [*Audience]) or Audience.SESSION,
        initiators=_initiators(root),
    )
    if not source.secrets and not source.bearer_tokens:
        root.fault("secret", "is required, or a bearer_token: a source must prove itself")
    if faults:
        raise InvalidSettings(faults)
    return source


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def _initiators(root: Reader) -> frozenset[str] | None:
    names = root.texts("initiators", ok=is_initiator, rule="an initiator's name")
    return None if names is None else frozenset(names)
