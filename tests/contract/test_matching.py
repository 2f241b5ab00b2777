"""Matching: what the registry knows of an event, and what the event comes to owe."""

from dataclasses import replace
from datetime import timedelta

import pytest

from dispatcher.domain.deliveries import DeliveryState, Reason
from dispatcher.domain.events import (
    ClientId,
    EventState,
    LogoutEvent,
    Participant,
    SessionJoined,
    Sid,
    Sub,
    UnmatchedReason,
)
from dispatcher.domain.ledger import EventFilter
from dispatcher.domain.matching import Applications, Matching, match
from dispatcher.domain.sessions import Known
from tests.contract.steps import accept, claim, match_all, records, register, told
from tests.contract.stores import Store
from tests.kit.builders import a_join, an_application, an_event
from tests.kit.clock import NOON, FakeClock


async def test_the_applications_of_the_session_are_told(store: Store) -> None:
    """An event for one session is owed to the applications that joined it, and to no other."""
    await register(store, *map(an_application, ("shop", "mail", "wiki")))
    await accept(store, a_join("shop", "mail", sid="s1"))
    await accept(store, a_join("wiki", sid="s2"))
    await accept(store, an_event(sid="s1", sub=None))

    await match_all(store)

    assert await told(store) == {("shop", "s1"), ("mail", "s1")}


async def test_a_missing_sub_is_filled_from_the_session(store: Store) -> None:
    """The token of an event that knows the session alone names its user, whomever it is for."""
    await register(store, an_application("mail"))
    await accept(store, a_join("shop", sid="s1", sub="alice"))
    await accept(store, an_event(sid="s1", sub=None, clients=["mail"]))
    await match_all(store)

    (delivery,) = await claim(store)

    assert (delivery.sub, delivery.sid) == ("alice", "s1")


@pytest.mark.parametrize(
    ("again", "known_by"), [(None, "pairwise"), ("another", "another"), ("alice", "alice")]
)
async def test_a_join_without_a_sub_leaves_the_one_that_is_known(
    store: Store, again: str | None, known_by: str
) -> None:
    """An application is told of the user by the name that it was last said to know."""
    await register(store, an_application("shop"))
    for sub in ("pairwise", again):
        shop = Participant(ClientId("shop"), None if sub is None else Sub(sub))
        await accept(store, replace(a_join(sub="alice"), clients=(shop,)))
    await accept(store, an_event(sid="s1"))
    await match_all(store)

    (delivery,) = await claim(store)

    assert delivery.sub == known_by


async def test_all_sessions_of_the_user_are_found(store: Store) -> None:
    """A user-wide event is owed to the applications of all the user's sessions, without a sid."""
    await register(store, *map(an_application, ("shop", "mail", "wiki")))
    await accept(store, a_join("shop", sid="s1", sub="alice"))
    await accept(store, a_join("mail", sid="s2", sub="alice"))
    await accept(store, a_join("wiki", sid="s3", sub="bob"))
    await accept(store, an_event(sub="alice"))

    await match_all(store)

    assert await told(store) == {("shop", None), ("mail", None)}


async def test_excepted_sessions_are_left_alone(store: Store) -> None:
    """With except_sids each other known session gets a delivery of its own."""
    await register(store, an_application("shop"))
    for sid in ("s1", "s2", "s3"):
        await accept(store, a_join("shop", sid=sid))
    await accept(store, an_event(except_sids=["s2"]))

    await match_all(store)

    assert await told(store) == {("shop", "s1"), ("shop", "s3")}


def known_as(*names: str, sid: str) -> SessionJoined:
    """Return that alice joined ``shop`` and ``mail``, which know her by names of their own."""
    clients = zip(("shop", "mail"), names, strict=True)
    participants = tuple(Participant(ClientId(client), Sub(name)) for client, name in clients)
    return replace(a_join(sid=sid, sub="alice"), clients=participants)


async def test_each_application_is_told_by_the_name_that_it_knows(store: Store) -> None:
    """All of a user's sessions end at once by each application's own sub, never by another's."""
    await register(store, *map(an_application, ("shop", "mail")))
    for sid in ("s1", "s2"):
        await accept(store, known_as("p-shop", "p-mail", sid=sid))
    await accept(store, an_event(sub="alice"))
    await match_all(store)

    deliveries = {(one.client_id, one.sub, one.sid) for one in await claim(store)}

    assert deliveries == {("shop", "p-shop", None), ("mail", "p-mail", None)}


async def test_who_needs_a_sid_is_told_of_each_session(store: Store) -> None:
    """A user-wide event is told session by session to who needs a sid, a late one among them."""
    await register(store, an_application("shop", session_required=True))
    for sid in ("s1", "s2"):
        await accept(store, a_join("shop", sid=sid))
    await accept(store, an_event(sub="alice"))
    await match_all(store)
    await accept(store, a_join("shop", sid="s3", occurred_at=NOON - timedelta(minutes=1)))

    await match_all(store)

    assert await told(store) == {("shop", "s1"), ("shop", "s2"), ("shop", "s3")}
    assert {record.state for record in await records(store)} == {DeliveryState.PENDING}


async def test_an_event_that_concerns_nobody_says_why(store: Store) -> None:
    """An event without participants is unmatched, with the reason."""
    receipt = await accept(store, an_event(sid="unheard-of"))

    await match_all(store)

    record = await store.event(receipt.event_id)
    assert record is not None
    assert (record.state, record.reason) == (
        EventState.UNMATCHED,
        UnmatchedReason.NO_PARTICIPANTS,
    )


async def test_unknown_clients_are_remembered(store: Store) -> None:
    """What an event names that nobody registered is kept with the event."""
    await register(store, an_application("shop"))
    receipt = await accept(store, an_event(sid="s1", clients=["shop", "ghost"]))

    await match_all(store)

    record = await store.event(receipt.event_id)
    assert record is not None
    assert record.unknown_clients == ("ghost",)


async def test_events_are_matched_oldest_first_and_once(store: Store) -> None:
    """A limit takes the oldest events, and what is matched does not come again."""
    receipts = await store.accept([an_event(clients=[]) for _ in range(5)])

    order = [[matched.event.event_id for matched in await store.match(2, match)] for _ in range(4)]

    ids = [receipt.event_id for receipt in receipts]
    assert order == [ids[:2], ids[2:4], ids[4:], []]


async def test_a_matcher_that_fails_changes_nothing(store: Store) -> None:
    """What a matcher raises reaches its caller, and the event still waits."""

    def broken(_event: LogoutEvent, _known: Known, _applications: Applications) -> Matching:
        raise LookupError("broken")

    await accept(store, an_event(clients=[]))

    with pytest.raises(LookupError):
        await store.match(10, broken)

    assert len(await match_all(store)) == 1


async def test_the_matcher_sees_what_was_just_registered(store: Store) -> None:
    """The applications that a matcher is given are those that were committed last."""
    await accept(store, an_event(clients=["shop"]))
    await register(store, an_application("shop"))

    await match_all(store)

    assert await told(store) == {("shop", None)}


async def test_a_delivery_that_can_not_be_told_is_born_failed(store: Store) -> None:
    """An application that needs a sid, of which none is known, is owed a failed delivery."""
    await register(store, an_application("shop", session_required=True))
    await accept(store, an_event(clients=["shop"]))

    await match_all(store)

    (record,) = await records(store)
    assert (record.state, record.reason) == (DeliveryState.FAILED, Reason.SID_REQUIRED)
    assert await claim(store) == []


async def test_a_newer_user_wide_logout_supersedes_an_older(store: Store) -> None:
    """Of two pending user-wide deliveries for one user at one URI the older is cancelled."""
    await register(store, an_application("shop"))
    await accept(store, an_event(clients=["shop"]))
    await match_all(store)
    await accept(store, an_event(clients=["shop"]))

    await match_all(store)

    older, newer = await records(store)
    assert (older.state, older.reason) == (DeliveryState.CANCELLED, Reason.SUPERSEDED)
    assert newer.state is DeliveryState.PENDING
    assert len(await claim(store)) == 1


async def test_superseding_works_within_one_batch(store: Store) -> None:
    """Two user-wide events that are matched together leave one delivery to make."""
    await register(store, an_application("shop"))
    await store.accept([an_event(clients=["shop"]) for _ in range(3)])

    await match_all(store)

    assert [record.event_id for record in await records(store)][-1:] == [
        delivery.event_id for delivery in await claim(store)
    ]


@pytest.mark.parametrize(
    "other",
    [
        an_event(sub="bob", clients=["shop"]),
        an_event(sub="alice", clients=["mail"]),
        an_event(sub="alice", sid="s1", clients=["shop"]),
        an_event(sub="alice", clients=["shop"], initiator="password-changed"),
    ],
    ids=["another user", "another application", "one session", "another initiator"],
)
async def test_only_the_same_logout_is_superseded(store: Store, other: LogoutEvent) -> None:
    """A newer logout of another user, URI or initiator, or of one session, supersedes nothing."""
    await register(store, an_application("shop"), an_application("mail"))
    await accept(store, an_event(sub="alice", clients=["shop"]))
    await match_all(store)
    await accept(store, other)

    await match_all(store)

    assert {record.state for record in await records(store)} == {DeliveryState.PENDING}


async def test_a_delivery_in_flight_is_not_superseded(store: Store) -> None:
    """What is on its way is neither recalled nor forgotten."""
    await register(store, an_application("shop"))
    await accept(store, an_event(clients=["shop"]))
    await match_all(store)
    await claim(store)
    await accept(store, an_event(clients=["shop"]))

    await match_all(store)

    assert [record.state for record in await records(store)] == [
        DeliveryState.IN_FLIGHT,
        DeliveryState.PENDING,
    ]


async def test_an_end_is_noted_in_the_registry(store: Store, clock: FakeClock) -> None:
    """A session tells when it ended and by which event; the first end stands."""
    await accept(store, a_join("shop", sid="s1"))
    first = await accept(store, an_event(sid="s1", occurred_at=NOON - timedelta(minutes=3)))
    await accept(store, an_event(received_at=clock.now()))

    session = await store.session(Sid("s1"))

    assert session is not None
    assert session.ended_at == NOON - timedelta(minutes=3)
    assert session.ended_by == first.event_id


async def test_a_user_wide_end_ends_all_but_the_excepted(store: Store) -> None:
    """A user-wide event marks each of the user's sessions that it does not except."""
    for sid in ("s1", "s2"):
        await accept(store, a_join("shop", sid=sid))
    await accept(store, an_event(except_sids=["s2"]))

    sessions = await store.sessions_of(Sub("alice"))

    assert {session.sid: session.ended_at is not None for session in sessions} == {
        "s1": True,
        "s2": False,
    }


async def test_the_token_is_given_the_sessions_metadata(store: Store) -> None:
    """A delivery carries its event's session metadata, or else its session's."""
    await register(store, an_application("shop"))
    await accept(store, a_join("shop", sid="s1", session_metadata={"tenant": "a"}))
    await accept(store, an_event(sid="s1"))
    await accept(store, an_event(sid="s1", session_metadata={"tenant": "b"}))
    await match_all(store)

    deliveries = await claim(store)

    assert [dict(delivery.session_metadata) for delivery in deliveries] == [
        {"tenant": "a"},
        {"tenant": "b"},
    ]


async def test_every_event_of_an_ended_session_is_matched(store: Store) -> None:
    """A second event on an ended session is owed like the first."""
    await register(store, an_application("shop"))
    await accept(store, a_join("shop", sid="s1"))
    await accept(store, an_event(sid="s1", initiator="rp-logout"))
    await match_all(store)
    await accept(store, an_event(sid="s1", initiator="session-expired"))

    await match_all(store)

    assert len(await records(store)) == 2
    assert {r.state for r in await store.events(EventFilter())} == {EventState.MATCHED}


async def test_an_event_that_can_not_be_told_of_holds_up_no_other(store: Store) -> None:
    """Where the matcher fails at one event, that one stays due and the others are matched."""
    await register(store, an_application("shop"))
    first, second = an_event(sid="s1", clients=["shop"]), an_event(sid="s2", clients=["shop"])
    await store.accept([first, second])

    def not_the_first(
        event: LogoutEvent, known: Known, applications: Applications
    ) -> Matching | None:
        """Tell of the second alone."""
        return None if event.id == first.id else match(event, known, applications)

    by_now = await store.match(10, not_the_first)
    later = await match_all(store)

    assert [one.event.id for one in by_now] == [second.id]
    assert [one.event.id for one in later] == [first.id]
    assert await told(store) == {("shop", "s1"), ("shop", "s2")}


async def test_however_many_can_not_be_told_the_next_one_is(store: Store) -> None:
    """Events that can not be told of do not fill the transactions that others wait for."""
    await register(store, an_application("shop"))
    cursed = [an_event(sid="s1", clients=["shop"]) for _ in range(5)]
    await store.accept([*cursed, an_event(sid="s2", clients=["shop"])])
    trips = {event.id for event in cursed}

    def stumble(event: LogoutEvent, known: Known, applications: Applications) -> Matching | None:
        """Tell of none of the cursed ones."""
        return None if event.id in trips else match(event, known, applications)

    matched = [len(await store.match(2, stumble)) for _ in range(2)]

    assert matched == [1, 0]
    assert await told(store) == {("shop", "s2")}
    assert (await store.depth()).events_accepted == 5
