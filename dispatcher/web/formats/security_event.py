"""Security Event Tokens (RFC 8417) pushed over HTTP (RFC 8935), with the events of CAEP and RISC.

| event | becomes |
|---|---|
| CAEP ``session-revoked`` | ``session-revoked``, of the subject's session or else of its user |
| CAEP ``credential-change`` of a ``password``, unless ``create`` | ``password-changed`` |
| CAEP ``credential-change`` of a phone, ``revoke`` or ``delete`` | ``mfa-phone-unenrolled`` |
| RISC ``account-purged`` | ``account-deleted`` |
| RISC ``account-disabled`` | ``account-deactivated`` |
| RISC ``identifier-changed`` of an e-mail address | ``email-identifier-changed`` |
| RISC ``sessions-revoked`` | ``session-revoked``, of the user |

The subject is ``sub_id`` (Shared Signals Framework 1.0), else the event's own ``subject``, as
before the framework was final, else the claim ``sub``. A user is known by ``iss_sub`` of the
source's issuer or of ours, or by ``opaque``; one named by an e-mail address alone is unknown here.

That a token is its issuer's, and meant for us, has been proved before it is read here.
"""

import base64
from collections.abc import Callable, Iterator, Mapping

from starlette.responses import Response

from dispatcher.domain.errors import (
    DispatcherError,
    Fault,
    InvalidEvent,
    Unavailable,
    UnknownFormat,
)
from dispatcher.domain.events import IDENTIFIER_RULE, Initiator, Intake, is_identifier
from dispatcher.domain.reading import Reader
from dispatcher.domain.sources import PassedOver
from dispatcher.web.answers import NO_STORE, json_answer
from dispatcher.web.bodies import decode, media_type
from dispatcher.web.formats.foreign import epoch, session_ended, user_ended
from dispatcher.web.formats.subjects import Subject, identified
from dispatcher.web.formats.told import Told, Webhook
from dispatcher.web.problems import STATUS, is_internal

MEDIA_TYPE = "application/secevent+jwt"
_TYPES = "https://schemas.openid.net/secevent/"
_VERIFICATION = f"{_TYPES}ssf/event-type/verification"
_SESSION_REVOKED = f"{_TYPES}caep/event-type/session-revoked"


def is_pushed(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request is a push of a security event token, so that RFC 8935 shapes its answer."""
    return media_type(headers) == MEDIA_TYPE


def read(webhook: Webhook) -> Told:
    """Read a token; raise UnknownFormat, or InvalidEvent with every fault of its claims."""
    if not is_pushed(webhook.headers):
        raise UnknownFormat(f"The body must be {MEDIA_TYPE}.")
    faults: list[Fault] = []
    claims = Reader(decode(_payload(webhook.body), error=InvalidEvent), faults=faults)
    jti = claims.required("jti", ok=is_identifier, rule=IDENTIFIER_RULE)
    for name in ("iat", "toe"):
        if name in claims and epoch(claims.document[name]) is None:
            claims.fault(name, "must be a number of seconds since 1970")
    events = claims.member("events")
    if not events or not events.document:
        claims.fault("events", "is required, with at least one event")
    items = tuple(_items(claims, events, jti, webhook)) if events else ()
    if faults:
        raise InvalidEvent(faults)
    return Told(items)


def _payload(token: bytes) -> bytes:
    """Return the claims of a token, whose form and signature have been judged."""
    return base64.urlsafe_b64decode(token.split(b".")[1] + b"==")


def accepted() -> Response:
    """Answer that a token is on disk: 202 and nothing more (RFC 8935 section 2.2)."""
    return Response(status_code=202, headers=NO_STORE)


def refusal(error: DispatcherError) -> Response | None:
    """Answer with *error* as RFC 8935 section 2.3 says; None for a fault of ours.

    What is wrong with a token is 400, whatever it would be elsewhere.
    """
    if isinstance(error, Unavailable) or is_internal(error):
        return None
    code = _CODES.get(error.code, "invalid_request")
    status = STATUS[error.code] if error.code in _OF_HTTP else 400
    headers = {**NO_STORE, "content-language": "en"}
    return json_answer({"err": code, "description": error.message}, status=status, headers=headers)


_CODES: Mapping[str, str] = {
    "invalid_token": "authentication_failed",
    "insufficient_scope": "access_denied",
    "invalid_issuer": "invalid_issuer",
    "invalid_audience": "invalid_audience",
}
"""The registered error codes; all that is not among them is ``invalid_request``."""
_OF_HTTP = frozenset({"too_large", "unsupported_media_type", "request_timeout"})
"""What is wrong with the request, not with a token."""


def _items(
    claims: Reader, events: Reader, jti: str, webhook: Webhook
) -> Iterator[Intake | PassedOver]:
    """Read each event of a token; where several end sessions each has an id of its own."""
    taken = 0
    for name in events.document:
        event = Reader(events.document[name], path=f"events.{name}", faults=claims.faults)
        item = _item(name, event, claims, f"{jti} {taken}" if taken else jti, webhook)
        if item is PassedOver.UNUSABLE:
            claims.fault("sub_id", f"must name a user or a session by {IDENTIFIER_RULE}")
        taken += not isinstance(item, PassedOver)
        yield item


def _item(
    name: str, event: Reader, claims: Reader, event_id: str, webhook: Webhook
) -> Intake | PassedOver:
    initiator = _INITIATORS[name](event.document) if name in _INITIATORS else None
    if initiator is None:
        return PassedOver.TEST if name == _VERIFICATION else PassedOver.ENDS_NOTHING
    subject = _subject(event, claims, webhook, of_session=name == _SESSION_REVOKED)
    toe = claims.document.get("toe", event.document.get("event_timestamp"))
    if subject.sid is not None:
        return session_ended(
            webhook, event_id, initiator, sid=subject.sid, sub=subject.sub, at=epoch(toe)
        )
    return user_ended(webhook, event_id, initiator, sub=subject.sub, at=epoch(toe))


def _subject(event: Reader, claims: Reader, webhook: Webhook, *, of_session: bool) -> Subject:
    """Return whom an event is about; its session only where it is sessions that ended."""
    told = claims.document.get("sub_id") or event.document.get("subject")
    if told is None:
        return Subject(sub=claims.document.get("sub"))
    issuers = [webhook.issuer, *([webhook.source.issuer.issuer] if webhook.source.issuer else [])]
    subject = identified(told, issuers, of_session=of_session)
    return subject if of_session else Subject(sub=subject.sub)


def _credential_changed(event: Mapping[str, object]) -> Initiator | None:
    kind, change = event.get("credential_type"), event.get("change_type")
    if kind == "password" and change in ("update", "revoke", "delete"):
        return Initiator("password-changed")
    if kind in ("phone-sms", "phone-voice") and change in ("revoke", "delete"):
        return Initiator("mfa-phone-unenrolled")
    return None


def _identifier_changed(event: Mapping[str, object]) -> Initiator | None:
    """RISC 1.0 section 2.5: an e-mail address or a phone number, which the new value tells."""
    value = event.get("new-value")
    is_phone = isinstance(value, str) and "@" not in value
    return None if is_phone else Initiator("email-identifier-changed")


def _always(name: str) -> Callable[[Mapping[str, object]], Initiator | None]:
    return lambda _: Initiator(name)


_INITIATORS: Mapping[str, Callable[[Mapping[str, object]], Initiator | None]] = {
    _SESSION_REVOKED: _always("session-revoked"),
    f"{_TYPES}caep/event-type/credential-change": _credential_changed,
    f"{_TYPES}risc/event-type/account-purged": _always("account-deleted"),
    f"{_TYPES}risc/event-type/account-disabled": _always("account-deactivated"),
    f"{_TYPES}risc/event-type/identifier-changed": _identifier_changed,
    f"{_TYPES}risc/event-type/sessions-revoked": _always("session-revoked"),
}
