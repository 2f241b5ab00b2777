"""Auth0 Log Streams: the tenant's log over a custom webhook, as JSON lines, array or object.

An object is one entry, or holds a batch of them as its ``logs``.

| log event | becomes |
|---|---|
| ``s``, ``ssa`` (login, silent login) | ``session.joined``: the registry fills by itself |
| ``slo`` (logout) | ``rp-logout`` of that session |
| ``scp`` | ``password-changed`` |
| ``sce`` | ``email-identifier-changed`` |
| ``sdu`` | ``account-deleted`` |
| ``gd_unenroll`` of a phone | ``mfa-phone-unenrolled`` |
| ``universal_logout_succeeded`` | ``idp-logout`` of all of the user's sessions |

All others are passed over, and so is an entry that can not be used: Auth0 sends what was refused
for ever, and what comes after it would wait.
"""

from collections.abc import Callable, Mapping
from functools import partial

from dispatcher.domain.errors import Fault, InvalidEvent
from dispatcher.domain.events import IDP_LOGOUT, NO_METADATA, RP_LOGOUT, Initiator, Intake
from dispatcher.domain.sources import PassedOver
from dispatcher.web.bodies import decode
from dispatcher.web.formats.foreign import (
    JsonObject,
    entries_of,
    inside,
    moment,
    session_ended,
    session_joined,
    user_ended,
)
from dispatcher.web.formats.native import MOST_METADATA, is_metadata
from dispatcher.web.formats.told import Told, Webhook


def read(webhook: Webhook) -> Told:
    """Read a webhook, whatever its media type says: that is the operator's choice at Auth0.

    Raises InvalidEvent where it is not JSON, or not of objects.
    """
    document = _document(webhook.body)
    batch = inside(document, "logs")
    entries = entries_of(batch if isinstance(batch, list) else document)
    return Told(tuple(_item(entry, webhook) for entry in entries))


def _document(body: bytes) -> object:
    """Decode one JSON document, or else one for each line."""
    lines = [line for line in body.splitlines() if line.strip()]
    try:
        return decode(body, error=InvalidEvent)
    except InvalidEvent:
        if len(lines) < 2:  # noqa: PLR2004 - one line is one document
            raise
    return [_line(line, index) for index, line in enumerate(lines)]


def _line(line: bytes, index: int) -> object:
    try:
        return decode(line, error=InvalidEvent)
    except InvalidEvent as error:
        message = error.faults[0].message
        raise InvalidEvent([Fault(f"[{index}]", message)]) from None


def _item(entry: JsonObject, webhook: Webhook) -> Intake | PassedOver:
    data = entry.get("data")
    log = data if isinstance(data, dict) else entry
    kind = log.get("type")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    return PassedOver.ENDS_NOTHING if reader is None else reader(log, webhook)


def _joined(log: JsonObject, webhook: Webhook) -> Intake | PassedOver:
    return session_joined(
        webhook,
        log.get("log_id"),
        sid=inside(log, "details", "session_id"),
        sub=log.get("user_id"),
        client_id=log.get("client_id"),
        at=moment(log.get("date")),
    )


def _logged_out(log: JsonObject, webhook: Webhook) -> Intake | PassedOver:
    return session_ended(
        webhook,
        log.get("log_id"),
        RP_LOGOUT,
        sid=inside(log, "details", "session_id"),
        sub=log.get("user_id"),
        at=moment(log.get("date")),
        metadata=_metadata(inside(log, "details", "session_metadata")),
    )


def _ended(initiator: Initiator, log: JsonObject, webhook: Webhook) -> Intake | PassedOver:
    return user_ended(
        webhook, log.get("log_id"), initiator, sub=log.get("user_id"), at=moment(log.get("date"))
    )


def _unenrolled(log: JsonObject, webhook: Webhook) -> Intake | PassedOver:
    phones = [inside(log, "details", of, "phone_number") for of in ("authenticator", "enrollment")]
    if inside(log, "details", "authenticator", "type") not in _PHONES and not any(phones):
        return PassedOver.ENDS_NOTHING
    return _ended(Initiator("mfa-phone-unenrolled"), log, webhook)


_PHONES = ("phone", "sms", "voice")


def _metadata(value: object) -> Mapping[str, str]:
    """Return a session's metadata, or none of it where a token could not carry it."""
    if not isinstance(value, dict) or len(value) > MOST_METADATA:
        return NO_METADATA
    texts = [text for pair in value.items() for text in pair]
    usable = all(isinstance(text, str) and is_metadata(text) for text in texts)
    return value if usable else NO_METADATA


_READERS: Mapping[str, Callable[[JsonObject, Webhook], Intake | PassedOver]] = {
    "s": _joined,
    "ssa": _joined,
    "slo": _logged_out,
    "scp": partial(_ended, Initiator("password-changed")),
    "sce": partial(_ended, Initiator("email-identifier-changed")),
    "sdu": partial(_ended, Initiator("account-deleted")),
    "gd_unenroll": _unenrolled,
    "universal_logout_succeeded": partial(_ended, IDP_LOGOUT),
}
