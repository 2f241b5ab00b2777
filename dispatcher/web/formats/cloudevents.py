"""CloudEvents 1.0 over HTTP in its three content modes: an envelope around our own words.

| attribute | is |
|---|---|
| ``type`` | ``session.ended`` or ``session.joined``, after any prefix (``com.example.``) |
| ``source`` and ``id`` | together the event's id |
| ``time`` | its ``occurred_at``, unless the data has one |
| ``data`` | all the other members of a native event |

An event of another type is passed over: who routes events may send more than was meant.
"""

import base64
import hashlib
from urllib.parse import unquote

from dispatcher.domain.errors import Fault, InvalidEvent, UnknownFormat
from dispatcher.domain.events import Intake, is_identifier
from dispatcher.domain.reading import Reader
from dispatcher.domain.sources import PassedOver
from dispatcher.web.bodies import decode, media_type
from dispatcher.web.formats.native import (
    MOST_EVENTS,
    Delivered,
    EventType,
    read_intake,
)
from dispatcher.web.formats.told import Told, Webhook

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
_PREFIX = b"ce-"
_VERSION = "1.0"
_OURS = ("id", "type")
"""What the envelope says, and its data must not say again."""


def read(webhook: Webhook) -> Told:
    """Read a webhook; raise UnknownFormat, or InvalidEvent with every fault of every event."""
    faults: list[Fault] = []
    brought = Delivered(webhook.source, None, webhook.received_at)
    documents, listed = _documents(webhook)
    items = [
        _event(Reader(document, path=f"[{index}]" if listed else "", faults=faults), brought)
        for index, document in enumerate(documents)
    ]
    if faults:
        raise InvalidEvent(faults)
    return Told(tuple(item for item in items if item is not None), listed=listed)


def _documents(webhook: Webhook) -> tuple[list[object], bool]:
    """Return the events of a webhook, each as the structured mode has it, and whether many."""
    kind = media_type(webhook.headers)
    if kind == BATCHED:
        return _batch(decode(webhook.body, error=InvalidEvent)), True
    if kind == STRUCTURED:
        return [decode(webhook.body, error=InvalidEvent)], False
    if b"ce-specversion" in webhook.headers and _is_json(kind):
        return [_binary(webhook)], False
    raise UnknownFormat(f"The body must be {STRUCTURED} or {BATCHED}, or JSON with ce- headers.")


def _batch(document: object) -> list[object]:
    if not isinstance(document, list) or len(document) > MOST_EVENTS:
        raise InvalidEvent([Fault("", f"must be an array of at most {MOST_EVENTS} CloudEvents")])
    return document


def _binary(webhook: Webhook) -> dict[str, object]:
    """Return an event whose attributes are headers (HTTP Protocol Binding section 3.1.3)."""
    document: dict[str, object] = {
        name.removeprefix(_PREFIX).decode("latin-1"): unquote(value.decode("latin-1"))
        for name, value in webhook.headers.items()
        if name.startswith(_PREFIX)
    }
    return document | {"data": decode(webhook.body, error=InvalidEvent)}


def _event(event: Reader, brought: Delivered) -> Intake | PassedOver | None:
    if not event.is_object:
        return None
    event.required("specversion", ok=_VERSION.__eq__, rule=_VERSION)
    told_id, source = event.required("id"), event.required("source")
    kind, time = _type(event.required("type")), event.moment("time")
    if kind is None:
        return PassedOver.ENDS_NOTHING
    data = _data(event)
    if data is None:
        return None
    for name in _OURS:
        if name in data.document:
            data.fault(name, "is given by the CloudEvent itself")
    occurred_at = {} if time is None else {"occurred_at": event.document["time"]}
    native = {**occurred_at, **data.document, "id": _id(source, told_id), "type": kind.value}
    return read_intake(Reader(native, path=data.path, faults=data.faults), brought)


def _type(text: str) -> EventType | None:
    """Return the type that *text* names, whatever reversed domain name stands before it."""
    return next((kind for kind in EventType if f".{text}".endswith(f".{kind.value}")), None)


def _id(source: str, told_id: str) -> str:
    """Return the one name of what source and id name together (CloudEvents 1.0, ``id``)."""
    both = f"{source} {told_id}"
    if is_identifier(both):
        return both
    return f"sha256-{hashlib.sha256(both.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _data(event: Reader) -> Reader | None:
    """Return the data, which must be a JSON object; None where there is none to read."""
    kind = event.text("datacontenttype")
    if kind is not None and not _is_json(kind.partition(";")[0].strip().lower()):
        event.fault("datacontenttype", "must be application/json")
        return None
    name = "data_base64" if "data_base64" in event else "data"
    if name not in event:
        event.fault("data", "is required")
        return None
    value = _decoded(event) if name == "data_base64" else event.document[name]
    if value is None:
        return None
    data = Reader(value, path=f"{event.path}.{name}".lstrip("."), faults=event.faults)
    return data if data.is_object else None


def _decoded(event: Reader) -> object:
    """Return what ``data_base64`` holds (JSON Event Format section 3.1.1)."""
    text = event.text("data_base64")
    if text is None:
        return None
    try:
        return decode(base64.b64decode(text, validate=True), error=InvalidEvent)
    except ValueError:
        event.fault("data_base64", "is not base64")
    except InvalidEvent as error:
        event.fault("data_base64", error.faults[0].message)
    return None


def _is_json(kind: str) -> bool:
    return kind == "application/json" or kind.endswith("+json")
