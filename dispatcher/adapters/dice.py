"""Random ids, from the system's own source of randomness."""

import secrets
from collections.abc import Iterator

_AT_ONCE = 256
_DIGITS = 32


def random_ids() -> Iterator[str]:
    """Yield random UUIDs (RFC 9562 section 5.4), for ever.

    The system is asked for many at once: each call lets go of the interpreter's lock, and getting
    that back costs more than the id.
    """
    while True:
        drawn = secrets.token_hex(_AT_ONCE * _DIGITS // 2)
        for start in range(0, len(drawn), _DIGITS):
            yield _uuid(drawn[start : start + _DIGITS])


def _uuid(digits: str) -> str:
    """Write 32 hexadecimal *digits* as version 4 has it, which replaces six of their bits."""
    variant = "89ab"[int(digits[16], 16) % 4]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
