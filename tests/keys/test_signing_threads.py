"""Work goes to threads and comes back."""

import asyncio
import threading
from collections.abc import Callable
from itertools import count
from typing import Any

import anyio
import pytest

from keys import KeyUnavailable
from keys.signing_threads import SigningThreads


class Ended(BaseException):
    """What is no ordinary error."""


async def test_results_and_errors_come_back_to_their_callers() -> None:
    """Of many calls at once each gets its own result, or its own error, off the loop's thread."""
    threads = SigningThreads(2)
    seen: dict[int, str] = {}

    async def call(number: int) -> None:
        """Ask for a result, or for an error."""
        if number % 7:
            seen[number] = await threads.run(lambda: f"{number} {threading.current_thread().name}")
        else:
            with pytest.raises(ZeroDivisionError):
                await threads.run(lambda: str(1 // 0))

    async with anyio.create_task_group() as group:
        for number in range(200):
            group.start_soon(call, number)
    threads.close()

    assert sorted(seen) == [n for n in range(200) if n % 7]
    assert all(text.startswith(f"{n} signing-") for n, text in seen.items())


async def test_cancelled_calls_disturb_nobody() -> None:
    """A caller that gave up, before or while its work was done, leaves the others unharmed."""
    threads = SigningThreads(1)
    started, go = threading.Event(), threading.Event()
    never: list[str] = []

    def hold() -> str:
        """Keep the one thread busy."""
        started.set()
        go.wait(5)
        return "held"

    def forget() -> str:
        """Leave a trace."""
        never.append("done all the same")
        return ""

    held = asyncio.ensure_future(threads.run(hold))
    queued = asyncio.ensure_future(threads.run(forget))
    await anyio.to_thread.run_sync(started.wait)
    held.cancel()
    queued.cancel()
    await asyncio.wait([held, queued])
    go.set()

    assert await threads.run(lambda: "next") == "next"
    assert never == []
    threads.close()


async def test_loop_is_woken_each_time() -> None:
    """Calls one after the other are all answered: a delivered batch does not end the service."""
    threads = SigningThreads(1)

    answers = [await threads.run(lambda: "x") for _ in range(3)]

    assert answers == ["x", "x", "x"]
    threads.close()


async def test_closing_ends_the_threads() -> None:
    """After closing there is no thread left, and a call is refused instead of waiting for ever."""
    threads = SigningThreads()
    started = list(threads._threads)

    threads.close()
    threads.close()

    assert started
    assert not any(thread.is_alive() for thread in started)
    with pytest.raises(KeyUnavailable):
        await threads.run(lambda: "x")


async def held_up(threads: SigningThreads) -> threading.Event:
    """Keep the one thread busy, until what is returned is set."""
    started, go = threading.Event(), threading.Event()

    def hold() -> bool:
        """Start, and wait."""
        started.set()
        return go.wait(5)

    asyncio.ensure_future(threads.run(hold))  # noqa: RUF006 - nobody wants to know how it ends
    await anyio.to_thread.run_sync(started.wait)
    return go


async def test_results_come_back_several_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """While there is more to sign the loop is not woken for each result."""
    threads, woken = SigningThreads(1), count()
    loop = asyncio.get_running_loop()
    wake = loop.call_soon_threadsafe
    go = await held_up(threads)

    def work() -> str:
        """Be done only when the loop has had a turn, and could have taken what was done before."""
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(5)
        return "x"

    def counted(called: Callable[..., None], *given: Any) -> asyncio.Handle:
        if called == threads._deliver:
            next(woken)
        return wake(called, *given)

    asked = [asyncio.ensure_future(threads.run(work)) for _ in range(40)]
    await asyncio.sleep(0)
    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    go.set()
    answers = await asyncio.gather(*asked)
    monkeypatch.undo()

    assert answers == ["x"] * 40
    assert next(woken) == 3  # for sixteen, sixteen, and the nine that are left
    threads.close()


async def test_a_result_waits_for_nothing_that_is_not_done() -> None:
    """Where what comes after a call was given up its result is not kept back."""
    threads = SigningThreads(1)
    go = await held_up(threads)
    asked = asyncio.ensure_future(threads.run(lambda: "x"))
    given_up = asyncio.ensure_future(threads.run(lambda: "y"))
    await asyncio.sleep(0)
    given_up.cancel()
    go.set()

    assert await asyncio.wait_for(asked, timeout=5) == "x"
    threads.close()


async def test_what_was_asked_for_before_the_end_is_answered() -> None:
    """Closing waits for what is under way, and its result still comes back."""
    threads = SigningThreads(1)
    go = await held_up(threads)
    asked = asyncio.ensure_future(threads.run(lambda: "x"))
    await asyncio.sleep(0)
    go.set()

    threads.close()

    assert await asyncio.wait_for(asked, timeout=5) == "x"


async def test_no_kind_of_error_ends_a_thread() -> None:
    """Whatever is raised is raised where the caller waits, and the thread goes on."""
    threads = SigningThreads(1)

    def end() -> None:
        raise Ended

    with pytest.raises(Ended):
        await threads.run(end)

    assert await threads.run(lambda: "x") == "x"
    threads.close()


def test_thread_outlives_its_loop_quietly() -> None:
    """A thread whose loop is gone drops the result and goes on to its end."""
    started, go = threading.Event(), threading.Event()

    def work() -> str:
        """Go on for longer than the loop."""
        started.set()
        return str(go.wait(5))

    async def leave() -> SigningThreads:
        """End the loop in the middle of the work."""
        threads = SigningThreads(1)
        task = asyncio.ensure_future(threads.run(work))
        await anyio.to_thread.run_sync(started.wait)
        task.cancel()
        return threads

    threads = asyncio.run(leave())
    go.set()
    threads.close()

    assert threads._threads == []
