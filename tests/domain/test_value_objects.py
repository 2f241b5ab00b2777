"""Value objects: compared by value, unchanged by anybody, and as cheap to make as any object."""

from dataclasses import fields, replace

import pytest

from dispatcher.domain.deliveries import (
    Acknowledged,
    Attempt,
    Delivery,
    NewDelivery,
    Refused,
    Settled,
    Settlement,
    Unreachable,
    Withheld,
)
from dispatcher.domain.events import LogoutEvent, Participant, Receipt, SessionJoined
from dispatcher.domain.matching import Matched, Matching
from dispatcher.domain.sessions import Joined, Known, Session
from dispatcher.domain.value_objects import value_object
from dispatcher.stored.settling import Held

MADE_FOR_EACH = [
    *(LogoutEvent, Participant, Receipt, SessionJoined, Joined, Known, Session, Matching, Matched),
    *(NewDelivery, Delivery, Attempt, Settlement, Settled),
    *(Acknowledged, Refused, Unreachable, Withheld, Held),
]


@value_object(frozen=True, slots=True)
class Point:
    """A value object."""

    x: int
    y: int = 0


def test_equal_values_are_one_and_the_same() -> None:
    """Two value objects with equal values are equal, and one member of a set."""
    assert Point(1) == Point(1, 0) != Point(1, 2)
    assert len({Point(1), Point(1, 0), replace(Point(1, 5), y=0)}) == 1


def test_the_type_checker_lets_nobody_change_one() -> None:
    """To the type checker a value object is frozen: without the comment it would complain."""
    point = Point(1)

    point.x = 2  # type: ignore[misc]  # an ignored complaint that is not made is one itself

    assert point == Point(2)


def test_nobody_adds_to_one() -> None:
    """A value object has the attributes that its class names, and room for no other."""
    with pytest.raises(AttributeError):
        Point(1).z = 3  # type: ignore[attr-defined]  # it must fail


@pytest.mark.parametrize("kind", MADE_FOR_EACH)
def test_nothing_stands_between_a_value_object_and_its_attributes(kind: type) -> None:
    """What is made for each event, delivery or attempt sets its attributes directly."""
    assert fields(kind)
    assert "__setattr__" not in vars(kind)
