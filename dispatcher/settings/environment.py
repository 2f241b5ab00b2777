"""The environment: every ``DISPATCHER_*`` variable, read once, at the start, and nowhere else.

Each secret may also be given as ``…_FILE``: the path of a file that holds it. A wrong value stops
the start with the variable's name, the value's fault and what is allowed.
"""

import ipaddress
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails

from dispatcher.domain.errors import Fault, InvalidSettings
from dispatcher.domain.events import KNOWN_INITIATORS
from dispatcher.domain.reading import format_duration
from dispatcher.settings import values
from dispatcher.settings.files import Unreadable, secret_of
from dispatcher.settings.values import Listen, StoreUrl

__all__ = [
    "CLIENT_VARIABLES",
    "PREFIX",
    "SECRETS",
    "Listen",
    "LogFormat",
    "Settings",
    "shown_value",
    "unknown_variables",
    "variable",
]

PREFIX = "DISPATCHER_"
SECRETS = frozenset({"master_key", "store", "postgres_direct"})
CLIENT_VARIABLES = frozenset({"url", "client_id", "client_secret", "source", "source_secret"})
"""Read by the commands that talk to a running service, not by the service."""


class LogFormat(StrEnum):
    """How log lines are written."""

    JSON = "json"
    CONSOLE = "console"


Texts = Annotated[tuple[str, ...], BeforeValidator(values.parts)]
Networks = Annotated[
    tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...], BeforeValidator(values.networks)
]


class Settings(BaseModel):
    """Everything that the environment says; each field is the variable ``DISPATCHER_<FIELD>``."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        validate_default=False,
    )

    issuer: Annotated[str, AfterValidator(values.issuer)]
    """`iss` of every token, byte for byte"""
    store: Annotated[StoreUrl, BeforeValidator(values.store)] = StoreUrl("sqlite:///dispatcher.db")
    """where events and deliveries are kept: `sqlite:///PATH` or `postgresql://…`, for replicas"""
    postgres_direct: Annotated[StoreUrl | None, BeforeValidator(values.postgres)] = None
    """the same database past a pooler: migrations, and waking each other; the store's unless set"""
    postgres_allow_unsafe: Annotated[bool, BeforeValidator(values.switch)] = False
    """take a server whose `fsync`, `synchronous_commit` or `full_page_writes` is off"""
    listen: Annotated[Listen, BeforeValidator(values.listen)] = Listen("127.0.0.1", 8080)
    """where to listen, in plain HTTP: TLS is terminated in front"""
    management_listen: Annotated[Listen | None, BeforeValidator(values.listen)] = None
    """where health and metrics are served instead, if set"""
    public_url: Annotated[str, AfterValidator(values.url)] | None = Field(
        default=None, validate_default=True
    )
    """used in discovery and links; `http://LISTEN` unless set; required off loopback"""
    trusted_proxies: Networks = ()
    """CIDRs whose forwarding headers are believed"""
    keys: Annotated[str, AfterValidator(values.keys)] = "generated"
    """`generated`, or `folder:/path`: the OP's own private keys as PEM or JWK files"""
    algorithms: Annotated[Texts, AfterValidator(values.algorithms)] = (
        "RS256",
        "PS256",
        "ES256",
        "EdDSA",
    )
    """keys of each are made and published at the first start"""
    master_key: SecretStr
    """32 bytes in base64url, sealing keys and secrets at rest; `current,previous` in a change"""
    config: Path | None = None
    """the declarative file"""
    egress: Literal["public", "private"] = "public"
    """`public`: only public addresses; `private`: RFC 1918 and unique-local ones too"""
    egress_allow: Networks = ()
    """CIDRs allowed besides; metadata and link-local addresses never are"""
    egress_allow_http: Annotated[bool, BeforeValidator(values.switch)] = False
    """allow `http:` Back-Channel Logout URIs"""
    initiators_extra: Annotated[Texts, AfterValidator(values.initiators)] = ()
    """names added to the known initiators"""
    token_lifetime: Annotated[int, BeforeValidator(values.whole_number(10, 120))] = 120
    """seconds from `iat` to `exp` of a logout token"""
    attempt_timeout: Annotated[int, BeforeValidator(values.whole_number(1, 10))] = 5
    """seconds, for one whole attempt"""
    max_in_flight: Annotated[int, BeforeValidator(values.whole_number(1, 4096))] = 256
    """attempts at once, over all applications"""
    horizon: Annotated[timedelta, BeforeValidator(values.duration("1m", "365d"))] = timedelta(
        hours=168
    )
    """how long a delivery is retried"""
    retention: Annotated[timedelta, BeforeValidator(values.duration("1h", "3650d"))] = timedelta(
        days=30
    )
    """how long settled events and deliveries are kept"""
    retention_failed: Annotated[timedelta, BeforeValidator(values.duration("1h", "3650d"))] = (
        timedelta(days=90)
    )
    """how long failed deliveries are kept"""
    session_retention: Annotated[timedelta, BeforeValidator(values.duration("1h", "3650d"))] = (
        timedelta(days=30)
    )
    """how long a session is known after its latest of expiry, last join and end"""
    disk_reserve: Annotated[int, BeforeValidator(values.size)] = 256 << 20
    """free disk below which intake answers 503, so that outcomes can still be recorded"""
    drain_delay: Annotated[timedelta, BeforeValidator(values.duration("0s", "10m"))] = timedelta(
        seconds=3
    )
    """after SIGTERM: how long intake goes on while readiness already answers 503"""
    grace: Annotated[timedelta, BeforeValidator(values.duration("0s", "10m"))] = timedelta(
        seconds=15
    )
    """after that: how long attempts in flight may take to end"""
    discovery_extra: Path | None = None
    """a JSON file whose members are added to the discovery document"""
    log: LogFormat | None = None
    """`json` or `console`; `json` off a terminal and `console` on one, unless set"""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read *environ*; raise InvalidSettings naming every faulty variable."""
        given, faults = _read(environ, frozenset(cls.model_fields))
        try:
            settings = cls.model_validate(given)
        except ValidationError as error:
            # What could not be read is missing too: of the two, only the first helps.
            found = {str(one["loc"][0]): _fault(one) for one in error.errors(include_input=False)}
            raise InvalidSettings([*(found | faults).values()]) from None
        if faults:
            raise InvalidSettings([*faults.values()])
        return settings

    @field_validator("public_url")
    @classmethod
    def _reachable(cls, url: str | None, info: ValidationInfo) -> str | None:
        listen = info.data.get("listen")
        if url is None and listen is not None and not listen.on_loopback:
            raise ValueError("is required where DISPATCHER_LISTEN is not on loopback")
        return url

    @property
    def known_initiators(self) -> tuple[str, ...]:
        """The initiators that an application may select."""
        return tuple(dict.fromkeys((*KNOWN_INITIATORS, *self.initiators_extra)))

    @property
    def store_path(self) -> Path:
        """The SQLite store's file."""
        return self.store.path

    @property
    def shown_url(self) -> str:
        """The service's address, as clients know it."""
        return self.public_url or f"http://{self.listen}"

    def shown(self) -> dict[str, str]:
        """Every variable with the value in force, secrets hidden."""
        return {
            variable(name): shown_value(getattr(self, name)) for name in type(self).model_fields
        }


def variable(field: str) -> str:
    """Return the name of the variable that sets *field*."""
    return PREFIX + field.upper()


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Return the ``DISPATCHER_*`` variables that mean nothing here: typing errors, perhaps."""
    known = {variable(name) for name in (*Settings.model_fields, *CLIENT_VARIABLES)}
    known |= {f"{variable(name)}_FILE" for name in (*SECRETS, "client_secret", "source_secret")}
    return sorted(name for name in environ if name.startswith(PREFIX) and name not in known)


def _read(
    environ: Mapping[str, str], fields: frozenset[str]
) -> tuple[dict[str, str], dict[str, Fault]]:
    """Collect the values given, and by field what is wrong; an empty one counts as not given."""
    given = {name: text for name in fields if (text := environ.get(variable(name), "").strip())}
    faults = {
        name: Fault(variable(name), "must be printable characters of UTF-8")
        for name, text in given.items()
        if not text.isprintable()
    }
    for name in SECRETS:
        source = f"{variable(name)}_FILE"
        path = environ.get(source, "").strip()
        if path and name in given:
            faults[name] = Fault(source, f"stands beside {variable(name)}; give one of them")
        elif path:
            try:
                given[name] = secret_of(path)
            except Unreadable as error:
                faults[name] = Fault(source, str(error))
    return {name: text for name, text in given.items() if name not in faults}, faults


def _fault(details: ErrorDetails) -> Fault:
    message = details["msg"].removeprefix("Value error, ")
    if details["type"] == "missing":
        message = "is required"
    return Fault(variable(str(details["loc"][0])), message[:1].lower() + message[1:])


def shown_value(value: object) -> str:
    """Write a setting's *value* as a person would set it; empty where there is none."""
    match value:
        case timedelta():
            return format_duration(value)
        case Listen():
            return str(value)
        case tuple():
            return ",".join(map(str, value))
        case bool():
            return str(value).lower()
        case None:
            return ""
        case _:
            return str(value)
