"""The ledger: what is recorded, as people read it."""

from dataclasses import FrozenInstanceError, fields

import pytest

from dispatcher.domain.events import EventState
from dispatcher.domain.ledger import (
    MOST_PER_PAGE,
    DeliveryFilter,
    EventFilter,
    EventRecord,
)
from tests.domain.builders import an_event


@pytest.mark.parametrize("kind", [EventFilter, DeliveryFilter])
def test_a_filter_asks_for_everything(kind: type[EventFilter | DeliveryFilter]) -> None:
    """A filter that says nothing asks for everything, from the newest on, half a page at a time."""
    wanted = kind()

    asked = {one.name: getattr(wanted, one.name) for one in fields(kind)}
    assert asked.pop("take") == 50 <= MOST_PER_PAGE == 100
    assert set(asked.values()) <= {None, False}


def test_a_record_says_what_stands() -> None:
    """A record can not be changed: what is read of it is what stood there."""
    record = EventRecord(event=an_event(), state=EventState.ACCEPTED, reason=None)

    assert (record.deliveries, record.unknown_clients) == ((), ())
    with pytest.raises(FrozenInstanceError):
        record.state = EventState.MATCHED  # type: ignore[misc]  # it must fail
