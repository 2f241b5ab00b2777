"""Identifiers in a path: percent-encoded, so that they may hold ``/``.

Servers decode a path before it is routed, which makes ``a%2Fb`` two segments. ``keep_slashes``
decodes it again with a stand-in for an encoded slash, and ``Segment`` puts the slash back.
"""

from urllib.parse import unquote

from starlette.convertors import Convertor, register_url_convertor
from starlette.types import Scope

_STAND_IN = "\x1f"
"""A control character: no identifier may hold it, so that nothing else is mistaken for a slash."""


class Segment(Convertor[str]):
    """One segment of a path, decoded."""

    regex = "[^/]+"

    def convert(self, value: str) -> str:
        """Return the identifier that the segment stands for."""
        return value.replace(_STAND_IN, "/")

    def to_string(self, value: str) -> str:
        """Return the segment that stands for an identifier."""
        return value.replace("/", "%2F")


register_url_convertor("segment", Segment())


def keep_slashes(scope: Scope) -> Scope:
    """Return *scope* with each encoded slash of its path as a part of its segment."""
    raw: bytes = scope.get("raw_path") or b""
    if b"%2" not in raw or b"%2f" not in raw.lower():
        return scope
    kept = raw.replace(b"%2f", b"%2F").replace(b"%2F", b"%1F")
    return {**scope, "path": unquote(kept.decode("ascii", "replace"))}
