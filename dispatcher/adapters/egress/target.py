"""A Back-Channel Logout URI, taken apart once into what is dialled and what is sent."""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from dispatcher.adapters.egress.failures import Failure
from dispatcher.domain.deliveries import Cause
from dispatcher.domain.logout_uri import fault_of_logout_uri

_DEFAULT_PORTS = {"http": 80, "https": 443}
_REMEMBERED_URIS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Whom a connection belongs to: scheme, host and port."""

    secure: bool
    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One URI: its origin, and all of the request's head that is always the same."""

    origin: Origin
    head: bytes

    def request(self, token: str) -> bytes:
        """Return the request that carries *token* (Back-Channel Logout 1.0 section 2.5)."""
        body = b"logout_token=" + token.encode("ascii")
        return b"%b%d\r\n\r\n%b" % (self.head, len(body), body)


@lru_cache(maxsize=_REMEMBERED_URIS)
def target_of(uri: str, *, allow_http: bool, user_agent: str) -> Target:
    """Take *uri* apart; raise Failure where nothing may be sent to it.

    The rule is the one of the registration, asked again: what lies in the store may be older than
    the deployment's settings. The path and the query are sent byte for byte.
    """
    if fault := fault_of_logout_uri(uri, allow_http=allow_http):
        raise Failure(Cause.BLOCKED, f"the URI {fault}")
    parts = urlsplit(uri)
    host, default = parts.hostname or "", _DEFAULT_PORTS[parts.scheme]
    origin = Origin(secure=parts.scheme == "https", host=host, port=parts.port or default)
    rest = uri[len(parts.scheme) + len("://") + len(parts.netloc) :]
    path = rest if rest.startswith("/") else "/" + rest
    return Target(origin=origin, head=_head(path, _host_header(origin, default), user_agent))


def _host_header(origin: Origin, default: int) -> str:
    name = f"[{origin.host}]" if ":" in origin.host else origin.host
    return name if origin.port == default else f"{name}:{origin.port}"


def _head(path: str, host: str, user_agent: str) -> bytes:
    """Return the request's head up to the value of its last field, Content-Length."""
    return (
        f"POST {path} HTTP/1.1\r\n"
        f"Host: {host}\r\n"
        f"User-Agent: {user_agent}\r\n"
        "Accept: application/json\r\n"
        "Accept-Encoding: identity\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        "Content-Length: "
    ).encode("ascii")
