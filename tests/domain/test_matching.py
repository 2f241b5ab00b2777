"""Who is told of an event: the applications of the session that subscribe to its initiator."""

from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.domain.applications import Application, LogoutDelivery, Mode, Subject
from dispatcher.domain.deliveries import NewDelivery, Reason
from dispatcher.domain.events import (
    IDP_LOGOUT,
    Audience,
    ClientId,
    Initiator,
    LogoutEvent,
    Participant,
    Sid,
    Sub,
    UnmatchedReason,
)
from dispatcher.domain.matching import Matching, match
from dispatcher.domain.sessions import Joined, Known
from tests.domain.builders import (
    an_application,
    an_event,
    applications,
    clients,
    for_all,
    joined,
    known,
)

Told: TypeAlias = set[tuple[str, str | None, str | None]]
NOBODY = known()
ANN = Sub("ann")


def told(matching: Matching) -> Told:
    """List who is told by which sub and sid, leaving out what can not be told."""
    return {(one.client_id, one.sub, one.sid) for one in matching.deliveries if not one.failed}


def untold(matching: Matching) -> set[tuple[str, str]]:
    """List to whom it can not be told, and why."""
    return {(one.client_id, one.failed) for one in matching.deliveries if one.failed}


# Who took part.


def test_those_who_joined_the_session_are_told() -> None:
    """An event that names no clients is told to those that joined the session, and to no other."""
    everyone = applications(for_all("shop"), for_all("wiki"), for_all("mail"))

    matching = match(an_event(), known(joined("shop"), joined("mail")), everyone)

    assert told(matching) == {("shop", "ann", "s1"), ("mail", "ann", "s1")}
    assert (matching.reason, matching.unknown_clients) == (None, ())


def test_a_delivery_says_everything() -> None:
    """A delivery names the application, its URI, the user and the session, and is born pending."""
    matching = match(an_event(), known(joined("shop")), applications(for_all("shop")))

    assert matching.deliveries == (
        NewDelivery(
            client_id=ClientId("shop"),
            uri="https://shop.example/logout",
            sub=ANN,
            sid=Sid("s1"),
            failed=None,
        ),
    )


def test_the_events_own_clients_come_before_the_registry() -> None:
    """An event that names its clients is told to those, whoever joined the session."""
    event = an_event(clients=clients("wiki"))

    matching = match(event, known(joined("shop")), applications(for_all("shop"), for_all("wiki")))

    assert told(matching) == {("wiki", "ann", "s1")}


@pytest.mark.parametrize("sid", [Sid("s1"), None])
def test_no_clients_are_nobody(sid: Sid | None) -> None:
    """Clients that are an empty list mean nobody, even where a source means all subscribers."""
    event = an_event(clients=(), sid=sid, default_audience=Audience.SUBSCRIBERS)

    matching = match(event, known(joined("shop")), applications(for_all("shop")))

    assert matching == Matching(reason=UnmatchedReason.NO_PARTICIPANTS)


def test_subscribers_are_all_applications() -> None:
    """An event meant for subscribers is told to all of them, whoever joined the session."""
    event = an_event(audience=Audience.SUBSCRIBERS)
    everyone = applications(for_all("shop"), for_all("wiki"), for_all("off", urls=()))

    matching = match(event, known(joined("shop")), everyone)

    assert told(matching) == {("shop", "ann", "s1"), ("wiki", "ann", "s1")}


def test_unknown_clients_are_listed() -> None:
    """Clients that nobody registered are ignored, and listed once, in order."""
    event = an_event(clients=clients("zoo", "shop", "bar", "zoo"))

    matching = match(event, NOBODY, applications(for_all("shop")))

    assert told(matching) == {("shop", "ann", "s1")}
    assert matching.unknown_clients == ("bar", "zoo")


def test_a_client_named_twice_is_told_once() -> None:
    """A client that is named twice is told once, by the sub that was named first."""
    event = an_event(
        clients=(
            Participant(ClientId("shop"), Sub("first")),
            Participant(ClientId("shop"), Sub("second")),
        )
    )

    matching = match(event, NOBODY, applications(for_all("shop")))

    assert [(one.client_id, one.sub) for one in matching.deliveries] == [("shop", "first")]


# Who subscribes.


def test_only_subscribers_to_the_initiator_are_told() -> None:
    """Of those that took part the ones are told that selected the initiator, or all initiators."""
    everyone = applications(
        for_all("all"),
        an_application("default"),
        an_application("picky", selected=frozenset({Initiator("password-changed")})),
        an_application("off", urls=(), mode=Mode.ALL),
    )
    parts = known(*map(joined, everyone))

    by_rp = match(an_event(), parts, everyone)
    by_password = match(an_event(initiator=Initiator("password-changed")), parts, everyone)
    by_novelty = match(an_event(initiator=Initiator("moon-landed")), parts, everyone)

    assert {client for client, _, _ in told(by_rp)} == {"all", "default"}
    assert {client for client, _, _ in told(by_password)} == {"all", "picky"}
    assert {client for client, _, _ in told(by_novelty)} == {"all"}


def test_the_initiating_application_is_told_too() -> None:
    """RP-Initiated Logout 1.0 section 2: the application that began the logout is told as well."""
    matching = match(an_event(), known(joined("shop")), applications(an_application("shop")))

    assert told(matching) == {("shop", "ann", "s1")}


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([], UnmatchedReason.NO_PARTICIPANTS),
        (["gone"], UnmatchedReason.NO_PARTICIPANTS),
        (["off"], UnmatchedReason.NO_SUBSCRIBER),
        (["deaf"], UnmatchedReason.NO_SUBSCRIBER),
        (["gone", "deaf"], UnmatchedReason.NO_SUBSCRIBER),
    ],
)
def test_nobody_to_tell_has_its_reason(parts: list[str], reason: UnmatchedReason) -> None:
    """Nobody to tell: nobody that is registered took part, or who did does not subscribe."""
    everyone = applications(
        an_application("deaf", selected=frozenset({IDP_LOGOUT})), for_all("off", urls=())
    )

    by_registry = match(an_event(), known(*map(joined, parts)), everyone)
    by_name = match(an_event(clients=clients(*parts)), NOBODY, everyone)

    assert by_registry.deliveries == by_name.deliveries == ()
    assert by_registry.reason is by_name.reason is reason


def test_nobody_is_there_to_subscribe() -> None:
    """Where there is no application at all, an event for subscribers has no participants."""
    event = an_event(audience=Audience.SUBSCRIBERS)

    assert match(event, NOBODY, {}).reason is UnmatchedReason.NO_PARTICIPANTS


# Of one session.


@pytest.mark.parametrize(
    ("named", "of_join", "of_event", "of_registry", "expected"),
    [
        ("named", "joined", "event", "registry", "named"),
        (None, "joined", "event", "registry", "joined"),
        (None, None, "event", "registry", "event"),
        (None, None, None, "registry", "registry"),
        (None, None, None, None, None),
    ],
)
def test_the_sub_is_the_applications_own(
    named: str | None,
    of_join: str | None,
    of_event: str | None,
    of_registry: str | None,
    expected: str | None,
) -> None:
    """Core section 8: the sub is what that application knows the user by, else the user's own."""
    event = an_event(
        sub=_sub(of_event),
        clients=(Participant(ClientId("shop"), _sub(named)),),
    )
    parts = [joined("shop", sub=of_join)] if of_join else []

    matching = match(event, known(*parts, sub=of_registry), applications(for_all("shop")))

    assert told(matching) == {("shop", expected, "s1")}


def test_a_sub_that_is_not_known_can_not_be_told() -> None:
    """Where an application wants sub alone and nobody knows it, its delivery is born failed."""
    everyone = applications(
        for_all("sub", Subject.SUB), for_all("sid", Subject.SID), for_all("both")
    )
    event = an_event(sub=None, clients=clients(*everyone))

    matching = match(event, NOBODY, everyone)

    assert told(matching) == {("sid", None, "s1"), ("both", None, "s1")}
    assert untold(matching) == {("sub", Reason.SUB_REQUIRED)}


def test_a_known_sub_is_told_to_who_wants_it_alone() -> None:
    """An application that wants sub alone is told of a session whose sub is known."""
    matching = match(an_event(), known(joined("shop")), applications(for_all("shop", Subject.SUB)))

    assert told(matching) == {("shop", "ann", "s1")}


# Of all the user's sessions.


def test_a_user_wide_event_is_told_once_without_sid() -> None:
    """A user-wide event is told once to each application, without sid, for all its sessions."""
    parts = known(joined("shop", "s1"), joined("shop", "s2"), joined("wiki", "s2"))

    matching = match(an_event(sid=None), parts, applications(for_all("shop"), for_all("wiki")))

    assert told(matching) == {("shop", "ann", None), ("wiki", "ann", None)}
    assert len(matching.deliveries) == 2


@pytest.mark.parametrize("named", [None, clients("shop")])
@pytest.mark.parametrize(
    "shop", [for_all("shop", Subject.SID), for_all("shop", session_required=True)]
)
def test_who_wants_sid_is_told_of_each_session(
    shop: Application, named: tuple[Participant, ...] | None
) -> None:
    """An application that requires sid is told of each session that is known of it."""
    parts = known(joined("shop", "s1"), joined("shop", "s2", sub="ann-2"), joined("wiki", "s3"))

    matching = match(an_event(sid=None, clients=named), parts, applications(shop))

    assert told(matching) == {("shop", "ann", "s1"), ("shop", "ann-2", "s2")}


@pytest.mark.parametrize(
    "event",
    [
        an_event(sid=None, clients=clients("shop")),
        an_event(sid=None, audience=Audience.SUBSCRIBERS),
    ],
)
def test_who_wants_sid_can_not_be_told_of_no_session(event: LogoutEvent) -> None:
    """Where no session of an application that requires sid is known, its delivery fails."""
    matching = match(event, known(joined("wiki")), applications(for_all("shop", Subject.SID)))

    assert matching.deliveries == (
        NewDelivery(
            client_id=ClientId("shop"),
            uri="https://shop.example/logout",
            sub=ANN,
            sid=None,
            failed=Reason.SID_REQUIRED,
        ),
    )


def test_the_sub_of_a_user_wide_event_is_told_to_who_has_no_other() -> None:
    """Who is named and in no known session is told by the event's sub, or by its own if named."""
    own = (Participant(ClientId("shop"), Sub("own")), Participant(ClientId("wiki")))
    event = an_event(sid=None, clients=own)

    wide = match(event, NOBODY, applications(for_all("shop"), for_all("wiki")))
    required = match(event, NOBODY, applications(for_all("shop", Subject.SID)))

    assert told(wide) == {("shop", "own", None), ("wiki", "ann", None)}
    assert [(one.sub, one.failed) for one in required.deliveries] == [("own", Reason.SID_REQUIRED)]


def test_a_pairwise_sub_is_told_user_wide_too() -> None:
    """A user-wide event is told by the application's own sub: the event's, else the registry's."""
    named = (Participant(ClientId("shop"), Sub("named")), Participant(ClientId("wiki")))
    parts = known(joined("wiki", "s1", sub="joined"))
    everyone = applications(for_all("shop"), for_all("wiki"), for_all("sid", Subject.SID))

    by_name = match(an_event(sid=None, clients=named), parts, everyone)
    by_registry = match(an_event(sid=None), parts, everyone)

    assert told(by_name) == {("shop", "named", None), ("wiki", "joined", None)}
    assert told(by_registry) == {("wiki", "joined", None)}


def test_the_named_sub_comes_first_in_each_session() -> None:
    """The sub that an event names for a client stands in each of its sessions' deliveries."""
    event = an_event(sid=None, clients=(Participant(ClientId("shop"), Sub("named")),))
    parts = known(joined("shop", "s1", sub="x"), joined("shop", "s2", sub="y"))

    matching = match(event, parts, applications(for_all("shop", Subject.SID)))

    assert told(matching) == {("shop", "named", "s1"), ("shop", "named", "s2")}


def test_excepted_sessions_are_left_be() -> None:
    """An event that excepts sessions is told of each other known one, and never without sid."""
    event = an_event(sid=None, except_sids=(Sid("kept"),))
    parts = known(
        joined("shop", "kept"), joined("shop", "s1"), joined("shop", "s2"), joined("wiki", "kept")
    )

    matching = match(event, parts, applications(for_all("shop"), for_all("wiki")))

    assert told(matching) == {("shop", "ann", "s1"), ("shop", "ann", "s2")}
    assert untold(matching) == set()


def test_exceptions_need_known_sessions() -> None:
    """Where sessions are excepted and none is known, a token could not spare them: it fails."""
    event = an_event(sid=None, except_sids=(Sid("kept"),), clients=clients("shop"))

    matching = match(event, NOBODY, applications(for_all("shop")))

    assert told(matching) == set()
    assert untold(matching) == {("shop", Reason.SID_REQUIRED)}


def test_a_token_of_the_user_alone_can_spare_no_session() -> None:
    """Who wants ``sub`` alone, and is in an excepted session too, is not told: it would end that.

    Where it is in none of the excepted sessions, a token of the user ends what it should.
    """
    event = an_event(sid=None, except_sids=(Sid("kept"),))
    parts = known(joined("shop", "kept"), joined("shop", "s1"), joined("wiki", "s1"))
    everyone = applications(for_all("shop", Subject.SUB), for_all("wiki", Subject.SUB))

    matching = match(event, parts, everyone)

    assert told(matching) == {("wiki", "ann", "s1")}
    assert untold(matching) == {("shop", Reason.SID_REQUIRED)}


def test_who_requires_a_session_is_told_of_it_whatever_its_subject() -> None:
    """An application that registered for ``sid`` gets it, so that its excepted session lives."""
    event = an_event(sid=None, except_sids=(Sid("kept"),))
    shop = for_all("shop", Subject.SUB, session_required=True)

    matching = match(event, known(joined("shop", "kept"), joined("shop", "s1")), applications(shop))

    assert told(matching) == {("shop", "ann", "s1")}
    assert untold(matching) == set()


@pytest.mark.parametrize("named", [None, clients("shop")])
@pytest.mark.parametrize("shop", [for_all("shop"), an_application("shop")])
def test_only_excepted_sessions_are_no_participants(
    shop: Application, named: tuple[Participant, ...] | None
) -> None:
    """Where all of a subscriber's sessions are excepted, nobody took part in what ended."""
    event = an_event(sid=None, except_sids=(Sid("kept"),), clients=named)

    matching = match(event, known(joined("shop", "kept")), applications(shop))

    assert matching == Matching(reason=UnmatchedReason.NO_PARTICIPANTS)


def test_who_took_part_in_an_excepted_session_alone_did_not_take_part() -> None:
    """An application of an excepted session is no participant, subscribed or not, known or not."""
    event = an_event(sid=None, except_sids=(Sid("kept"),))
    parts = known(joined("deaf", "kept"), joined("gone", "kept"))
    deaf = an_application("deaf", selected=frozenset({IDP_LOGOUT}))

    matching = match(event, parts, applications(deaf))

    assert matching == Matching(reason=UnmatchedReason.NO_PARTICIPANTS)


# Those who joined late.


@pytest.mark.parametrize("named", [None, (), clients("wiki")])
def test_a_late_join_is_told_besides(named: tuple[Participant, ...] | None) -> None:
    """Who joined the session late is told of it besides, whoever the event named."""
    parts = known(joined("wiki"), late=(joined("shop"),))
    everyone = applications(for_all("shop"), for_all("wiki"))

    matching = match(an_event(clients=named), parts, everyone)

    expected = {("shop", "ann", "s1")}
    assert told(matching) == (expected if named == () else {*expected, ("wiki", "ann", "s1")})


@pytest.mark.parametrize("named", [None, (), clients("wiki")])
def test_a_late_join_is_told_by_sid(named: tuple[Participant, ...] | None) -> None:
    """A user-wide event tells those that joined late of that session: newer ones may live."""
    parts = known(joined("wiki", "s2"), late=(joined("shop", "s1", sub="ann-1"),))
    everyone = applications(for_all("shop"), for_all("wiki"))

    matching = match(an_event(sid=None, clients=named), parts, everyone)

    expected = {("shop", "ann-1", "s1")}
    assert told(matching) == (expected if named == () else {*expected, ("wiki", "ann", None)})


@pytest.mark.parametrize("subject", [Subject.BOTH, Subject.SUB, Subject.SID])
def test_a_late_join_adds_only_what_is_not_owed_yet(subject: Subject) -> None:
    """Matched again for a late join, what the event owed before is owed still, and once."""
    everyone = applications(for_all("shop", subject))
    event = an_event(sid=None)
    before = match(event, known(joined("shop", "s1")), everyone)

    after = match(event, known(joined("shop", "s1"), late=(joined("shop", "s2"),)), everyone)

    added = {("shop", "ann", "s2")} if subject is Subject.SID else set()
    assert told(after) == told(before) | added
    assert len(after.deliveries) == len(told(after))


def test_a_late_join_of_the_same_session_is_told_once() -> None:
    """An application that the registry knows both in time and late is told once."""
    parts = known(joined("shop"), late=(joined("shop"),))

    one = match(an_event(), parts, applications(for_all("shop")))
    all_ = match(an_event(sid=None), parts, applications(for_all("shop", Subject.SID)))

    assert len(one.deliveries) == len(all_.deliveries) == 1


def test_a_named_client_that_joins_late_has_been_told() -> None:
    """A user-wide event told whom it named of all sessions: a late join adds nothing."""
    event = an_event(sid=None, clients=clients("shop"))

    matching = match(event, known(late=(joined("shop"),)), applications(for_all("shop")))

    assert told(matching) == {("shop", "ann", None)}


def test_a_subscriber_that_joins_late_has_been_told() -> None:
    """An event for subscribers told each of them of all sessions: a late join adds nothing."""
    event = an_event(sid=None, audience=Audience.SUBSCRIBERS)

    matching = match(event, known(late=(joined("shop"),)), applications(for_all("shop")))

    assert told(matching) == {("shop", "ann", None)}


def test_a_late_join_must_subscribe_too() -> None:
    """Who joined late is told only where it subscribes and is registered."""
    deaf = an_application("deaf", selected=frozenset({IDP_LOGOUT}))

    matching = match(an_event(), known(late=(joined("deaf"), joined("gone"))), applications(deaf))

    assert matching == Matching(
        unknown_clients=(ClientId("gone"),), reason=UnmatchedReason.NO_SUBSCRIBER
    )


# Whatever comes.

_NAMES = st.sampled_from(["shop", "wiki", "mail", "gone"])
_SIDS = st.sampled_from(["s1", "s2", "s3"])
_SUBS = st.none() | st.sampled_from(["ann", "pairwise"])
_JOINS = st.lists(st.builds(joined, _NAMES, _SIDS), max_size=6).map(tuple)


def _sub(name: str | None) -> Sub | None:
    """Name a user, where there is a name."""
    return None if name is None else Sub(name)


_PARTICIPANTS = st.builds(Participant, _NAMES.map(ClientId), _SUBS.map(_sub))


@st.composite
def scenes(draw: st.DrawFn) -> tuple[LogoutEvent, Known, dict[ClientId, Application]]:
    """Draw an event, what the registry knows of it, and the applications that there are."""
    sid = draw(st.none() | _SIDS)
    event = an_event(
        sub=draw(_SUBS) if sid else ANN,
        sid=sid,
        initiator=draw(st.sampled_from([IDP_LOGOUT, Initiator("moon-landed")])),
        clients=draw(st.none() | st.lists(_PARTICIPANTS, max_size=4).map(tuple)),
        audience=draw(st.none() | st.sampled_from(Audience)),
        except_sids=() if sid else draw(st.lists(_SIDS, max_size=2).map(tuple)),
    )
    parts, late = draw(_JOINS), draw(_JOINS)
    if sid:
        parts, late = (tuple(one for one in some if one.sid == sid) for some in (parts, late))
    late = tuple(one for one in late if one.sid not in event.except_sids)
    told = [draw(_applications(name)) for name in ("shop", "wiki", "mail")]
    return event, known(*parts, late=late, sub=draw(_SUBS)), dict(applications(*told))


def _applications(name: str) -> st.SearchStrategy[Application]:
    """Make an application of any kind that matters for matching."""
    return st.builds(
        lambda urls, mode, subject, required: an_application(
            name,
            urls=urls,
            mode=mode,
            session_required=required,
            delivery=LogoutDelivery(subject=subject),
        ),
        st.sampled_from(
            [(), ("https://a.example/",), ("https://a.example/", "https://b.example/")]
        ),
        st.sampled_from(Mode),
        st.sampled_from(Subject),
        st.booleans(),
    )


def concerned(
    event: LogoutEvent, registry: Known, everyone: dict[ClientId, Application]
) -> set[str]:
    """Say in other words who took part: named, else every subscriber, else known; and the late."""
    late = {one.client_id for one in registry.late}
    if event.clients is not None:
        return {one.client_id for one in event.clients} | late
    if event.reaches_subscribers:
        return set(everyone) | late
    return {one.client_id for one in registry.joined if one.sid not in event.except_sids} | late


@given(scenes())
def test_nobody_else_is_ever_told(
    scene: tuple[LogoutEvent, Known, dict[ClientId, Application]],
) -> None:
    """Nobody is told that took no part, does not subscribe, or at a URI that is not its own."""
    event, _, everyone = scene
    matching = match(*scene)

    assert {one.client_id for one in matching.deliveries} <= concerned(*scene) & set(everyone)
    for one in matching.deliveries:
        assert everyone[one.client_id].subscribes_to(event.initiator)
        assert one.uri in everyone[one.client_id].urls
    assert set(matching.unknown_clients) == concerned(*scene) - set(everyone)


@given(scenes())
def test_every_subscriber_that_took_part_is_told_at_every_uri(
    scene: tuple[LogoutEvent, Known, dict[ClientId, Application]],
) -> None:
    """Who took part and subscribes is told at each of its URIs, unless all of it is excepted."""
    event, registry, everyone = scene
    matching = match(*scene)

    for client_id in concerned(*scene) & set(everyone):
        application = everyone[ClientId(client_id)]
        sids = {one.sid for one in (*registry.joined, *registry.late) if one.client_id == client_id}
        spared = bool(sids) and sids <= set(event.except_sids)
        urls = {one.uri for one in matching.deliveries if one.client_id == client_id}
        owed = application.subscribes_to(event.initiator) and not spared
        assert urls == (set(application.urls) if owed else set())


@given(scenes())
def test_each_is_told_once(
    scene: tuple[LogoutEvent, Known, dict[ClientId, Application]],
) -> None:
    """No two deliveries of an event have the same application, URI and session."""
    matching = match(*scene)

    keys = [(one.client_id, one.uri, one.sid) for one in matching.deliveries]
    assert len(set(keys)) == len(keys)


@given(scenes())
def test_a_session_is_never_widened(
    scene: tuple[LogoutEvent, Known, dict[ClientId, Application]],
) -> None:
    """An event for one session is told with its sid; excepted sessions are in no delivery."""
    event, _, _ = scene
    matching = match(*scene)

    sids = {one.sid for one in matching.deliveries}
    if event.sid is not None:
        assert sids <= {event.sid}
    assert not sids & set(event.except_sids)


@given(scenes())
def test_no_token_is_owed_that_can_not_be_told_truly(
    scene: tuple[LogoutEvent, Known, dict[ClientId, Application]],
) -> None:
    """What is pending can be told: a user-wide delivery without sid spares nobody, needs none."""
    event, _, everyone = scene
    matching = match(*scene)

    for one in matching.deliveries:
        application = everyone[one.client_id]
        lacks_sid = one.sid is None and (application.wants_sid or bool(event.except_sids))
        by_sub_alone = application.delivery.subject is Subject.SUB and not application.wants_sid
        lacks_sub = one.sub is None and by_sub_alone
        expected = Reason.SID_REQUIRED if lacks_sid else Reason.SUB_REQUIRED if lacks_sub else None
        assert one.failed is expected
        assert one.sub is not None or one.sid is not None


@given(scenes())
def test_an_event_is_matched_or_has_its_reason(
    scene: tuple[LogoutEvent, Known, dict[ClientId, Application]],
) -> None:
    """An event owes deliveries, or there is a reason why it owes none."""
    matching = match(*scene)

    assert bool(matching.deliveries) is (matching.reason is None)


def test_many_clients_are_matched_at_once() -> None:
    """Of fifty thousand clients that nobody registered each is listed, at once."""
    names = [f"client-{number:05}" for number in range(50_000)]

    matching = match(an_event(clients=clients(*names)), NOBODY, {})

    assert matching.unknown_clients == tuple(names)


def test_joined_is_what_the_registry_tells() -> None:
    """Whatever order the registry tells in, the same is owed."""
    parts: list[Joined] = [joined("wiki"), joined("shop"), joined("mail")]
    everyone = applications(for_all("shop"), for_all("wiki"), for_all("mail"))

    one = match(an_event(), known(*parts), everyone)
    other = match(an_event(), known(*reversed(parts)), everyone)

    assert set(one.deliveries) == set(other.deliveries)
