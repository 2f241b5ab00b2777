"""How the text of a variable is read: each reader raises ValueError, saying what is allowed."""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from dispatcher.domain.events import is_initiator
from dispatcher.domain.reading import parse_duration

SQLITE = "sqlite:///"
_HIGHEST_PORT = 65535
_MOST_DIGITS = 15
_HOST_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_SWITCH = {"true": True, "1": True, "yes": True, "on": True}
_SWITCH |= {"false": False, "0": False, "no": False, "off": False}


@dataclass(frozen=True, slots=True, repr=False)
class StoreUrl:
    """Where the store is. Shown without the password that ``text`` may hold."""

    text: str

    def __str__(self) -> str:
        split = urlsplit(self.text)
        user, at, host = split.netloc.rpartition("@")
        shown = user.partition(":")[0] + at + host
        return self.text.replace(f"//{split.netloc}", f"//{shown}", 1)

    __repr__ = __str__

    @property
    def is_postgres(self) -> bool:
        """Whether it is a server's, shared by replicas, and not a file."""
        return not self.text.startswith(SQLITE)

    @property
    def path(self) -> Path:
        """The SQLite store's file."""
        return Path(self.text.removeprefix(SQLITE))


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


def listen(value: object) -> object:
    """Read HOST:PORT."""
    if not isinstance(value, str):
        return value
    host, _, digits = value.rpartition(":")
    port = _number(digits)
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if port is None or port > _HIGHEST_PORT or not _is_host(host):
        raise ValueError("must be HOST:PORT, as 127.0.0.1:8080 or [::1]:8080")
    return Listen(host, port)


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _HOST_NAME.fullmatch(text) is not None
    return True


def _number(text: str) -> int | None:
    """Return the number that *text* is, in plain digits; None where it is none, or far too long."""
    plain = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    return int(text) if plain else None


def _is_plain_url(text: str) -> bool:
    """Whether *text* is an http or https URL with a host, and without query or fragment.

    A name and password in it would be shown to everybody.
    """
    try:
        split = urlsplit(text)
        reachable = split.hostname is not None and split.port != 0
    except ValueError:  # brackets that do not match, a port that is none
        return False
    strange = not text.isascii() or set(text) & set('?# \\"<>')
    return split.scheme in {"https", "http"} and reachable and not strange and "@" not in text


def issuer(value: str) -> str:
    """Read the issuer, and leave it as it is."""
    if not _is_plain_url(value):
        raise ValueError(
            "must be an http or https URL without query, fragment and user"
            " (OpenID Connect Core section 2)"
        )
    return value


def url(value: str) -> str:
    """Read a URL, without its last slash."""
    if not _is_plain_url(value):
        raise ValueError("must be an http or https URL without query, fragment and user")
    return value.rstrip("/")


def store(value: object) -> object:
    """Read where the store is."""
    if not isinstance(value, str):
        return value
    if (value.startswith(SQLITE) and StoreUrl(value).path.name) or _is_postgres(value):
        return StoreUrl(value)
    raise ValueError(
        f"must be sqlite:///PATH (sqlite:////PATH for an absolute one), or {_POSTGRES_FORM}"
    )


def postgres(value: object) -> object:
    """Read where a PostgreSQL server is."""
    if not isinstance(value, str):
        return value
    if not _is_postgres(value):
        raise ValueError(f"must be {_POSTGRES_FORM}")
    return StoreUrl(value)


_POSTGRES_FORM = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, percent-encoded"


def _is_postgres(text: str) -> bool:
    """Whether *text* is the URL of a database; a password has its place before the host alone."""
    try:
        split = urlsplit(text)
        reachable = split.port != 0
    except ValueError:  # brackets that do not match, a port that is none
        return False
    named = split.scheme in {"postgresql", "postgres"} and len(split.path) > 1
    strange = set(text) & set('# "<>') or "password=" in split.query
    return named and reachable and not strange


def keys(value: str) -> str:
    """Read where the keys come from."""
    if value == "generated" or (value.startswith("folder:") and len(value) > len("folder:")):
        return value
    raise ValueError("must be generated, or folder:/path/to/keys")


def duration(least: str, most: str) -> Callable[[object], object]:
    """Return how to read a duration from *least* to *most*."""
    lowest, highest = parse_duration(least), parse_duration(most)

    def read(value: object) -> object:
        given = parse_duration(value) if isinstance(value, str) else value
        if not isinstance(given, timedelta) or not (
            lowest is not None and highest is not None and lowest <= given <= highest
        ):
            raise ValueError(f"must be a duration such as 90s, 15m, 168h or 30d, {least} to {most}")
        return given

    return read


def size(value: object) -> object:
    """Read a size in bytes."""
    if not isinstance(value, str):
        return value
    for suffix, unit in (("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("", 1)):
        count = _number(value.removesuffix(suffix)) if value.endswith(suffix) else None
        if count is not None:
            return count * unit
    raise ValueError("must be a size such as 268435456, 256MiB or 1GiB")


def whole_number(least: int, most: int) -> Callable[[object], object]:
    """Return how to read a whole number from *least* to *most*."""

    def read(value: object) -> object:
        number = _number(value) if isinstance(value, str) else value
        if not isinstance(number, int) or not least <= number <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return number

    return read


def switch(value: object) -> object:
    """Read a boolean."""
    if not isinstance(value, str):
        return value
    if value.lower() not in _SWITCH:
        raise ValueError("must be true or false")
    return _SWITCH[value.lower()]


def parts(value: object) -> object:
    """Read a list, separated by commas."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def networks(value: object) -> object:
    """Read a list of networks."""
    given = parts(value)
    if not isinstance(given, tuple):
        return value
    for part in given:
        try:
            ipaddress.ip_network(part)
        except ValueError:
            raise ValueError(
                f"{part!r} is not a network; allowed are such as 10.20.0.0/16 and fd00::/8"
            ) from None
    return given


def algorithms(value: tuple[str, ...]) -> tuple[str, ...]:
    """Judge a list of signature algorithms."""
    unknown = [name for name in value if name not in {"RS256", "PS256", "ES256", "EdDSA"}]
    if unknown or not value or len(set(value)) != len(value):
        raise ValueError("must be some of RS256, PS256, ES256, EdDSA, each once")
    return value


def initiators(value: tuple[str, ...]) -> tuple[str, ...]:
    """Judge a list of initiators' names."""
    for name in value:
        if not is_initiator(name):
            raise ValueError(f"{name!r} is not an initiator's name: ^[a-z][a-z0-9-]{{0,63}}$")
    return value
