"""Who may send events, and who may call the management API."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from urllib.parse import urlsplit

from dispatcher.domain.applications import ManagedBy
from dispatcher.domain.errors import Fault, InvalidSettings
from dispatcher.domain.events import Audience, ClientId, SourceName, is_initiator
from dispatcher.domain.reading import Reader

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_NAME_RULE = "1 to 64 of a-z, 0-9, - and _, the first a letter or a digit"
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+: *[!-~]([ -~]*[!-~])?")
_HEADER_RULE = "a header's name and value, as Name: value"
_URL_CHARACTERS = re.compile(r"[!$-;=?A-Z_a-z\[\]~]+")


class SourceFormat(StrEnum):
    """The shape in which a source tells of events."""

    NATIVE = "native"
    """Ours: the domain's own words."""
    CLOUDEVENTS = "cloudevents"
    """CloudEvents 1.0 over HTTP, whose data is in our words."""
    SET = "set"
    """Security Event Tokens pushed as RFC 8935 says, with CAEP and RISC events."""
    AUTH0_EVENT_STREAM = "auth0-event-stream"
    AUTH0_LOG_STREAM = "auth0-log-stream"
    KEYCLOAK = "keycloak"
    """The webhooks of the event listener ``p2-inc/keycloak-events``."""


class Proof(StrEnum):
    """What a webhook's signature, or a security event token, proves."""

    OK = "ok"
    MALFORMED = "malformed"
    STALE = "stale"
    MISMATCH = "mismatch"
    ISSUER = "issuer"
    """Signed by the issuer's key, and says that it is of another issuer."""
    AUDIENCE = "audience"
    """Signed by the issuer, for somebody else."""


class PassedOver(StrEnum):
    """Why what a source told of became neither an event nor a join: answered well, and counted."""

    ENDS_NOTHING = "ends_nothing"
    """It is of a kind that ends no session."""
    NO_SUBJECT = "no_subject"
    """It ends sessions, and names neither a session nor a user by an identifier that we know."""
    UNUSABLE = "unusable"
    """It ends or joins sessions, and is not as its sender documents it."""
    CONTRADICTS = "contradicts"
    """Its id came before with other content, or its session with another user."""
    NOT_ALLOWED = "not_allowed"
    """Its initiator is one that this source may not send."""
    TEST = "test"
    """Its sender tries out whether anybody is there."""


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
class Issuer:
    """Who signs a source's security event tokens, where its keys are, and whom they are for."""

    issuer: str
    jwks_uri: str
    expected_aud: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Who may send events, and how it proves itself.

    ``secrets`` are Standard Webhooks HMAC secrets (``whsec_…``), ``headers`` are ``Name: value``,
    ``hmac_secrets`` those of a Keycloak; several of a kind are valid at once while one is being
    replaced. ``issuer`` is that of a source of security event tokens, and None for any other.
    ``initiators`` is None where the source may send any.
    """

    name: SourceName
    format: SourceFormat = SourceFormat.NATIVE
    secrets: tuple[str, ...] = field(default=(), repr=False)
    bearer_tokens: tuple[str, ...] = field(default=(), repr=False)
    headers: tuple[str, ...] = field(default=(), repr=False)
    hmac_secrets: tuple[str, ...] = field(default=(), repr=False)
    issuer: Issuer | None = None
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


SECRET_MEMBERS = ("secret", "bearer_token", "header", "hmac_secret")
"""What holds a secret; each may be given once, and several under the same name with an ``s``."""
_ISSUER_MEMBERS = ("issuer", "jwks_uri", "expected_aud")
_PROOFS: Mapping[SourceFormat, Sequence[str]] = {
    SourceFormat.NATIVE: ("secret", "bearer_token", "header"),
    SourceFormat.CLOUDEVENTS: ("secret", "bearer_token", "header"),
    SourceFormat.SET: ("bearer_token", "header"),
    SourceFormat.AUTH0_EVENT_STREAM: ("bearer_token", "header"),
    SourceFormat.AUTH0_LOG_STREAM: ("bearer_token", "header"),
    SourceFormat.KEYCLOAK: ("hmac_secret", "bearer_token", "header"),
}
"""By which secrets a source of each format can prove itself: what its sender can truly do.

A security event token proves itself by its signature; a secret is asked for besides.
"""
_SOURCE_MEMBERS = frozenset(
    {
        *("name", "format", "audience", "initiators"),
        *SECRET_MEMBERS,
        *(f"{name}s" for name in SECRET_MEMBERS),
        *_ISSUER_MEMBERS,
    }
)


def source_from(
    document: Mapping[str, object],
    *,
    path: str = "",
    allow_http: bool = False,
    managed_by: ManagedBy = ManagedBy.FILE,
) -> Source:
    """Read a source's record; raise InvalidSettings with every fault, secrets never quoted.

    *allow_http* says whether keys may be fetched over plain HTTP.
    """
    faults: list[Fault] = []
    root = Reader(document, path=path, faults=faults)
    root.refuse_others(_SOURCE_MEMBERS)
    secrets = {name: _secrets(root, name) for name in SECRET_MEMBERS}
    name = SourceName(root.required("name", ok=_is_name, rule=_NAME_RULE))
    kind = root.choice("format", SourceFormat, [*SourceFormat])
    source = Source(
        name=name,
        format=kind or SourceFormat.NATIVE,
        secrets=secrets["secret"],
        bearer_tokens=secrets["bearer_token"],
        headers=secrets["header"],
        hmac_secrets=secrets["hmac_secret"],
        issuer=_issuer(root, allow_http=allow_http) if kind is SourceFormat.SET else None,
        audience=root.choice("audience", Audience, [*Audience]) or Audience.SESSION,
        initiators=_initiators(root),
        managed_by=managed_by,
    )
    if kind is not None or "format" not in root:
        _check_proof(root, source.format, secrets)
    if faults:
        raise InvalidSettings(faults)
    return source


def document_of(source: Source) -> dict[str, object]:
    """Return the record that ``source_from`` reads as *source*, its secrets among it."""
    document: dict[str, object] = {
        "name": source.name,
        "format": source.format.value,
        "audience": source.audience.value,
    }
    for name in SECRET_MEMBERS:
        if held := getattr(source, f"{name}s"):
            document[f"{name}s"] = [*held]
    if source.initiators is not None:
        document["initiators"] = sorted(source.initiators)
    if source.issuer is not None:
        document |= {name: getattr(source.issuer, name) for name in _ISSUER_MEMBERS}
    return document


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def _secrets(root: Reader, name: str) -> tuple[str, ...]:
    """Read a secret, and those beside which it is valid while one replaces the other."""
    ok, rule = (_is_header, _HEADER_RULE) if name == "header" else (bool, "a secret")
    one = root.text(name, ok=lambda text: not text or ok(text), rule=rule)
    return ((one,) if one else ()) + (root.texts(f"{name}s", ok=ok, rule=rule) or ())


def _is_header(text: str) -> bool:
    return _HEADER.fullmatch(text) is not None


def _issuer(root: Reader, *, allow_http: bool) -> Issuer:
    schemes = ("https", "http") if allow_http else ("https",)
    return Issuer(
        issuer=root.required("issuer"),
        jwks_uri=root.required(
            "jwks_uri",
            ok=lambda text: _is_url(text, schemes),
            rule=f"an {' or '.join(schemes)} URL without user and fragment",
        ),
        expected_aud=root.required("expected_aud"),
    )


def _is_url(text: str, schemes: Sequence[str]) -> bool:
    try:
        split = urlsplit(text)
        reachable = bool(split.hostname) and split.port != 0
    except ValueError:
        return False
    plain = _URL_CHARACTERS.fullmatch(text) is not None
    return split.scheme in schemes and reachable and plain


def _check_proof(root: Reader, kind: SourceFormat, secrets: Mapping[str, Sequence[str]]) -> None:
    """Note each member that proves nothing in this format, and the lack of one that does."""
    fitting = _PROOFS[kind]
    for name in SECRET_MEMBERS:
        if name not in fitting:
            _refuse(root, (name, f"{name}s"), kind)
    if kind is SourceFormat.SET:
        return
    _refuse(root, _ISSUER_MEMBERS, kind)
    if not any(secrets[name] for name in fitting):
        others = " or ".join(fitting[1:])
        root.fault(fitting[0], f"is required, or {others}: a source must prove itself")


def _refuse(root: Reader, names: Sequence[str], kind: SourceFormat) -> None:
    for name in names:
        if name in root:
            root.fault(name, f"proves nothing in the format {kind.value}")


def _initiators(root: Reader) -> frozenset[str] | None:
    names = root.texts("initiators", ok=is_initiator, rule="an initiator's name")
    return None if names is None else frozenset(names)
