"""Things of the domain, with defaults that a test need not care for, and any JSON value."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from dispatcher.domain.applications import (
    Application,
    LogoutDelivery,
    ManagedBy,
    Mode,
    RegistrationRules,
    Subject,
)
from dispatcher.domain.deliveries import Delivery, DeliveryId
from dispatcher.domain.events import (
    RP_LOGOUT,
    ClientId,
    EventId,
    LogoutEvent,
    Participant,
    SessionJoined,
    Sid,
    SourceName,
    Sub,
)
from dispatcher.domain.sessions import Joined, Known

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)

OVER_THE_API = RegistrationRules()
FROM_THE_FILE = RegistrationRules(managed_by=ManagedBy.FILE)


def an_event(**changes: Any) -> LogoutEvent:
    """Make an event that ends one session of ann, unless it is told otherwise."""
    told: dict[str, Any] = {
        "source": SourceName("idp"),
        "id": "evt_1",
        "initiator": RP_LOGOUT,
        "sub": Sub("ann"),
        "sid": Sid("s1"),
        "received_at": NOW,
    }
    return LogoutEvent(**told | changes)


def a_join(**changes: Any) -> SessionJoined:
    """Make a join of ann's session by the shop, unless it is told otherwise."""
    told: dict[str, Any] = {
        "source": SourceName("idp"),
        "id": "join_1",
        "sub": Sub("ann"),
        "sid": Sid("s1"),
        "clients": (Participant(ClientId("shop")),),
        "received_at": NOW,
    }
    return SessionJoined(**told | changes)


def clients(*names: str) -> tuple[Participant, ...]:
    """Make participants, as an event names them."""
    return tuple(Participant(ClientId(name)) for name in names)


def joined(client_id: str, sid: str = "s1", *, sub: str = "ann", at: datetime = NOW) -> Joined:
    """Make one application's part in one session."""
    return Joined(ClientId(client_id), Sid(sid), Sub(sub), at)


def known(*in_time: Joined, late: tuple[Joined, ...] = (), sub: str | None = None) -> Known:
    """Make what the registry knows."""
    return Known(sub=None if sub is None else Sub(sub), joined=in_time, late=late)


def an_application(client_id: str = "shop", **changes: Any) -> Application:
    """Make an application with one URI and Auth0's default initiators."""
    told: dict[str, Any] = {
        "client_id": ClientId(client_id),
        "name": client_id.title(),
        "document": {},
        "urls": (f"https://{client_id}.example/logout",),
    }
    return Application(**told | changes)


def applications(*told: Application) -> Mapping[ClientId, Application]:
    """Make all the applications that there are."""
    return {application.client_id: application for application in told}


def for_all(client_id: str, subject: Subject = Subject.BOTH, **changes: Any) -> Application:
    """Make an application in mode ``all`` that wants *subject* in its tokens."""
    delivery = LogoutDelivery(subject=subject)
    return an_application(client_id, mode=Mode.ALL, delivery=delivery, **changes)


def a_delivery(**changes: Any) -> Delivery:
    """Make a delivery in flight that tells the shop of one session of ann."""
    told: dict[str, Any] = {
        "id": DeliveryId("dlv_1"),
        "event_id": EventId("ev_1"),
        "client_id": ClientId("shop"),
        "uri": "https://shop.example/logout",
        "sub": Sub("ann"),
        "sid": Sid("s1"),
        "initiator": RP_LOGOUT,
        "created_at": NOW,
        "started_at": NOW,
        "lease_until": NOW + timedelta(seconds=30),
    }
    return Delivery(**told | changes)


def json_values(*, most: int = 8) -> st.SearchStrategy[Any]:
    """Make any JSON value."""
    scalars = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text()
    )
    return st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
        ),
        max_leaves=most,
    )
