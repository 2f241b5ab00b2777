"""Base64url without padding (RFC 7515 section 2), in its one canonical form."""

import base64
import binascii


def encode(data: bytes) -> str:
    """Return `data` as base64url text without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """Return the bytes of `text`. Raises ValueError for what `encode` would not have written."""
    try:
        data = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (UnicodeEncodeError, binascii.Error):
        raise ValueError("not base64url") from None
    # The standard library skips foreign characters and spare bits: two texts would mean one value.
    if encode(data) != text:
        raise ValueError("not canonical base64url")
    return data
