"""The session registry: who joined what, and for how long it is remembered."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.domain.events import Sid, Sub
from dispatcher.domain.sessions import Session, ends_late_join, kept_until
from tests.domain.builders import HOUR, MINUTE, NOW, a_join, an_event, joined


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


@given(
    st.lists(_MOMENTS, max_size=3),
    st.none() | _MOMENTS,
    st.none() | _MOMENTS,
    st.integers(0, 60).map(lambda days: timedelta(days=days)),
)
def test_a_session_is_kept_after_the_latest_that_is_known_of_it(
    joins: list[datetime],
    expires_at: datetime | None,
    ended_at: datetime | None,
    retention: timedelta,
) -> None:
    """A session is kept until the latest of expiry, last join and end, plus its retention."""
    session = Session(
        sid=Sid("s1"),
        sub=Sub("ann"),
        clients=tuple(joined("shop", at=at) for at in joins),
        created_at=NOW,
        expires_at=expires_at,
        ended_at=ended_at,
    )

    kept = kept_until(session, retention=retention)

    moments = [*joins, *(one for one in (expires_at, ended_at) if one is not None)]
    assert kept == max([NOW, *moments]) + retention


def test_a_session_that_nobody_joined_is_kept_from_its_creation() -> None:
    """A session without joins, expiry or end is kept for its retention from when it began."""
    session = Session(sid=Sid("s1"), sub=Sub("ann"), clients=(), created_at=NOW)

    assert kept_until(session, retention=HOUR) == NOW + HOUR
