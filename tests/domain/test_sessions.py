"""The session registry: who joined what, and for how long it is remembered."""

from datetime import datetime

import pytest
from hypothesis import strategies as st

from dispatcher.domain.events import Sid, Sub
from dispatcher.domain.sessions import ends_late_join
from tests.domain.builders import HOUR, MINUTE, NOW, a_join, an_event


def test_the_end_of_a_session_ends_every_later_join_of_it() -> None:
    """An event with sid ends a join of that session that comes later, whenever it happened."""
    event = an_event(sid=Sid("s1"), occurred_at=NOW)

    assert ends_late_join(event, a_join())
    assert ends_late_join(event, a_join(occurred_at=NOW - HOUR))
    assert ends_late_join(event, a_join(occurred_at=NOW + HOUR))
    assert ends_late_join(event, a_join(sub=Sub("pairwise")))
    assert not ends_late_join(event, a_join(sid=Sid("s2"), occurred_at=NOW - HOUR))


@pytest.mark.parametrize(
    ("occurred_at", "expected"),
    [(None, False), (NOW - MINUTE, True), (NOW, False), (NOW + MINUTE, False)],
)
def test_a_user_wide_end_reaches_only_earlier_joins(
    occurred_at: datetime | None,
    expected: bool,  # noqa: FBT001 - pytest gives it
) -> None:
    """A user-wide end reaches a later join only where the join says that it happened before."""
    by_its_word = an_event(sid=None, occurred_at=NOW, received_at=NOW + HOUR)
    by_receipt = an_event(sid=None, received_at=NOW)
    join = a_join(occurred_at=occurred_at)

    assert ends_late_join(by_its_word, join) is expected
    assert ends_late_join(by_receipt, join) is expected


def test_a_user_wide_end_leaves_others_be() -> None:
    """A user-wide end reaches neither another user's sessions nor those that it excepts."""
    event = an_event(sid=None, except_sids=(Sid("kept"),))

    assert ends_late_join(event, a_join(occurred_at=NOW - HOUR))
    assert not ends_late_join(event, a_join(occurred_at=NOW - HOUR, sub=Sub("bob")))
    assert not ends_late_join(event, a_join(occurred_at=NOW - HOUR, sid=Sid("kept")))


_MOMENTS = st.integers(0, 100).map(lambda hours: NOW + hours * HOUR)
