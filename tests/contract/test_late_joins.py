"""Late joins: an application whose login comes after its session's end is told at once."""

import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import anyio
import anyio.lowlevel
import pytest

from dispatcher.domain.events import EventState, Intake, LogoutEvent, SessionJoined, Sid
from dispatcher.domain.ledger import EventFilter
from dispatcher.domain.matching import match
from dispatcher.domain.sessions import ends_late_join
from tests.contract.steps import accept, claim, match_all, records, register, told
from tests.contract.stores import Store
from tests.kit.builders import a_join, acknowledged, an_application, an_event
from tests.kit.clock import NOON

BEFORE, AFTER = NOON - timedelta(minutes=1), NOON + timedelta(minutes=1)


@pytest.fixture(autouse=True)
async def _registered(store: Store) -> None:
    await register(store, *map(an_application, ("shop", "mail", "wiki")))


async def test_a_join_after_the_end_of_its_session_is_told(store: Store) -> None:
    """By sid always: whoever joins a session that is over gets its logout."""
    receipt = await accept(store, an_event(sid="s1", sub=None))
    await match_all(store)
    await accept(store, a_join("shop", sid="s1"))

    await match_all(store)

    record = await store.event(receipt.event_id)
    assert record is not None
    assert record.state is EventState.MATCHED
    assert await told(store) == {("shop", "s1")}


async def test_a_late_join_comes_besides_those_that_were_told(store: Store) -> None:
    """A matched event owes one delivery more, and leaves the others as they are."""
    await accept(store, a_join("shop", sid="s1"))
    await accept(store, an_event(sid="s1"))
    await match_all(store)
    await accept(store, a_join("mail", sid="s1"))

    await match_all(store)

    assert [record.client_id for record in await records(store)] == ["shop", "mail"]


async def test_a_fact_that_is_told_again_owes_nothing(store: Store) -> None:
    """Who is known to have joined a session, and joins it again after its end, is told once."""
    await accept(store, a_join("shop", sid="s1"))
    await accept(store, an_event(sid="s1"))
    await match_all(store)
    await accept(store, a_join("shop", sid="s1", occurred_at=AFTER))

    await match_all(store)

    assert len(await records(store)) == 1


async def test_a_late_join_shows_that_its_session_is_over(store: Store) -> None:
    """A session that was heard of after its end is known as ended."""
    receipt = await accept(store, an_event(sid="s1", sub=None))
    await accept(store, a_join("shop", sid="s1"))

    session = await store.session(Sid("s1"))

    assert session is not None
    assert (session.ended_at, session.ended_by) == (NOON, receipt.event_id)


async def test_a_join_between_accept_and_match_is_told_once(store: Store) -> None:
    """A join that overtakes the matching of its session's end is owed one delivery."""
    await accept(store, an_event(sid="s1", sub=None))
    await accept(store, a_join("shop", sid="s1"))

    await match_all(store)
    await match_all(store)

    assert [record.client_id for record in await records(store)] == ["shop"]


@pytest.mark.parametrize(
    ("occurred_at", "expected"),
    [(None, set()), (AFTER, set()), (BEFORE, {("shop", "s1")})],
    ids=["does not say when", "after the end", "before the end"],
)
@pytest.mark.parametrize("matched_first", [True, False], ids=["matched", "accepted"])
async def test_a_user_wide_end_reaches_only_earlier_logins(
    store: Store,
    occurred_at: datetime | None,
    expected: set[tuple[str, str]],
    matched_first: bool,  # noqa: FBT001 - a parameter of the test's table
) -> None:
    """A join that comes after a user-wide end is told only if it says that it happened before."""
    await accept(store, an_event(sub="alice"))
    if matched_first:
        await match_all(store)
    await accept(store, a_join("shop", occurred_at=occurred_at))

    await match_all(store)

    assert await told(store) == expected


async def test_a_user_wide_end_finds_those_that_joined_in_time(store: Store) -> None:
    """Between accept and match a new login does not slip into an older user-wide end."""
    await accept(store, a_join("shop", sid="s1"))
    await accept(store, an_event(sub="alice"))
    await accept(store, a_join("mail", sid="s2"))

    await match_all(store)

    assert await told(store) == {("shop", None)}


async def test_an_excepted_session_is_not_told_late(store: Store) -> None:
    """A late join of an excepted session stays logged in."""
    await accept(store, an_event(sub="alice", except_sids=["s1"]))
    await match_all(store)
    await accept(store, a_join("shop", sid="s1", occurred_at=BEFORE))
    await accept(store, a_join("shop", sid="s2", occurred_at=BEFORE))

    await match_all(store)

    assert await told(store) == {("shop", "s2")}


async def test_another_users_login_is_not_told(store: Store) -> None:
    """A user-wide end reaches no other user's late join."""
    await accept(store, an_event(sub="alice"))
    await accept(store, a_join("shop", sub="bob", occurred_at=BEFORE))

    await match_all(store)

    assert await told(store) == set()


async def test_a_repeated_join_is_not_late(store: Store) -> None:
    """Who was told already, and is heard of again, is not told twice."""
    await accept(store, a_join("shop", sid="s1"))
    await accept(store, an_event(sid="s1"))
    await match_all(store)
    await accept(store, a_join("shop", sid="s1"))

    again = await match_all(store)

    assert again == []
    assert len(await records(store)) == 1


async def test_a_late_join_brings_nobody_else_along(store: Store) -> None:
    """What changed in the registry since the first match does not reach an old event."""
    await accept(store, an_event(sid="s1", clients=["shop"]))
    await match_all(store)
    await store.settle([acknowledged(one) for one in await claim(store)])
    await store.replace_application(an_application("shop", urls=["https://new.example/bcl"]))
    await accept(store, a_join("mail", sid="s1"))

    await match_all(store)

    assert await told(store) == {("shop", "s1"), ("mail", "s1")}
    assert len(await records(store)) == 2


async def test_an_end_before_a_join_in_one_batch_is_late(store: Store) -> None:
    """The order within a batch is the order of what happened."""
    await store.accept([an_event(sub="alice"), a_join("shop", sid="s1")])
    await store.accept([a_join("mail", sid="s2", sub="bob"), an_event(sub="bob")])

    await match_all(store)

    assert await told(store) == {("mail", None)}


@pytest.mark.parametrize("seed", range(15))
async def test_no_participant_is_ever_missed(store: Store, seed: int) -> None:
    """However joins, ends and matches interleave, whoever is owed a logout gets one."""
    dice = random.Random(seed)
    history: list[Intake] = []
    intakes = [_anything(dice) for _ in range(120)]

    async def take_in(some: Sequence[Intake]) -> None:
        for intake in some:
            await store.accept([intake])
            history.append(intake)
            await anyio.lowlevel.checkpoint()

    async def keep_matching() -> None:
        while True:
            await store.match(dice.randint(1, 3), match)

    async with anyio.create_task_group() as matching:
        matching.start_soon(keep_matching)
        matching.start_soon(keep_matching)
        async with anyio.create_task_group() as sources:
            for number in range(4):
                sources.start_soon(take_in, intakes[number::4])
        matching.cancel_scope.cancel()
    await match_all(store)

    assert await _owed(store) == _expected(history)


def _anything(dice: random.Random) -> Intake:
    user = dice.randint(1, 3)
    sub, sid = f"u{user}", f"u{user}-{dice.randint(1, 4)}"
    kind = dice.random()
    if kind < 0.6:
        clients = dice.sample(("shop", "mail", "wiki"), dice.randint(1, 3))
        return a_join(*clients, sid=sid, sub=sub, occurred_at=dice.choice((None, BEFORE, AFTER)))
    if kind < 0.9:
        return an_event(sid=sid, sub=None)
    return an_event(sub=sub)


Owed = tuple[str, str, str | None]
"""An event's id, the client_id that is told, and the sid that it is told of."""


async def _owed(store: Store) -> set[Owed]:
    """Return everything that is owed, page by page."""
    owed: set[Owed] = set()
    page = await store.events(EventFilter(take=20))
    while page:
        owed |= {(r.event.id, d.client_id, d.sid) for r in page for d in r.deliveries}
        page = await store.events(EventFilter(take=20, before=page[-1].event.event_id))
    return owed


def _expected(history: Sequence[Intake]) -> set[Owed]:
    """Return what is owed, worked out the slow way from what was taken in, in its order."""
    return {
        owed
        for index, event in enumerate(history)
        if isinstance(event, LogoutEvent)
        for owed in _owed_by(event, history[:index], history[index + 1 :])
    }


def _owed_by(
    event: LogoutEvent, earlier: Sequence[Intake], later: Sequence[Intake]
) -> Iterator[Owed]:
    in_time = {pair for join in earlier for pair in _pairs(join) if _concerns(event, join)}
    told = {client_id for client_id, _ in in_time}
    for client_id, sid in in_time:
        yield event.id, client_id, None if event.user_wide else sid
    known = {pair for join in earlier for pair in _pairs(join)}
    for join in later:
        for client_id, sid in set(_pairs(join)) - known:
            late = isinstance(join, SessionJoined) and ends_late_join(event, join)
            if late and (not event.user_wide or client_id not in told):
                yield event.id, client_id, sid
        known |= set(_pairs(join))


def _pairs(intake: Intake) -> list[tuple[str, str]]:
    if not isinstance(intake, SessionJoined):
        return []
    return [(client.client_id, intake.sid) for client in intake.clients]


def _concerns(event: LogoutEvent, join: Intake) -> bool:
    return join.sub == event.sub if event.user_wide else join.sid == event.sid
