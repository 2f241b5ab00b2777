"""Claiming: how lanes take turns, and on what terms is lent what they have."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from dispatcher.domain.lanes import LaneState
from dispatcher.stored.lanes import lane_of
from dispatcher.stored.values import ALWAYS

T = TypeVar("T")
_LONGEST_TURN, _LANES_AT_LEAST = 4, 16
"""How many a lane is lent in its turn, while so many lanes have theirs: with a long backlog each
has index pages of its own, which are read and written for one delivery as for several."""


@dataclass(frozen=True, slots=True)
class Room:
    """How many may be lent out: in all, of what was tried before, and in one lane at a time."""

    total: int
    retries: int
    per_lane: int


class Turn:
    """A lane whose turn it is: how much room it has, and how it has been doing."""

    __slots__ = ("lane", "room", "taken")

    def __init__(self, room: int, breaker: str | None, taken: int) -> None:
        self.room = room
        self.lane = None if breaker is None else lane_of(breaker)
        self.taken = taken

    def room_at(self, now: datetime) -> int:
        """Return how many may be started: fewer than there is room for where it is not well."""
        allowance = None if self.lane is None else self.lane.allowance(now)
        room = self.room if allowance is None else min(self.room, allowance)
        return max(0, room - self.taken)

    def due_until(self, now: int) -> int:
        """Return until when a delivery must be due: a probe is made with one that is not, too."""
        parked = self.lane is not None and self.lane.state is LaneState.PARKED
        return ALWAYS if parked else now


def dealt_out(retries: Mapping[str, list[T]], most: int) -> dict[str, list[T]]:
    """Return *most* of the *retries*, dealt out to their lanes in turn."""
    dealt = shares({name: len(lane) for name, lane in retries.items()}, max(0, most))
    return {name: lane[: dealt[name]] for name, lane in retries.items()}


def shares(rooms: Mapping[str, int], limit: int) -> dict[str, int]:
    """Deal *limit* out to lanes with room, each in its turn, until neither is left.

    A turn is of one, and longer only where many lanes have theirs all the same.
    """
    dealt = dict.fromkeys(rooms, 0)
    left = min(limit, sum(rooms.values()))
    turn = turn_of(limit)
    while left > 0:
        for lane, room in rooms.items():
            more = min(turn, room - dealt[lane], left)
            dealt[lane] += more
            left -= more
    return dealt


def turn_of(limit: int) -> int:
    """Return how many a lane is lent in its turn, where *limit* are lent in all."""
    return max(1, min(_LONGEST_TURN, limit // _LANES_AT_LEAST))
