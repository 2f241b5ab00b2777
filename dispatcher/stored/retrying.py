"""Retrying: which of what is over may be owed once more, and where it goes then."""

from dataclasses import dataclass

from dispatcher.domain.deliveries import DeliveryState, Reason, Retrial, retrial_of
from dispatcher.domain.events import ClientId, Sid
from dispatcher.domain.matching import Applications


@dataclass(frozen=True, slots=True)
class Over:
    """A delivery as it lies in the store; *excepts* is whether its event leaves sessions be."""

    number: int
    client_id: ClientId
    uri: str
    sid: Sid | None
    state: DeliveryState
    reason: Reason | None
    excepts: int

    @property
    def retrial(self) -> Retrial:
        """Whether it may be tried again."""
        state, reason = DeliveryState(self.state), self.reason and Reason(self.reason)
        return retrial_of(state, reason, sid=self.sid, excepts=bool(self.excepts))

    def uri_now(self, applications: Applications) -> str:
        """Return where it goes: to its own URI while the application has it, or has no other."""
        application = applications.get(self.client_id)
        urls = application.urls if application else ()
        return self.uri if self.uri in urls or not urls else urls[0]
