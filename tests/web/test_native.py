"""The native format: what is an event, and how each fault of what is none is named."""

from datetime import UTC, datetime

import pytest

from dispatcher.domain.errors import InvalidEvent
from dispatcher.domain.events import (
    Audience,
    ClientId,
    Initiator,
    Intake,
    LogoutEvent,
    Participant,
    SessionJoined,
    Sid,
    SourceName,
    Sub,
)
from dispatcher.domain.sources import Source
from dispatcher.web.formats.native import MOST_EVENTS, parse
from tests.web.builders import NOW, a_join, an_event

IDP = Source(name=SourceName("idp"))


def read(document: object, *, webhook_id: str | None = None, source: Source = IDP) -> Intake:
    """Read a document that holds one intake."""
    (intake,) = parse(document, source=source, webhook_id=webhook_id, received_at=NOW)
    return intake


def faults_of(document: object, *, webhook_id: str | None = None) -> dict[str, str]:
    """Return the faults of a document, by field; none where it is well."""
    try:
        parse(document, source=IDP, webhook_id=webhook_id, received_at=NOW)
    except InvalidEvent as error:
        return {fault.field: fault.message for fault in error.faults}
    return {}


def test_an_event_is_read_whole() -> None:
    """Every member of an event reaches the domain as it was told."""
    told = an_event(
        type="session.ended",
        sub="auth0|65a1",
        clients=[{"client_id": "shop"}, {"client_id": "wiki", "sub": "pairwise-77"}],
        audience="session",
        session_metadata={"device": "phone"},
        occurred_at="2026-11-22T11:00:00+02:00",
    )

    assert read(told) == LogoutEvent(
        source=SourceName("idp"),
        id="evt-1",
        initiator=Initiator("session-revoked"),
        sub=Sub("auth0|65a1"),
        sid=Sid("s-1"),
        clients=(
            Participant(ClientId("shop")),
            Participant(ClientId("wiki"), Sub("pairwise-77")),
        ),
        audience=Audience.SESSION,
        session_metadata={"device": "phone"},
        occurred_at=datetime(2026, 11, 22, 9, tzinfo=UTC),
        received_at=NOW,
    )


def test_a_join_is_read_whole() -> None:
    """Every member of a join reaches the domain as it was told."""
    told = a_join(
        session_metadata={"device": "phone"},
        occurred_at="2026-11-22T10:00:00Z",
        expires_at="2026-11-23T10:00:00Z",
    )

    assert read(told) == SessionJoined(
        source=SourceName("idp"),
        id="join-1",
        sid=Sid("s-1"),
        sub=Sub("user-1"),
        clients=(Participant(ClientId("shop")),),
        session_metadata={"device": "phone"},
        occurred_at=NOW,
        expires_at=datetime(2026, 11, 23, 10, tzinfo=UTC),
        received_at=NOW,
    )


def test_the_type_is_session_ended_unless_it_is_said() -> None:
    """An event without a type tells of a session that ended."""
    intake = read(an_event(type=None))

    assert isinstance(intake, LogoutEvent)


def test_an_event_carries_the_audience_of_its_source() -> None:
    """The default audience of a source goes with its events, beside what an event says itself."""
    source = Source(name=SourceName("crm"), audience=Audience.SUBSCRIBERS)

    intake = read(an_event(), source=source)

    assert isinstance(intake, LogoutEvent)
    assert (intake.audience, intake.default_audience) == (None, Audience.SUBSCRIBERS)


def test_the_id_in_the_body_wins_over_the_header() -> None:
    """The header webhook-id names an event only where its body does not."""
    ids = [
        read(an_event(), webhook_id="msg-1").id,
        read(an_event(id=None), webhook_id="msg-1").id,
    ]

    assert ids == ["evt-1", "msg-1"]


def test_items_of_an_array_need_ids_of_their_own() -> None:
    """One header can not name several events."""
    faults = faults_of([an_event(), an_event(id=None)], webhook_id="msg-1")

    assert faults == {"[1].id": "is required"}


def test_no_clients_is_not_the_same_as_no_word_of_clients() -> None:
    """An empty list means nobody, and its absence that the registry knows."""
    told = [read(an_event(clients=[])), read(an_event())]

    assert [intake.clients for intake in told] == [(), None]


def test_every_fault_of_every_item_is_named() -> None:
    """The writer of a bad array learns of all its faults at once, each with its place."""
    faults = faults_of(
        [
            an_event(),
            an_event(initiator=None, sid="s\n1"),
            an_event(clients=[{"client_id": ""}, {"client_id": "wiki", "sud": "u"}]),
            a_join(sub=None, clients=[]),
            "evt",
        ]
    )

    assert list(faults) == [
        "[1].sid",
        "[1].initiator",
        "[2].clients[0].client_id",
        "[2].clients[1].sud",
        "[3].clients",
        "[3].sub",
        "[4]",
    ]


@pytest.mark.parametrize("count", [0, MOST_EVENTS + 1])
def test_an_array_holds_one_to_a_thousand_events(count: int) -> None:
    """An empty array and one that is too long are refused as a whole."""
    faults = faults_of([an_event(id=f"evt-{number}") for number in range(count)])

    assert faults == {"": "an array must hold 1 to 1000 events"}


def test_an_array_of_a_thousand_is_read() -> None:
    """The longest array that is allowed is read."""
    told = [an_event(id=f"evt-{number}") for number in range(MOST_EVENTS)]

    assert len(parse(told, source=IDP, webhook_id=None, received_at=NOW)) == MOST_EVENTS


LONG = "x" * 256
BAD_EVENTS: list[tuple[str, dict[str, object], str]] = [
    ("a missing initiator", {"initiator": None}, "initiator"),
    ("an initiator in capitals", {"initiator": "RP-Logout"}, "initiator"),
    ("an initiator that is too long", {"initiator": "a" * 65}, "initiator"),
    ("an initiator that is no string", {"initiator": 7}, "initiator"),
    ("neither sub nor sid", {"sid": None}, "sub"),
    ("an empty sid", {"sid": ""}, "sid"),
    ("a sid with a control character", {"sid": "s\x001"}, "sid"),
    ("a sid that ends in a newline", {"sid": "s-1\n"}, "sid"),
    ("a sid that is not ASCII", {"sid": "sitzung-ä"}, "sid"),
    ("a sid with half a character", {"sid": "\ud800"}, "sid"),
    ("a sid that is too long", {"sid": LONG}, "sid"),
    ("a sub with a control character", {"sub": "u\x7f"}, "sub"),
    ("a sub that is too long", {"sub": LONG}, "sub"),
    ("an id with a control character", {"id": "e\t1"}, "id"),
    ("an empty id", {"id": ""}, "id"),
    ("an id that is a number", {"id": 1}, "id"),
    ("a type that nobody knows", {"type": "session.started"}, "type"),
    ("clients that are no list", {"clients": "shop"}, "clients"),
    ("a client that is no object", {"clients": ["shop"]}, "clients[0]"),
    ("a client without its id", {"clients": [{"sub": "u"}]}, "clients[0].client_id"),
    ("a client whose sub is bad", {"clients": [{"client_id": "a", "sub": ""}]}, "clients[0].sub"),
    ("an audience that nobody knows", {"audience": "everybody"}, "audience"),
    ("clients and all subscribers", {"clients": [], "audience": "subscribers"}, "audience"),
    ("excepted sessions beside a sid", {"sub": "u", "except_sids": ["s"]}, "except_sids"),
    ("an excepted sid without form", {"sid": None, "sub": "u", "except_sids": [""]},
     "except_sids[0]"),
    ("metadata that is no object", {"session_metadata": []}, "session_metadata"),
    ("metadata that is no string", {"session_metadata": {"n": 1}}, "session_metadata.n"),
    ("metadata that is too long", {"session_metadata": {"n": LONG}}, "session_metadata.n"),
    ("metadata with a name too long", {"session_metadata": {LONG: "v"}},
     f"session_metadata.{LONG}"),
    ("metadata with half a character", {"session_metadata": {"n": "\udfff"}}, "session_metadata.n"),
    ("metadata with NUL", {"session_metadata": {"n": "\0"}}, "session_metadata.n"),
    ("too much metadata", {"session_metadata": {str(n): "" for n in range(26)}},
     "session_metadata"),
    ("a time without its offset", {"occurred_at": "2026-11-22T10:00:00"}, "occurred_at"),
    ("a time that is a number", {"occurred_at": 1795341600}, "occurred_at"),
    ("a time before all time", {"occurred_at": "0001-01-01T00:00:00+14:00"}, "occurred_at"),
    ("a time after all time", {"occurred_at": "9999-12-31T23:59:59-14:00"}, "occurred_at"),
    ("a member that nobody knows", {"intiator": "rp-logout"}, "intiator"),
    ("a member of a join", {"expires_at": "2026-11-22T10:00:00Z"}, "expires_at"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("members", "field"),
    [(members, field) for _, members, field in BAD_EVENTS],
    ids=[name for name, _, _ in BAD_EVENTS],
)
def test_what_is_wrong_with_an_event_is_named(members: dict[str, object], field: str) -> None:
    """Each fault is named by its field, and by nothing else."""
    assert list(faults_of(an_event(**members))) == [field]


BAD_JOINS: list[tuple[str, dict[str, object], str]] = [
    ("no sid", {"sid": None}, "sid"),
    ("no sub", {"sub": None}, "sub"),
    ("no clients", {"clients": None}, "clients"),
    ("nobody who joins", {"clients": []}, "clients"),
    ("an initiator", {"initiator": "rp-logout"}, "initiator"),
    ("an audience", {"audience": "session"}, "audience"),
    ("excepted sessions", {"except_sids": []}, "except_sids"),
    ("an expiry that is no time", {"expires_at": "tomorrow"}, "expires_at"),
]


@pytest.mark.parametrize(
    ("members", "field"),
    [(members, field) for _, members, field in BAD_JOINS],
    ids=[name for name, _, _ in BAD_JOINS],
)
def test_what_is_wrong_with_a_join_is_named(members: dict[str, object], field: str) -> None:
    """Each fault is named by its field, and by nothing else."""
    assert list(faults_of(a_join(**members))) == [field]


@pytest.mark.parametrize("document", [None, True, 7, 7.5, "evt", [[]], [None]])
def test_what_is_no_object_is_no_event(document: object) -> None:
    """Anything else than an object is one fault, at its own place."""
    faults = faults_of(document)

    assert list(faults) == (["[0]"] if isinstance(document, list) else [""])


def test_a_header_that_is_no_id_is_refused() -> None:
    """An id from the header has the same form as one from the body."""
    faults = faults_of(an_event(id=None), webhook_id="m\xfcller")

    assert list(faults) == ["id"]


def test_what_is_just_allowed_is_read() -> None:
    """The longest identifiers, the most metadata and an empty one are all allowed."""
    metadata = {f"{number:0255}": "ä" * 255 for number in range(25)}

    faults = faults_of(
        an_event(
            id="x" * 255, sid=None, sub=" " * 255, except_sids=["~"], session_metadata=metadata
        )
    )

    assert faults == {}


@pytest.mark.parametrize("name", ["sid", "clients", "except_sids"])
def test_a_null_does_not_widen_the_scope(name: str) -> None:
    """A member that decides the scope must not be null: it would mean more than is meant."""
    document = {"id": "e", "initiator": "rp-logout", "sub": "u", name: None}

    assert list(faults_of(document)) == [name]


def test_an_application_is_named_once() -> None:
    """An event that names one client_id twice is refused: either sub could be the right one."""
    clients = [{"client_id": "shop", "sub": "a"}, {"client_id": "shop", "sub": "b"}]
    document = {"id": "e", "initiator": "rp-logout", "sid": "s", "clients": clients}

    assert list(faults_of(document)) == ["clients"]
