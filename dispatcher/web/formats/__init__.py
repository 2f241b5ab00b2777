"""The shapes in which sources tell of events, each read into the domain's own words.

``native`` is ours, and ``cloudevents`` an envelope around it; the others are what their senders
document, each a table in a file of its own, which share ``foreign``. ``told`` is what all know.
"""

from collections.abc import Callable, Mapping

from dispatcher.domain.sources import SourceFormat
from dispatcher.web.formats import (
    auth0_event_stream,
    auth0_log_stream,
    cloudevents,
    keycloak,
    native,
    security_event,
)
from dispatcher.web.formats.told import Told, Webhook

READERS: Mapping[SourceFormat, Callable[[Webhook], Told]] = {
    SourceFormat.NATIVE: native.read,
    SourceFormat.CLOUDEVENTS: cloudevents.read,
    SourceFormat.SET: security_event.read,
    SourceFormat.AUTH0_EVENT_STREAM: auth0_event_stream.read,
    SourceFormat.AUTH0_LOG_STREAM: auth0_log_stream.read,
    SourceFormat.KEYCLOAK: keycloak.read,
}
"""How each format is read: raises UnknownFormat, or InvalidEvent with every fault."""
OF_OUR_WORDS = frozenset({SourceFormat.NATIVE, SourceFormat.CLOUDEVENTS})
"""The formats whose senders speak of initiators themselves, and are told what is wrong."""

__all__ = ["OF_OUR_WORDS", "READERS", "Told", "Webhook", "security_event"]
