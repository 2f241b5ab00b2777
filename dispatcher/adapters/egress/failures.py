"""What can stand in the way of an attempt, on its way from where it happens to the outcome."""

import errno
import os
import socket
import ssl

from dispatcher.domain.deliveries import Cause, Unreachable, Withheld

DETAIL_CHARACTERS = 200
"""A detail is one short line for an operator: never a token, never a body."""

EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""This process or machine has run out of something: no other address would do better."""
_OURS = EXHAUSTED | {errno.EADDRNOTAVAIL}
"""No way out from here: no free port, or no address of our own of that family."""


class Failure(Exception):
    """The application could not be reached, for the reason that *cause* names."""

    def __init__(self, cause: Cause, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause
        self.detail = detail[:DETAIL_CHARACTERS]

    def outcome(self) -> Unreachable | Withheld:
        """Return what the pipeline is told."""
        return Unreachable(cause=self.cause, detail=self.detail)


class OwnTrouble(Failure):
    """A fault of ours kept the token back: the application is not charged for it."""

    def outcome(self) -> Unreachable | Withheld:
        """Return what the pipeline is told."""
        return Withheld(cause=self.cause, detail=self.detail)


def failure_of(error: OSError, *, otherwise: Cause) -> Failure:
    """Name what the operating system or TLS reported; *otherwise* where it is neither's own."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Failure(Cause.CERTIFICATE, error.verify_message or "certificate not valid")
    if isinstance(error, ssl.SSLError):
        return Failure(Cause.TLS, error.reason or type(error).__name__)
    if error.errno in _OURS:
        return OwnTrouble(Cause.INTERNAL, os.strerror(error.errno))
    # The system's own words for it: asyncio's name the address, which is not everybody's business.
    return Failure(otherwise, os.strerror(error.errno) if error.errno else type(error).__name__)


def require_a_file() -> None:
    """Raise OSError where this process, or the machine, can open no more files.

    OpenSSL opens those of a trust store when it needs them, and takes one that it can not open for
    one that is not there: whoever it stands for is a stranger then.
    """
    socket.socket().close()
