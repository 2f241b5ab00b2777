"""Standard Webhooks 1.0.0, symmetric signatures: how a source proves that an event is its own."""

import base64
import binascii
import hmac
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from keys.errors import UnusableSecret

SECRET_BYTES = range(24, 65)
"""How long a secret may be, in bytes."""
_PREFIX = "whsec_"
_VERSION = "v1,"
# Signed is `id.timestamp.body`: a dot in the first two would let one message read as another.
_ID = re.compile(r"[!-\-/-~]+")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


class Verdict(StrEnum):
    """What a signature turned out to be."""

    OK = "ok"
    MALFORMED = "malformed"
    """A header that is not as the specification says, or no `v1` signature."""
    STALE = "stale"
    """Signed with a secret of ours, but too long ago or ahead: an old message, or a wrong clock."""
    MISMATCH = "mismatch"
    """Signed with none of our secrets, or changed since."""


def verify(
    secrets: Sequence[bytes],
    *,
    webhook_id: str,
    timestamp: str,
    signature: str,
    body: bytes,
    now: datetime,
    tolerance: timedelta,
) -> Verdict:
    """Judge the headers `webhook-id`, `webhook-timestamp`, `webhook-signature`. Never raises.

    Every secret is tried on every signature, so that either side can change its secret. Only the
    holder of a secret is told that a message is stale.
    """
    offered = [item for item in signature.split(" ") if item.startswith(_VERSION)]
    if not (_ID.fullmatch(webhook_id) and _TIMESTAMP.fullmatch(timestamp) and offered):
        return Verdict.MALFORMED
    expected = [_signature(secret, webhook_id, timestamp, body) for secret in secrets]
    # A list, not a generator: all are compared, and the time tells nothing about which one fits.
    if not any([_same(one, other) for one in expected for other in offered]):  # noqa: C419 - as said above
        return Verdict.MISMATCH
    if abs(now.timestamp() - int(timestamp)) > tolerance.total_seconds():
        return Verdict.STALE
    return Verdict.OK


def sign(secret: bytes, *, webhook_id: str, timestamp: datetime, body: bytes) -> dict[str, str]:
    """Return the three headers that a source sends with `body`."""
    seconds = str(int(timestamp.timestamp()))
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": seconds,
        "webhook-signature": _signature(secret, webhook_id, seconds, body),
    }


def parse_secret(text: str) -> bytes:
    """Return the bytes of a `whsec_…` secret. Raises UnusableSecret, which never quotes it."""
    if not text.startswith(_PREFIX):
        raise UnusableSecret(f"A webhook secret starts with {_PREFIX}.")
    encoded = text.removeprefix(_PREFIX)
    try:
        secret = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (ValueError, binascii.Error):
        raise UnusableSecret(f"What follows {_PREFIX} in a webhook secret is base64.") from None
    if len(secret) not in SECRET_BYTES:
        raise UnusableSecret(f"A webhook secret has 24 to 64 bytes; this one has {len(secret)}.")
    return secret


def _signature(secret: bytes, webhook_id: str, timestamp: str, body: bytes) -> str:
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    digest = hmac.digest(secret, signed, "sha256")
    return _VERSION + base64.b64encode(digest).decode("ascii")


def _same(one: str, other: str) -> bool:
    # Compared as text: decoding would accept several spellings of one signature, and could fail.
    return hmac.compare_digest(one.encode(), other.encode("utf-8", "surrogatepass"))
