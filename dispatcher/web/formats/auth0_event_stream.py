"""Auth0 Event Streams: one CloudEvent for each change of a user.

| event | becomes |
|---|---|
| ``user.deleted`` | ``account-deleted`` |
| ``user.updated``, ``blocked`` set | ``account-deactivated`` |
| ``user.updated``, another ``email`` | ``email-identifier-changed`` |

Each ends all of the user's sessions. All other events are passed over, and so is what is sent as a
test: a stream is disabled after three refusals in a row, and nothing that was refused comes again.
"""

from collections.abc import Iterator

from dispatcher.domain.errors import InvalidEvent, UnknownFormat
from dispatcher.domain.events import Initiator, Intake
from dispatcher.domain.sources import PassedOver
from dispatcher.web.bodies import decode, media_type
from dispatcher.web.formats.foreign import JsonObject, entries_of, inside, moment, user_ended
from dispatcher.web.formats.told import Told, Webhook

_MEDIA_TYPES = ("application/json", "application/cloudevents+json")
_PREFIX = "com.auth0."
"""Stood before the type while event streams were in early access."""


def read(webhook: Webhook) -> Told:
    """Read a webhook; raise UnknownFormat, or InvalidEvent where it is no JSON object."""
    if media_type(webhook.headers) not in _MEDIA_TYPES:
        raise UnknownFormat(f"The body must be {' or '.join(_MEDIA_TYPES)}.")
    entries = entries_of(decode(webhook.body, error=InvalidEvent))
    return Told(tuple(item for entry in entries for item in _items(entry, webhook)))


def _items(event: JsonObject, webhook: Webhook) -> Iterator[Intake | PassedOver]:
    if event.get("a0purpose") == "test":
        yield PassedOver.TEST
        return
    initiators = _initiators(event)
    if not initiators:
        yield PassedOver.ENDS_NOTHING
    for initiator in initiators:
        yield user_ended(
            webhook,
            _id(event.get("id"), initiator, alone=len(initiators) == 1),
            initiator,
            sub=inside(event, "data", "object", "user_id"),
            at=moment(event.get("time")),
        )


def _initiators(event: JsonObject) -> list[Initiator]:
    match str(event.get("type")).removeprefix(_PREFIX):
        case "user.deleted":
            return [Initiator("account-deleted")]
        case "user.updated":
            return [initiator for initiator, changed in _changes(event).items() if changed]
        case _:
            return []


def _changes(event: JsonObject) -> dict[Initiator, bool]:
    """Tell which of the changes that end sessions an update is; one without a before is none."""
    before, after = inside(event, "data", "previous_object"), inside(event, "data", "object")
    if not isinstance(before, dict):
        return {}
    blocked = inside(after, "blocked") is True and before.get("blocked") is not True
    email = "email" in before and before["email"] != inside(after, "email")
    return {Initiator("account-deactivated"): blocked, Initiator("email-identifier-changed"): email}


def _id(event_id: object, initiator: Initiator, *, alone: bool) -> object:
    """Return the id of one event of those that an update becomes: they can not all have its own."""
    return event_id if alone or not isinstance(event_id, str) else f"{event_id} {initiator}"
