"""Back-Channel Logout URIs (OpenID Connect Back-Channel Logout 1.0 section 2.2).

The URI is absolute, its query is kept, it has no fragment, and is https unless the deployment
allows http. What it may resolve to is the business of the address guard, when it is dialled.
"""

import re
from urllib.parse import SplitResult, urlsplit

_URI_CHARACTERS = re.compile(r"(?:[!$&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]|%[0-9A-Fa-f]{2})+")
# RFC 3986 section 3.2 without user information, and of registered names those that DNS can hold.
_LABEL = r"[0-9A-Z_a-z](?:[0-9A-Z_a-z-]{0,61}[0-9A-Z_a-z])?"
_AUTHORITY = re.compile(
    rf"(?:(?=[^:]{{1,253}}(?::|$)){_LABEL}(?:\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?"
)
_LONGEST = 2000


def fault_of_logout_uri(uri: object, *, allow_http: bool) -> str | None:
    """Return what is wrong with *uri* as a Back-Channel Logout URI, or None."""
    if not isinstance(uri, str):
        return "must be a string"
    if "#" in uri:
        return "must not have a fragment (Back-Channel Logout 1.0 section 2.2)"
    if len(uri) > _LONGEST:
        return f"must not be longer than {_LONGEST} characters"
    if not _URI_CHARACTERS.fullmatch(uri):
        return "must be an absolute URI in ASCII (RFC 3986; a host name in its punycode form)"
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        return "must be an absolute URI (RFC 3986)"
    return _fault_of_parts(parts, allow_http=allow_http)


def _fault_of_parts(parts: SplitResult, *, allow_http: bool) -> str | None:
    if parts.scheme == "http" and not allow_http:
        return "must be https (http can be allowed by DISPATCHER_EGRESS_ALLOW_HTTP)"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return "must be an absolute https URI (Back-Channel Logout 1.0 section 2.2)"
    if "@" in parts.netloc:
        return "must not carry user information"
    if not _AUTHORITY.fullmatch(parts.netloc):
        return "must name its host as DNS does, or as an IP address, and then at most a port"
    if parts.port == 0:
        return "must not have port 0"
    return None
