"""``Prefer: wait=N``: what a source that waits is answered."""

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio
import httpx2
import pytest

from dispatcher.domain.matching import match
from dispatcher.domain.sources import Scope
from dispatcher.pipeline import waiting as module
from dispatcher.pipeline.waiting import Waiting
from dispatcher.web import build
from dispatcher.web.waiting import LONGEST_WAIT
from tests.kit.builders import acknowledged, an_application, put_off
from tests.web.builders import a_join, an_event
from tests.web.face import Face

LEASE = timedelta(seconds=30)
CLIENTS = [{"client_id": "shop"}, {"client_id": "wiki"}]


@pytest.fixture
async def at_work(face: Face) -> Face:
    """Keep two applications."""
    for client_id in ("shop", "wiki"):
        await face.store.create_application(an_application(client_id))
    return face


@asynccontextmanager
async def matched(face: Face) -> AsyncIterator[None]:
    """Match what comes, and look after who waits, as the workers do."""

    async def keep_matching() -> None:
        seen = 0
        while True:
            await face.store.match(10, match)
            face.doors.waiting.stir()
            seen = await face.store.wait(seen, at_most=timedelta(seconds=1))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keep_matching)
            tasks.start_soon(face.doors.waiting.run)
            yield
            tasks.cancel_scope.cancel()


async def try_all(face: Face, *, unanswered: Sequence[str] = ()) -> None:
    """Make the first attempt of each delivery; some are answered by 503."""
    seen = 0
    while not (claimed := await face.store.claim(10, lease=LEASE)):
        seen = await face.store.wait(seen, at_most=timedelta(seconds=1))
    later = face.clock.steady() + LEASE
    settled = [
        put_off(one, until=later) if one.client_id in unanswered else acknowledged(one)
        for one in claimed
    ]
    await face.store.settle(settled)
    face.doors.waiting.stir()


async def ask(face: Face, told: object, prefer: str = "wait=10") -> httpx2.Response:
    """Send an event, and wait for its outcomes."""
    return await face.webhook(told, headers={"prefer": prefer})


async def test_the_first_outcomes_are_the_answer(at_work: Face) -> None:
    """Once each application has been tried, the event is shown with how it stands: 200."""
    async with matched(at_work), anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: try_all(at_work, unanswered=["wiki"]))
        answer = await ask(at_work, an_event(clients=CLIENTS))

    told = answer.json()
    told["deliveries"].sort(key=lambda one: one["client_id"])
    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=10"
    assert told == {
        "id": "evt-1",
        "event_id": "ev_1",
        "state": "matched",
        "deliveries": [
            {"client_id": "shop", "state": "delivered"},
            {"client_id": "wiki", "state": "pending"},
        ],
    }


async def test_nobody_to_tell_is_an_outcome(at_work: Face) -> None:
    """An event that owes nothing is answered as soon as that is known."""
    async with matched(at_work):
        answer = await ask(at_work, an_event(clients=[]))

    assert answer.status_code == 200
    assert (answer.json()["state"], answer.json()["deliveries"]) == ("unmatched", [])


async def test_a_repeat_hears_what_became_of_the_first(at_work: Face) -> None:
    """A source that asks again gets the outcomes of the one event."""
    async with matched(at_work), anyio.create_task_group() as tasks:
        tasks.start_soon(try_all, at_work)
        first = await ask(at_work, an_event(clients=CLIENTS))
        again = await ask(at_work, an_event(clients=CLIENTS))

    assert (again.status_code, again.json()) == (200, first.json())


async def test_what_takes_too_long_is_accepted(at_work: Face) -> None:
    """Where there is no outcome in time it is answered as if nobody had waited: 202."""
    async with matched(at_work):
        answer = await ask(at_work, an_event(clients=CLIENTS), "wait=1")

    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
    assert "preference-applied" not in answer.headers


async def test_too_many_do_not_wait(at_work: Face) -> None:
    """Beyond so many who wait the next is answered 202 at once."""
    doors = replace(at_work.doors, waiting=Waiting(ledger=at_work.store, most=0))
    face = replace(at_work, doors=doors)

    answer = await ask(face, an_event(clients=CLIENTS), "wait=30")

    assert answer.status_code == 202
    assert module.MOST_WAITING == 256


@pytest.mark.parametrize("told", [[an_event(clients=[])], a_join()], ids=["array", "join"])
async def test_arrays_and_joins_do_not_wait(at_work: Face, told: object) -> None:
    """Only one event alone has outcomes to wait for."""
    answer = await ask(at_work, told, "wait=30")

    assert answer.status_code == 202


async def test_what_is_refused_is_refused_at_once(at_work: Face) -> None:
    """A preference changes nothing of what is accepted."""
    answer = await ask(at_work, an_event(initiator=None), "wait=30")

    assert answer.status_code == 400
    await at_work.grant(*Scope)
    assert await at_work.stored() == []


class Remembering(Waiting):
    """Remembers how long somebody would have waited, and lets nobody wait."""

    asked: timedelta | None = None

    async def first_outcomes(self, event_id: object, *, at_most: timedelta) -> bool:  # noqa: ARG002 - the port's own signature
        """Remember, and say no."""
        self.asked = at_most
        return False


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=10", 10),
        ("Wait = 10", 10),
        ('wait="10"', 10),
        ("respond-async, wait=5", 5),
        ("return=minimal;foo=1, wait=5; bar", 5),
        ('foo="a, wait=7", wait=3', 3),
        ("wait=3, wait=9", 3),
        ("wait=31", LONGEST_WAIT),
        ("wait=999999999", LONGEST_WAIT),
        ("wait=0", None),
        ("wait", None),
        ("wait=", None),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait=ten", None),
        ("wait=" + "9" * 5000, None),
        ("await=5", None),
        ("respond-async", None),
        ('"wait=5', None),
        (",,;=,", None),
        ("", None),
    ],
)
async def test_what_is_preferred_is_understood_or_ignored(
    at_work: Face, prefer: str, seconds: int | None
) -> None:
    """RFC 7240: the first wait counts, at most 30 s, and what can not be understood is ignored."""
    waiting = Remembering(ledger=at_work.store)
    face = replace(at_work, doors=replace(at_work.doors, waiting=waiting))

    answer = await ask(face, an_event(clients=[]), prefer)

    assert answer.status_code == 202
    assert waiting.asked == (seconds and timedelta(seconds=seconds))


async def test_preferences_may_come_in_several_headers(at_work: Face) -> None:
    """RFC 7240 section 2: several headers are one list."""
    waiting = Remembering(ledger=at_work.store)
    doors = replace(at_work.doors, waiting=waiting)

    await spoken_to(doors, [(b"prefer", b"respond-async"), (b"prefer", b"wait=4")], at_work)

    assert waiting.asked == timedelta(seconds=4)


Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


async def spoken_to(
    doors: Any, prefers: list[tuple[bytes, bytes]], face: Face, *, hangs_up: bool = False
) -> list[MutableMapping[str, Any]]:
    """Send an event below HTTP; return what was answered."""
    request = (await face.webhook(an_event(id="first", clients=[]))).request
    messages: list[MutableMapping[str, Any]] = [{"type": "http.request", "body": request.content}]
    answered: list[MutableMapping[str, Any]] = []
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/webhooks/idp",
        "raw_path": b"/webhooks/idp",
        "query_string": b"",
        "headers": [*((name.lower(), value) for name, value in request.headers.raw), *prefers],
    }

    async def receive() -> MutableMapping[str, Any]:
        if not messages and not hangs_up:
            await anyio.sleep_forever()
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        answered.append(message)

    await build(doors)(scope, receive, send)
    return answered


async def test_who_hangs_up_waits_no_more(at_work: Face) -> None:
    """The place of somebody who has gone is free for the next at once."""
    waiting = at_work.doors.waiting

    with anyio.fail_after(5):
        await spoken_to(at_work.doors, [(b"prefer", b"wait=30")], at_work, hangs_up=True)

    assert waiting._waiters == {}


async def test_a_store_that_can_not_be_read_changes_nothing(at_work: Face) -> None:
    """The event is on disk: whatever goes wrong while its source waits, it is accepted."""

    class Blind(Waiting):
        """Says that all was heard, and takes the store away."""

        async def first_outcomes(self, event_id: object, *, at_most: timedelta) -> bool:  # noqa: ARG002 - the port's own signature
            """Take the store away."""
            await at_work.close_store()
            return True

    waiting = Blind(ledger=at_work.store)
    face = replace(at_work, doors=replace(at_work.doors, waiting=waiting))

    answer = await ask(face, an_event(clients=[]), "wait=30")

    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
