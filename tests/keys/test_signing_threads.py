"""Work goes to threads and comes back."""

import asyncio
import threading

import anyio
import pytest

from keys import KeyUnavailable
from keys.signing_threads import SigningThreads


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


async def test_without_threads_work_runs_inline() -> None:
    """With no threads the work is done where it is asked for."""
    threads = SigningThreads(0)

    name = await threads.run(lambda: threading.current_thread().name)

    assert name == threading.current_thread().name


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
