"""What may be wrong with a request, or with us.

DispatcherError                 code
├── Unauthenticated             invalid_token
├── Forbidden                   insufficient_scope
├── WrongIssuer                 invalid_issuer
├── WrongAudience               invalid_audience
├── Invalid                     (names every faulty field)
│   ├── InvalidEvent            invalid_event
│   ├── InvalidApplication      invalid_client_metadata
│   └── InvalidSettings         invalid_settings
├── NotFound                    not_found
├── Conflict                    conflict
├── TooLarge                    too_large
├── UnknownFormat               unsupported_media_type
└── Unavailable                 (a fault of ours; never charged to the caller)
    ├── StoreUnavailable        store_unavailable
    ├── DiskReserve             disk_reserve
    ├── ClockInDoubt            clock_in_doubt
    └── IssuerUnavailable       issuer_unavailable

What an application's server does with a logout token is never an error: it is an Outcome.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of an input: where it is (``clients[0].client_id``) and what is wrong there."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class DispatcherError(Exception):
    """The dispatcher could not do what was asked."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str | None = None) -> None:
        self.message = message or (self.__doc__ or "").strip()
        super().__init__(self.message)


class Unauthenticated(DispatcherError):
    """Who sent this could not be established."""

    code = "invalid_token"


class Forbidden(DispatcherError):
    """The sender is known, and may not do this."""

    code = "insufficient_scope"


class WrongIssuer(DispatcherError):
    """The security event token says that it is of another issuer."""

    code = "invalid_issuer"


class WrongAudience(DispatcherError):
    """The security event token is meant for somebody else."""

    code = "invalid_audience"


class Invalid(DispatcherError):
    """The input is faulty."""

    code = "invalid"

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(map(str, self.faults)))


class InvalidEvent(Invalid):
    """This is not a session-termination event."""

    code = "invalid_event"


class InvalidApplication(Invalid):
    """This is not an application's registration."""

    code = "invalid_client_metadata"


class InvalidSettings(Invalid):
    """The service can not run with these settings."""

    code = "invalid_settings"


class NotFound(DispatcherError):
    """There is no such thing."""

    code = "not_found"


class Conflict(DispatcherError):
    """This contradicts what is already stored."""

    code = "conflict"


class TooLarge(DispatcherError):
    """The body is larger than what is accepted."""

    code = "too_large"


class UnknownFormat(DispatcherError):
    """The body's media type is not one that is understood here."""

    code = "unsupported_media_type"


class Unavailable(DispatcherError):
    """The service can not do this now; the same request will succeed later."""

    code = "unavailable"
    retry_after_seconds: ClassVar[int] = 5


class StoreUnavailable(Unavailable):
    """The store does not answer."""

    code = "store_unavailable"


class DiskReserve(Unavailable):
    """The disk is nearly full; what is left is kept for recording outcomes."""

    code = "disk_reserve"
    retry_after_seconds = 30


class ClockInDoubt(Unavailable):
    """Our own clock is in doubt, so that no timestamp can be judged."""

    code = "clock_in_doubt"
    retry_after_seconds = 30


class IssuerUnavailable(Unavailable):
    """The keys of the token's issuer can not be had, so that no signature can be judged."""

    code = "issuer_unavailable"
    retry_after_seconds = 15
