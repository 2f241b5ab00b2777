"""Subject identifiers (RFC 9493), simple and complex ones: which user or session is meant."""

from collections.abc import Sequence
from typing import NamedTuple

from dispatcher.web.formats.foreign import inside


class Subject(NamedTuple):
    """Whom an event is about, as far as that can be known here; the values are as they came."""

    sub: object = None
    sid: object = None


def identified(told: object, issuers: Sequence[str], *, of_session: bool) -> Subject:
    """Return whom *told* names; nobody, where it is by what we know nobody by.

    A user of another issuer than *issuers* is another user. What is ``opaque`` names a session
    where the event is *of_session*, and else a user.
    """
    match inside(told, "format") or inside(told, "subject_type"):
        case "iss_sub" | "iss-sub" if inside(told, "iss") in issuers:
            return Subject(sub=inside(told, "sub"))
        case "opaque" if of_session:
            return Subject(sid=inside(told, "id"))
        case "opaque":
            return Subject(sub=inside(told, "id"))
        case "aliases":
            return _first_known(inside(told, "identifiers"), issuers)
        case None | "complex":
            return _of_complex(told, issuers, of_session=of_session)
        case _:
            return Subject()


_NARROWING = ("session", "device", "application")
"""Parts that make a complex subject mean some of its user's sessions."""


def _of_complex(told: object, issuers: Sequence[str], *, of_session: bool) -> Subject:
    """Return the user and the session of a complex subject (Shared Signals Framework 1.0, 3.2).

    What ends some of a user's sessions must not end all: without a session that is known here it
    is about nobody.
    """
    user, session = inside(told, "user"), inside(told, "session")
    sub = identified(user, issuers, of_session=False).sub if _is_simple(user) else None
    sid = identified(session, issuers, of_session=True).sid if _is_simple(session) else None
    if of_session and not sid and any(inside(told, part) for part in _NARROWING):
        return Subject()
    return Subject(sub, sid)


def _is_simple(told: object) -> bool:
    """Whether it names one thing by itself: nothing nests deeper, whoever sends it."""
    return inside(told, "format") not in (None, "complex")


def _first_known(identifiers: object, issuers: Sequence[str]) -> Subject:
    """Return the user whom the first alias that we know names; aliases do not nest."""
    for one in identifiers if isinstance(identifiers, list) else ():
        if inside(one, "format") in ("iss_sub", "opaque"):
            subject = identified(one, issuers, of_session=False)
            if subject.sub is not None:
                return subject
    return Subject()
