"""Session-termination events: what ended, why, and whom it concerns."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.domain.events import (
    EVENT_TRANSITIONS,
    KNOWN_INITIATORS,
    NO_METADATA,
    Audience,
    ClientId,
    EventId,
    EventState,
    Initiator,
    Intake,
    Participant,
    Sid,
    SourceName,
    Sub,
    fingerprint,
    is_identifier,
    is_initiator,
)
from tests.domain.builders import HOUR, NOW, a_join, an_event, clients


def test_the_known_initiators_are_auth0s() -> None:
    """Ten initiators are known, by Auth0's names, and each has the form of one."""
    assert KNOWN_INITIATORS == (
        "rp-logout",
        "idp-logout",
        "password-changed",
        "session-expired",
        "session-revoked",
        "account-deleted",
        "email-identifier-changed",
        "mfa-phone-unenrolled",
        "account-deactivated",
        "profile-changed",
    )
    assert all(map(is_initiator, KNOWN_INITIATORS))


@given(st.from_regex(r"[a-z][a-z0-9-]{0,63}", fullmatch=True))
def test_an_initiator_may_have_any_name(name: str) -> None:
    """Initiators are an open set: a-z, then up to 63 of a-z, 0-9 and -."""
    assert is_initiator(name)


@given(st.text(max_size=70))
def test_an_initiators_name_has_one_form(text: str) -> None:
    """A text is an initiator's name exactly where it has that form."""
    first, rest = text[:1], text[1:]
    letters = set("abcdefghijklmnopqrstuvwxyz")

    expected = first in letters and len(rest) <= 63 and set(rest) <= letters | set("0123456789-")

    assert is_initiator(text) is expected


@pytest.mark.parametrize(
    "text", ["", "-a", "1a", "Rp-logout", "rp_logout", "rp logout", "a\n", "é", "a" * 65]
)
def test_what_is_no_name_is_no_initiator(text: str) -> None:
    """A name that is empty, too long, or of other characters is no initiator."""
    assert not is_initiator(text)


@given(st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1))
def test_an_identifier_is_printable_ascii(text: str) -> None:
    """RFC 6749 A.1: an identifier may hold any printable ASCII character, a blank included."""
    assert is_identifier(text[:255])


@pytest.mark.parametrize("text", ["", "a" * 256, "a\n", "\t", "\x7f", "é", "\ud800", "\0"])
def test_what_is_no_identifier(text: str) -> None:
    """An identifier is not empty, at most 255 long, and without control or other characters."""
    assert not is_identifier(text)
    assert is_identifier("a" * 255)


def test_an_event_with_sid_ends_one_session() -> None:
    """An event with sid ends that session; one with sub alone ends all of the user's."""
    assert not an_event(sid=Sid("s1")).user_wide
    assert not an_event(sid=Sid("s1"), sub=None).user_wide
    assert an_event(sid=None).user_wide


@pytest.mark.parametrize(
    ("audience", "default", "expected"),
    [
        (None, Audience.SESSION, False),
        (None, Audience.SUBSCRIBERS, True),
        (Audience.SUBSCRIBERS, Audience.SESSION, True),
        (Audience.SESSION, Audience.SUBSCRIBERS, False),
    ],
)
def test_the_events_audience_wins(
    audience: Audience | None,
    default: Audience,
    expected: bool,  # noqa: FBT001 - pytest gives it
) -> None:
    """Who is meant is the event's word, and else its source's setting."""
    event = an_event(audience=audience, default_audience=default)

    assert event.reaches_subscribers is expected


def test_a_session_ended_when_its_source_says() -> None:
    """A session ended when the event occurred, and else when we were told."""
    assert an_event().ended_at == NOW
    assert an_event(occurred_at=NOW - HOUR).ended_at == NOW - HOUR


def test_events_move_forward() -> None:
    """An event is accepted, then matched or not; one unmatched may be matched by a late join."""
    assert {state: set(after) for state, after in EVENT_TRANSITIONS.items()} == {
        EventState.ACCEPTED: {EventState.MATCHED, EventState.UNMATCHED},
        EventState.UNMATCHED: {EventState.MATCHED},
        EventState.MATCHED: set(),
    }


_IDENTIFIERS = st.text(alphabet='ab"[], ', min_size=1, max_size=3)
_PARTICIPANTS = st.builds(
    Participant, _IDENTIFIERS.map(ClientId), st.none() | _IDENTIFIERS.map(Sub)
)
_MOMENTS = st.datetimes(min_value=datetime(1970, 1, 2), timezones=st.just(UTC))  # noqa: DTZ001 - the zone is given apart


@given(
    st.lists(_PARTICIPANTS, max_size=4, unique_by=lambda one: one.client_id),
    st.lists(_IDENTIFIERS.map(Sid), max_size=4),
    _MOMENTS,
    st.randoms(use_true_random=False),
)
def test_a_repeat_is_the_same_event(
    told: list[Participant], excepted: list[Sid], occurred_at: datetime, random: Any
) -> None:
    """An event is the same whenever it occurred and came, whatever the order of its clients."""
    event = an_event(clients=tuple(told), except_sids=tuple(excepted))
    random.shuffle(told)
    random.shuffle(excepted)

    repeat = replace(
        event,
        clients=tuple(told),
        except_sids=tuple(excepted),
        occurred_at=occurred_at,
        received_at=occurred_at,
        event_id=EventId("ev_2"),
        default_audience=Audience.SUBSCRIBERS,
    )

    assert fingerprint(repeat) == fingerprint(event)


def test_metadata_are_the_same_in_any_order() -> None:
    """The order of metadata tells nothing."""
    one = an_event(session_metadata={"a": "1", "b": "2"})
    other = an_event(session_metadata={"b": "2", "a": "1"})

    assert fingerprint(one) == fingerprint(other)


_EVENT_CHANGES: Mapping[str, Any] = {
    "initiator": Initiator("idp-logout"),
    "sub": Sub("bob"),
    "sid": Sid("s2"),
    "clients": clients("shop"),
    "audience": Audience.SESSION,
    "except_sids": (Sid("s3"),),
    "session_metadata": {"device": "phone"},
}
_JOIN_CHANGES: Mapping[str, Any] = {
    "sub": Sub("bob"),
    "sid": Sid("s2"),
    "clients": clients("shop", "wiki"),
    "session_metadata": {"device": "phone"},
    "expires_at": NOW,
}


@pytest.mark.parametrize(
    ("intake", "member", "value"),
    [(an_event(), member, value) for member, value in _EVENT_CHANGES.items()]
    + [(a_join(), member, value) for member, value in _JOIN_CHANGES.items()],
)
def test_other_content_is_another_event(intake: Intake, member: str, value: Any) -> None:
    """Whatever else is told, an event that differs in it is another."""
    changed = replace(intake, **{member: value})

    assert fingerprint(changed) != fingerprint(intake)


_SHOP_OF_ANN = Participant(ClientId("shop"), Sub("ann"))
_SHOP_OF_BOB = Participant(ClientId("shop"), Sub("bob"))


def test_what_looks_alike_is_told_apart() -> None:
    """Nobody and not said, another sub of the same client, one name in two: all are told apart."""
    told: list[Intake] = [
        an_event(clients=None),
        an_event(clients=()),
        an_event(clients=clients("shop")),
        an_event(clients=clients("shop", "shop")),
        an_event(clients=(_SHOP_OF_ANN,)),
        an_event(clients=(_SHOP_OF_ANN, _SHOP_OF_BOB)),
        an_event(clients=(_SHOP_OF_BOB, _SHOP_OF_ANN)),
        an_event(clients=(Participant(ClientId("shop"), Sub("None")),)),
        an_event(sub=None),
        an_event(sub=Sub("None")),
        an_event(session_metadata={"a": "b"}),
        an_event(session_metadata={"b": "a"}),
        a_join(),
        a_join(expires_at=NOW),
    ]

    assert len({fingerprint(intake) for intake in told}) == len(told)


def test_a_join_expires_at_an_instant() -> None:
    """A join is the same in whatever offset its expiry is written, and whenever it occurred."""
    abroad = timezone(timedelta(hours=5, minutes=30))

    one = a_join(expires_at=NOW, occurred_at=NOW)
    other = a_join(expires_at=NOW.astimezone(abroad), received_at=NOW + HOUR)

    assert fingerprint(one) == fingerprint(other)


@given(st.text(max_size=5), st.text(max_size=5))
def test_any_metadata_have_a_digest(name: str, value: str) -> None:
    """Whatever characters a source sends, the digest is 64 hexadecimal digits."""
    digest = fingerprint(an_event(session_metadata={name: value}))

    assert len(digest) == 64
    assert set(digest) <= set("0123456789abcdef")


def test_there_is_no_third_kind_of_intake() -> None:
    """Whatever neither ends nor joins a session is a mistake of ours: it has no digest."""
    stranger: Any = SimpleNamespace(sub=None, sid=None, clients=None, session_metadata={})

    with pytest.raises(AssertionError):
        fingerprint(stranger)


def test_the_source_and_id_are_the_key_not_the_content() -> None:
    """The digest is of the content: the source and the id, which are its key, are not in it."""
    other = an_event(source=SourceName("hr"), id="evt_2")

    assert fingerprint(other) == fingerprint(an_event())


def test_no_metadata_can_not_be_written_to() -> None:
    """What stands for no metadata is shared by all, and nobody can write to it."""
    assert dict(an_event().session_metadata) == {}
    with pytest.raises(TypeError):
        NO_METADATA["a"] = "b"  # type: ignore[index]  # it must fail
