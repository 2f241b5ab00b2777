"""Keycloak, by the webhooks of the event listener ``p2-inc/keycloak-events``.

| event | becomes |
|---|---|
| ``access.LOGIN`` | ``session.joined``: the registry fills by itself |
| ``access.LOGOUT`` | ``rp-logout`` of that session |
| ``access.UPDATE_PASSWORD``; ``access.UPDATE_CREDENTIAL`` of a password | ``password-changed`` |
| ``access.UPDATE_EMAIL`` | ``email-identifier-changed`` |
| ``access.DELETE_ACCOUNT``, ``admin.USER-DELETE`` | ``account-deleted`` |
| ``access.USER_DISABLED_BY_PERMANENT_LOCKOUT`` | ``account-deactivated`` |
| ``admin.USER-UPDATE`` that disables the user | ``account-deactivated`` |
| ``admin.USER-ACTION`` on ``reset-password`` | ``password-changed`` |
| ``admin.USER-ACTION`` on ``logout`` | ``session-revoked`` of all of the user's sessions |
| ``admin.USER_SESSION-DELETE`` | ``session-revoked`` of that session |

All others are passed over, and so is what failed. An administrator's event names
in ``authDetails`` who did it, and in ``resourcePath`` to whom.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial

from dispatcher.domain.errors import InvalidEvent
from dispatcher.domain.events import RP_LOGOUT, Initiator, Intake
from dispatcher.domain.sources import PassedOver
from dispatcher.web.bodies import decode, require_json
from dispatcher.web.formats.foreign import (
    JsonObject,
    entries_of,
    epoch,
    inside,
    session_ended,
    session_joined,
    user_ended,
)
from dispatcher.web.formats.told import Told, Webhook

_PASSWORD_CHANGED = Initiator("password-changed")
_SESSION_REVOKED = Initiator("session-revoked")
_ACCOUNT_DELETED = Initiator("account-deleted")
_ACCOUNT_DEACTIVATED = Initiator("account-deactivated")


def read(webhook: Webhook) -> Told:
    """Read a webhook; raise UnknownFormat, or InvalidEvent where it is no JSON object."""
    require_json(webhook.headers)
    entries = entries_of(decode(webhook.body, error=InvalidEvent))
    return Told(tuple(_item(entry, webhook) for entry in entries))


def _item(event: JsonObject, webhook: Webhook) -> Intake | PassedOver:
    kind = event.get("type")
    failed = bool(event.get("error"))
    reader = _READERS.get(kind) if isinstance(kind, str) and not failed else None
    return PassedOver.ENDS_NOTHING if reader is None else reader(event, webhook)


def _id(event: JsonObject) -> object:
    """Return Keycloak's own id; the listener's ``uid`` is another for each webhook it sends."""
    return event.get("id") or event.get("uid")


def _joined(event: JsonObject, webhook: Webhook) -> Intake | PassedOver:
    return session_joined(
        webhook,
        _id(event),
        sid=_who(event, "sessionId"),
        sub=_who(event, "userId"),
        client_id=_who(event, "clientId"),
        at=epoch(event.get("time"), per_second=1000),
    )


def _who(event: JsonObject, name: str) -> object:
    """Return of whom an event tells that a user caused."""
    return inside(event, "authDetails", name)


def _logged_out(event: JsonObject, webhook: Webhook) -> Intake | PassedOver:
    return session_ended(
        webhook,
        _id(event),
        RP_LOGOUT,
        sid=_who(event, "sessionId"),
        sub=_who(event, "userId"),
        at=epoch(event.get("time"), per_second=1000),
    )


def _ended(initiator: Initiator, event: JsonObject, webhook: Webhook) -> Intake | PassedOver:
    return _user_ended(initiator, event, webhook, sub=_who(event, "userId"))


def _user_ended(
    initiator: Initiator, event: JsonObject, webhook: Webhook, *, sub: object
) -> Intake | PassedOver:
    at = epoch(event.get("time"), per_second=1000)
    return user_ended(webhook, _id(event), initiator, sub=sub, at=at)


def _credential_updated(event: JsonObject, webhook: Webhook) -> Intake | PassedOver:
    if inside(event, "details", "credential_type") != "password":
        return PassedOver.ENDS_NOTHING
    return _ended(_PASSWORD_CHANGED, event, webhook)


def _resource(event: JsonObject, collection: str) -> tuple[str, str] | None:
    """Return the id in ``resourcePath`` and what follows it; None where it is of another kind."""
    path = event.get("resourcePath")
    kind, _, rest = path.partition("/") if isinstance(path, str) else ("", "", "")
    name, _, action = rest.partition("/")
    return (name, action) if kind == collection and name else None


def _user_managed(
    initiators: Mapping[str, Initiator], event: JsonObject, webhook: Webhook
) -> Intake | PassedOver:
    """Read what an administrator did to a user; what is done may stand behind the user's id."""
    resource = _resource(event, "users")
    if resource is None:
        return PassedOver.UNUSABLE
    sub, action = resource
    initiator = initiators.get(action)
    if initiator is None:
        return PassedOver.ENDS_NOTHING
    return _user_ended(initiator, event, webhook, sub=sub)


def _user_updated(event: JsonObject, webhook: Webhook) -> Intake | PassedOver:
    if not _disables(event.get("representation")):
        return PassedOver.ENDS_NOTHING
    return _user_managed({"": _ACCOUNT_DEACTIVATED}, event, webhook)


def _disables(representation: object) -> bool:
    """Whether the user's new representation, JSON in a text, is of one who may not log in."""
    try:
        user = json.loads(representation) if isinstance(representation, str) else None
    except (ValueError, RecursionError):
        return False
    return inside(user, "enabled") is False


def _session_deleted(event: JsonObject, webhook: Webhook) -> Intake | PassedOver:
    resource = _resource(event, "sessions")
    return session_ended(
        webhook,
        _id(event),
        _SESSION_REVOKED,
        sid=None if resource is None else resource[0],
        sub=None,
        at=epoch(event.get("time"), per_second=1000),
    )


_READERS: Mapping[str, Callable[[JsonObject, Webhook], Intake | PassedOver]] = {
    "access.LOGIN": _joined,
    "access.LOGOUT": _logged_out,
    "access.UPDATE_PASSWORD": partial(_ended, _PASSWORD_CHANGED),
    "access.UPDATE_CREDENTIAL": _credential_updated,
    "access.UPDATE_EMAIL": partial(_ended, Initiator("email-identifier-changed")),
    "access.DELETE_ACCOUNT": partial(_ended, _ACCOUNT_DELETED),
    "access.USER_DISABLED_BY_PERMANENT_LOCKOUT": partial(_ended, _ACCOUNT_DEACTIVATED),
    "admin.USER-DELETE": partial(_user_managed, {"": _ACCOUNT_DELETED}),
    "admin.USER-UPDATE": _user_updated,
    "admin.USER-ACTION": partial(
        _user_managed, {"reset-password": _PASSWORD_CHANGED, "logout": _SESSION_REVOKED}
    ),
    "admin.USER_SESSION-DELETE": _session_deleted,
}
