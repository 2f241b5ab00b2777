"""TLS to applications: whom we trust, and who we are.

TLS 1.2 or later, against the system's trust store or, where an application names its own CA,
against that one alone. The host name of the URI is what is greeted (SNI) and checked, whatever
address is dialled.
"""

import contextlib
import os
import re
import ssl
import sys
import tempfile
from collections.abc import Iterator
from functools import cache

from dispatcher.adapters.egress.failures import EXHAUSTED, require_a_file
from dispatcher.domain.applications import Application
from dispatcher.domain.errors import Fault, InvalidApplication, Unavailable

_ENCRYPTED = re.compile(r"^(-----BEGIN ENCRYPTED |Proc-Type:.*ENCRYPTED)", re.MULTILINE)
"""How PEM says that a key is encrypted (RFC 7468 section 11, RFC 1421)."""


def context_of(application: Application) -> ssl.SSLContext:
    """Return the TLS context for *application*; raise InvalidApplication where its PEM is bad.

    Raises Unavailable where no more files can be opened, which is nobody's PEM's fault.
    """
    try:
        require_a_file()
        return _context_of(application)
    except OSError as error:
        if error.errno not in EXHAUSTED:
            raise
        raise Unavailable(f"TLS can not be prepared: {error.strerror}.") from error


def _context_of(application: Application) -> ssl.SSLContext:
    delivery = application.delivery
    if not (delivery.ca_file or delivery.ca_pem or _has_certificate(application)):
        return _system_context()
    context = _trusting(application)
    if _has_certificate(application):
        _identify(context, application)
    return context


def _has_certificate(application: Application) -> bool:
    delivery = application.delivery
    return bool(delivery.client_certificate_file or delivery.client_certificate_pem)


@cache
def _system_context() -> ssl.SSLContext:
    """Return the context that all applications without wishes of their own share."""
    return _restricted(ssl.create_default_context())


def _restricted(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _trusting(application: Application) -> ssl.SSLContext:
    delivery = application.delivery
    with _blaming("ca_file" if delivery.ca_file else "ca_pem"):
        context = ssl.create_default_context(cafile=delivery.ca_file, cadata=delivery.ca_pem)
    return _restricted(context)


def _identify(context: ssl.SSLContext, application: Application) -> None:
    """Load the client certificate and its key into *context* (RFC 8705)."""
    delivery = application.delivery
    by_file = delivery.client_certificate_file, delivery.client_key_file
    with contextlib.ExitStack() as lent:
        chain = by_file[0] or lent.enter_context(_as_file(delivery.client_certificate_pem or ""))
        key = by_file[1] or lent.enter_context(_as_file(application.client_key_pem or ""))
        # OpenSSL takes the two together; this tells which of them is at fault.
        with _blaming("client_certificate_file" if by_file[0] else "client_certificate_pem"):
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=chain)
        if _ENCRYPTED.search(application.client_key_pem or ""):
            # OpenSSL would try an empty password, for as many rounds as the key says.
            raise _fault("client_key_pem", "must not be encrypted")
        with _blaming("client_key_file" if by_file[1] else "client_key_pem"):
            # A password would be asked for on the terminal; an empty one is refused instead.
            context.load_cert_chain(chain, key, password=lambda: "")


@contextlib.contextmanager
def _blaming(member: str) -> Iterator[None]:
    """Blame *member* for a file that can not be read, or PEM that is none."""
    try:
        yield
    except ssl.SSLError as error:
        raise _fault(member, f"is not usable as PEM ({error.reason or 'none found'})") from error
    except OSError as error:
        if error.errno in EXHAUSTED:
            raise
        raise _fault(member, f"can not be read ({error.strerror})") from error
    except (ValueError, TypeError) as error:  # not ASCII
        raise _fault(member, "is not PEM text") from error


def _fault(member: str, message: str) -> InvalidApplication:
    return InvalidApplication([Fault(f"logout_delivery.{member}", message)])


@contextlib.contextmanager
def _as_file(text: str) -> Iterator[str]:
    """Lend *text* a file name, since OpenSSL loads a key from nothing else.

    On Linux the file lies in memory and never had a name on a disk; elsewhere it is a private one
    (mode 0600) that is removed at once.
    """
    if sys.platform == "linux":
        descriptor = os.memfd_create("pem")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            yield f"/proc/self/fd/{descriptor}"
    else:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            yield file.name
