"""Waiting: a hint that there may be something to do, that is never missed and never spun on."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import anyio
import pytest

from tests.contract.steps import LEASE, accept, claim, match_all, owe
from tests.contract.stores import Store
from tests.kit.builders import acknowledged, an_application, an_event, given_back, put_off
from tests.kit.clock import FakeClock

LONG, SHORT = timedelta(hours=1), timedelta(milliseconds=20)


async def test_what_came_up_since_is_not_slept_through(store: Store) -> None:
    """What was accepted while the caller was busy makes its next wait return at once."""
    seen = await store.wait(0, at_most=SHORT)
    await accept(store, an_event())

    with anyio.fail_after(5):
        later = await store.wait(seen, at_most=LONG)

    assert later != seen


async def test_what_was_seen_is_waited_out(store: Store) -> None:
    """A wait for news of which there is none lasts as long as it may, and returns what it had."""
    await accept(store, an_event())
    seen = await store.wait(0, at_most=LONG)

    again = await store.wait(seen, at_most=SHORT)

    assert again == seen


async def test_a_claim_is_no_news(store: Store) -> None:
    """What a worker takes wakes neither itself nor another."""
    await owe(store, "shop")
    seen = await store.wait(0, at_most=LONG)
    await claim(store)

    again = await store.wait(seen, at_most=SHORT)

    assert again == seen


async def test_one_waiter_takes_nothing_from_another(store: Store) -> None:
    """Each of two workers sees what came up, whoever looks first."""
    seen = await store.wait(0, at_most=SHORT)
    await accept(store, an_event())

    with anyio.fail_after(5):
        first = await store.wait(seen, at_most=LONG)
        second = await store.wait(seen, at_most=LONG)

    assert first == second != seen


Step = Callable[[Store], Awaitable[object]]


async def _settle(store: Store) -> None:
    await store.settle([acknowledged(one) for one in await claim(store)])


async def _give_back(store: Store) -> None:
    await store.settle([given_back(one) for one in await claim(store)])


async def _replace(store: Store) -> None:
    await store.replace_application(an_application("shop", max_in_flight=3))


async def _accept(store: Store) -> None:
    await accept(store, an_event())


@pytest.mark.parametrize("step", [_accept, match_all, _settle, _give_back, _replace])
async def test_whoever_waits_is_woken(store: Store, step: Step) -> None:
    """Accepting, matching, settling and replacing wake those who wait."""
    await owe(store, "shop")
    await accept(store, an_event())
    seen = await store.wait(0, at_most=SHORT)
    woken = anyio.Event()

    async def wait() -> None:
        await store.wait(seen, at_most=LONG)
        woken.set()

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        await step(store)
        with anyio.fail_after(5):
            await woken.wait()

    assert woken.is_set()


async def test_a_due_time_that_passes_is_news_once(store: Store, clock: FakeClock) -> None:
    """When a delivery comes due a wait returns, and then waits for what comes next."""
    await owe(store, "shop")
    (delivery,) = await claim(store)
    await store.settle([put_off(delivery, until=clock.steady() + timedelta(seconds=5))])
    seen = await store.wait(0, at_most=LONG)
    clock.advance(seconds=5)

    with anyio.fail_after(5):
        due = await store.wait(seen, at_most=LONG)
    again = await store.wait(due, at_most=SHORT)

    assert seen != due == again


async def test_a_due_time_ends_a_wait(store: Store, clock: FakeClock) -> None:
    """A wait lasts no longer than until the next delivery comes due."""
    await owe(store, "shop")
    (delivery,) = await claim(store)
    await store.settle([put_off(delivery, until=clock.steady() + SHORT)])
    seen = await store.wait(0, at_most=LONG)

    with anyio.fail_after(5):
        await store.wait(seen, at_most=LONG)

    assert await claim(store) == []


async def test_a_lease_that_ran_out_is_news(store: Store, clock: FakeClock) -> None:
    """When a lease ends a wait returns, so that its delivery is soon claimed again."""
    await owe(store, "shop")
    await claim(store)
    seen = await store.wait(0, at_most=LONG)
    clock.advance(LEASE)

    with anyio.fail_after(5):
        later = await store.wait(seen, at_most=LONG)

    assert later != seen
