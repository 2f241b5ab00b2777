"""The environment: every ``DISPATCHER_*`` variable, read once, at the start, and nowhere else.

Each secret may also be given as ``…_FILE``: the path of a file that holds it. A wrong value stops
the start with the variable's name, the value's fault and what is allowed.
"""

import ipaddress
from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from dispatcher.domain.errors import Fault, InvalidSettings
from dispatcher.domain.events import KNOWN_INITIATORS, is_initiator
from dispatcher.domain.reading import format_duration, parse_duration

PREFIX = "DISPATCHER_"
SECRETS = frozenset({"master_key"})
CLIENT_VARIABLES = frozenset({"url", "client_id", "client_secret", "source", "source_secret"})
"""Read by the commands that talk to a running service, not by the service."""

Address = ipaddress.IPv4Network | ipaddress.IPv6Network


_HIGHEST = 65535


class Listen(NamedTuple):
    """Where to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class LogFormat(StrEnum):
    """How log lines are written."""

    JSON = "json"
    CONSOLE = "console"


def _listen(value: object) -> object:
    if not isinstance(value, str):
        return value
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > _HIGHEST:
        raise ValueError("must be HOST:PORT, as 127.0.0.1:8080 or [::1]:8080")
    return Listen(host.strip("[]"), int(port))


def _issuer(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"https", "http"} or not parts.netloc or set(value) & set("?# "):
        raise ValueError("must be a URL without query and fragment (OpenID Connect Core section 2)")
    return value


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"https", "http"} or not parts.netloc or set(value) & set("?# "):
        raise ValueError("must be an http or https URL without query and fragment")
    return value.rstrip("/")


def _store(value: str) -> str:
    if value.startswith("sqlite:///") and len(value) > len("sqlite:///"):
        return value
    raise ValueError("must be sqlite:///PATH (sqlite:////PATH for an absolute one)")


def _keys(value: str) -> str:
    if value == "generated" or (value.startswith("folder:") and len(value) > len("folder:")):
        return value
    raise ValueError("must be generated, or folder:/path/to/keys")


def _duration(least: str, most: str) -> Callable[[object], object]:
    lowest, highest = parse_duration(least), parse_duration(most)

    def read(value: object) -> object:
        duration = parse_duration(value) if isinstance(value, str) else value
        if not isinstance(duration, timedelta) or not (
            lowest is not None and highest is not None and lowest <= duration <= highest
        ):
            raise ValueError(f"must be a duration such as 90s, 15m, 168h or 30d, {least} to {most}")
        return duration

    return read


def _bytes(value: object) -> object:
    if not isinstance(value, str):
        return value
    for suffix, size in (("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("", 1)):
        digits = value.removesuffix(suffix)
        if value.endswith(suffix) and digits.isascii() and digits.isdigit():
            return int(digits) * size
    raise ValueError("must be a size such as 268435456, 256MiB or 1GiB")


def _list(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _algorithms(value: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [name for name in value if name not in {"RS256", "PS256", "ES256", "EdDSA"}]
    if unknown or not value or len(set(value)) != len(value):
        raise ValueError("must be some of RS256, PS256, ES256, EdDSA, each once")
    return value


def _initiators(value: tuple[str, ...]) -> tuple[str, ...]:
    for name in value:
        if not is_initiator(name):
            raise ValueError(f"{name!r} is not an initiator's name: ^[a-z][a-z0-9-]{{0,63}}$")
    return value


Texts = Annotated[tuple[str, ...], BeforeValidator(_list)]
Networks = Annotated[tuple[Address, ...], BeforeValidator(_list)]


class Settings(BaseModel):
    """Everything that the environment says; each field is the variable ``DISPATCHER_<FIELD>``."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        validate_default=False,
    )

    issuer: Annotated[str, AfterValidator(_issuer)]
    """`iss` of every token, byte for byte"""
    store: Annotated[str, AfterValidator(_store)] = "sqlite:///dispatcher.db"
    """where events and deliveries are kept: `sqlite:///PATH`"""
    listen: Annotated[Listen, BeforeValidator(_listen)] = Listen("127.0.0.1", 8080)
    """where to listen, in plain HTTP: TLS is terminated in front"""
    management_listen: Annotated[Listen | None, BeforeValidator(_listen)] = None
    """where health and metrics are served instead, if set"""
    public_url: Annotated[str | None, AfterValidator(_url)] = None
    """used in discovery and links; `http://LISTEN` unless set; required off loopback"""
    trusted_proxies: Networks = ()
    """CIDRs whose forwarding headers are believed"""
    keys: Annotated[str, AfterValidator(_keys)] = "generated"
    """`generated`, or `folder:/path`: the OP's own private keys as PEM or JWK files"""
    algorithms: Annotated[Texts, AfterValidator(_algorithms)] = ("RS256", "PS256", "ES256", "EdDSA")
    """keys of each are made and published at the first start"""
    master_key: SecretStr
    """32 bytes in base64url, sealing keys and secrets at rest; `current,previous` in a change"""
    config: Path | None = None
    """the declarative file"""
    egress: Literal["public", "private"] = "public"
    """`public`: only public addresses; `private`: RFC 1918 and unique-local ones too"""
    egress_allow: Networks = ()
    """CIDRs allowed besides; metadata and link-local addresses never are"""
    egress_allow_http: bool = False
    """allow `http:` Back-Channel Logout URIs"""
    initiators_extra: Annotated[Texts, AfterValidator(_initiators)] = ()
    """names added to the known initiators"""
    token_lifetime: Annotated[int, Field(ge=10, le=120)] = 120
    """seconds from `iat` to `exp` of a logout token"""
    attempt_timeout: Annotated[int, Field(ge=1, le=10)] = 5
    """seconds, for one whole attempt"""
    max_in_flight: Annotated[int, Field(ge=1, le=4096)] = 256
    """attempts at once, over all applications"""
    horizon: Annotated[timedelta, BeforeValidator(_duration("1m", "365d"))] = timedelta(hours=168)
    """how long a delivery is retried"""
    retention: Annotated[timedelta, BeforeValidator(_duration("1h", "3650d"))] = timedelta(days=30)
    """how long settled events and deliveries are kept"""
    retention_failed: Annotated[timedelta, BeforeValidator(_duration("1h", "3650d"))] = timedelta(
        days=90
    )
    """how long failed deliveries are kept"""
    session_retention: Annotated[timedelta, BeforeValidator(_duration("1h", "3650d"))] = timedelta(
        days=30
    )
    """how long a session is known after its latest of expiry, last join and end"""
    disk_reserve: Annotated[int, BeforeValidator(_bytes), Field(ge=0)] = 256 << 20
    """free disk below which intake answers 503, so that outcomes can still be recorded"""
    drain_delay: Annotated[timedelta, BeforeValidator(_duration("0s", "10m"))] = timedelta(
        seconds=3
    )
    """after SIGTERM: how long intake goes on while readiness already answers 503"""
    grace: Annotated[timedelta, BeforeValidator(_duration("0s", "10m"))] = timedelta(seconds=15)
    """after that: how long attempts in flight may take to end"""
    discovery_extra: Path | None = None
    """a JSON file whose members are added to the discovery document"""
    log: LogFormat | None = None
    """`json` or `console`; `json` off a terminal and `console` on one, unless set"""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read *environ*; raise InvalidSettings naming every faulty variable."""
        values, faults = _read(environ, frozenset(cls.model_fields))
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            faults += [_fault(details) for details in error.errors(include_input=False)]
            raise InvalidSettings(faults) from None
        if faults:
            raise InvalidSettings(faults)
        return settings

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.public_url is None and not self.listen.on_loopback:
            raise ValueError("PUBLIC_URL is required where LISTEN is not on loopback")
        return self

    @property
    def known_initiators(self) -> tuple[str, ...]:
        """The initiators that an application may select."""
        return tuple(dict.fromkeys((*KNOWN_INITIATORS, *self.initiators_extra)))

    @property
    def store_path(self) -> Path:
        """The SQLite store's file."""
        return Path(self.store.removeprefix("sqlite:///"))

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


def _read(environ: Mapping[str, str], fields: frozenset[str]) -> tuple[dict[str, str], list[Fault]]:
    """Collect the values given, secrets from their files too; an empty one counts as not given."""
    values = {name: text for name in fields if (text := environ.get(variable(name), "").strip())}
    faults: list[Fault] = []
    for name in SECRETS:
        source = f"{variable(name)}_FILE"
        path = environ.get(source)
        if path and name in values:
            faults.append(Fault(source, f"stands beside {variable(name)}; give one of them"))
        elif path:
            try:
                values[name] = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                faults.append(Fault(source, f"can not be read: {type(error).__name__}"))
    return values, faults


def _fault(details: ErrorDetails) -> Fault:
    message = details["msg"].removeprefix("Value error, ")
    if not details["loc"]:
        name, _, rest = message.partition(" ")
        return Fault(PREFIX + name, rest)
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
