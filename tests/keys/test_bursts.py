"""What is asked for at one moment is done in a row, and each is told of its own."""

from collections.abc import Callable
from functools import partial

import anyio
import pytest

from keys.bursts import Bursts


class Ended(BaseException):
    """What is no ordinary error."""


async def test_what_is_asked_for_in_one_round_is_done_in_a_row() -> None:
    """Nobody goes on between two pieces of work that were asked for at one moment."""
    bursts, seen = Bursts(), list[str]()

    async def ask(number: int) -> None:
        def work() -> str:
            seen.append(f"does {number}")
            return f"goes on {number}"

        seen.append(f"asks {number}")
        seen.append(await bursts.run(work))

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(ask, number)

    assert seen == [f"{what} {n}" for what in ("asks", "does", "goes on") for n in range(5)]


async def test_one_alone_is_done_at_once() -> None:
    """Who asks alone, time after time, is answered each time."""
    bursts = Bursts()

    assert [await bursts.run(partial(str, number)) for number in range(3)] == ["0", "1", "2"]


@pytest.mark.parametrize("error", [ZeroDivisionError, Ended])
async def test_an_error_is_raised_where_it_was_asked_for(error: type[BaseException]) -> None:
    """Whatever one of a burst raises reaches its own caller; the others have their results."""
    bursts, told = Bursts(), list[object]()

    def stumble() -> None:
        raise error

    async def ask(work: Callable[[], object]) -> None:
        try:
            told.append(await bursts.run(work))
        except error as raised:
            told.append(type(raised))

    async with anyio.create_task_group() as tasks:
        for work in (lambda: "first", stumble, lambda: "last"):
            tasks.start_soon(ask, work)

    assert told == ["first", error, "last"]


async def test_who_gives_up_disturbs_nobody() -> None:
    """Where the one that would have worked for all is gone the next one does, and not for it."""
    bursts, told, worked = Bursts(), list[str](), list[str]()

    async def ask(name: str, scope: anyio.CancelScope) -> None:
        def work() -> str:
            worked.append(name)
            return name

        with scope:
            told.append(await bursts.run(work))

    gone = anyio.CancelScope()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, "gone", gone)
        tasks.start_soon(ask, "here", anyio.CancelScope())
        gone.cancel()

    assert told == worked == ["here"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_any_loop_will_do(backend: str) -> None:
    """A burst needs no loop of a certain make: simulations run on one whose clock jumps."""
    bursts = Bursts()

    async def ask() -> str:
        return await bursts.run(lambda: "done")

    assert anyio.run(ask, backend=backend) == "done"
