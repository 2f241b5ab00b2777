"""Handing over: each thing goes to one taker, in the order in which both came."""

from collections.abc import Sequence

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.pipeline.handover import Handover


async def taken_by(takers: int, handover: Handover[int]) -> list[list[int]]:
    """Let so many take until the end; return what each of them got."""
    got: list[list[int]] = [[] for _ in range(takers)]

    async def take(mine: list[int]) -> None:
        """Take until the end."""
        while (thing := await handover.take()) is not None:
            mine.append(thing)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for mine in got:
                tasks.start_soon(take, mine)
    return got


@pytest.mark.parametrize("before", [[], [1], [1, 2, 3]])
async def test_what_waits_is_taken_in_order_before_the_end(before: Sequence[int]) -> None:
    """What was handed over before the end is taken after it, oldest first, and then None."""
    handover: Handover[int] = Handover()
    for thing in before:
        handover.put(thing)
    handover.close()

    assert await taken_by(1, handover) == [list(before)]
    assert await handover.take() is None


async def test_who_waits_is_served_first_come_first_served() -> None:
    """Who has waited longest takes what comes first."""
    handover: Handover[int] = Handover()
    got: list[tuple[str, int | None]] = []

    async def take(name: str) -> None:
        """Take one."""
        got.append((name, await handover.take()))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for name in ("first", "second"):
                tasks.start_soon(take, name)
                await anyio.wait_all_tasks_blocked()
            handover.put(1)
            handover.put(2)

    assert got == [("first", 1), ("second", 2)]


async def test_the_end_reaches_all_who_wait() -> None:
    """All who wait when nothing more comes are told so."""
    handover: Handover[int] = Handover()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(taken_by, 3, handover)
        await anyio.wait_all_tasks_blocked()
        handover.close()

    assert await handover.take() is None


@given(st.lists(st.sampled_from(["put", "turn"]), max_size=40), st.integers(1, 5))
def test_nothing_is_lost_or_taken_twice(steps: Sequence[str], takers: int) -> None:
    """However puts and takers take turns, each thing is taken by exactly one of them."""

    async def happens() -> None:
        """Put one after another, and let the takers run in between."""
        handover: Handover[int] = Handover()
        got: list[list[int]] = []

        async def take() -> None:
            """Take with all takers."""
            got.extend(await taken_by(takers, handover))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take)
            for number, step in enumerate(steps):
                if step == "put":
                    handover.put(number)
                else:
                    await anyio.wait_all_tasks_blocked()
            handover.close()
        wanted = [number for number, step in enumerate(steps) if step == "put"]
        assert sorted(thing for mine in got for thing in mine) == wanted
        assert all(mine == sorted(mine) for mine in got)

    anyio.run(happens)
