"""What OpenSSL makes of the processor.

With AVX-512 IFMA (Intel's servers since Ice Lake, AMD's since Zen 4) a raw RSA signature takes less
than half of what it takes with AVX2, and that takes three quarters of what it takes without either;
nothing else of ours gets much faster by them. OpenSSL can be kept from both, and then does what it
does on a processor that has none (OPENSSL_ia32cap(3)).
"""

import os
import sys
from collections.abc import Mapping, Sequence

VARIABLE = "OPENSSL_ia32cap"
WITHOUT: Mapping[str, str] = {
    "ifma": ":~0x200000",  # bit 64+21
    "avx2": ":0",  # and without all that came after it, IFMA included
}
"""What OpenSSL can be kept from, and how."""


def start_without(extension: str, arguments: Sequence[str]) -> None:
    """Become a process that does without it, with the same *arguments*, unless this one is it.

    OpenSSL reads the variable when it is loaded.
    """
    if missing() != extension:
        environment = os.environ | {VARIABLE: WITHOUT[extension]}
        command = [sys.executable, "-m", "tests.bench", *arguments]
        os.execve(sys.executable, command, environment)  # noqa: S606 - no shell is wanted


def missing() -> str | None:
    """Return what ``--without`` keeps OpenSSL from; None where it was not given."""
    told = os.environ.get(VARIABLE)
    return next((name for name, value in WITHOUT.items() if value == told), None)
