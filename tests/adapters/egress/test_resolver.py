"""Names to addresses: one question at a time, remembered for a while, and nobody held up."""

import asyncio
import errno
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from dispatcher.adapters.egress.failures import Failure, OwnTrouble
from dispatcher.adapters.egress.resolver import (
    FRESH_SECONDS,
    STALE_SECONDS,
    SUSPECT_THREADS,
    THREADS,
    Resolver,
    system_resolve,
)
from dispatcher.domain.deliveries import Cause, Unreachable, Withheld
from tests.adapters.egress.conftest import Stopwatch, until

BUDGET = 0.1


class NameServer:
    """Answers names from a table; names under .dead wait until ``wake`` is set."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.table: dict[str, Sequence[str]] = {}
        self.wake = threading.Event()
        self.at_once = 0
        self.most_at_once = 0

    def __call__(self, host: str) -> Sequence[str]:
        """Answer, on the thread of whoever looks *host* up."""
        self.asked.append(host)
        if host.endswith(".dead"):
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self.wake.wait(20)
            self.at_once -= 1
        if host.startswith("nx"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self.table.get(host, ["127.0.0.1"])


class Clock:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        """Return the time, in seconds."""
        return self.time


@pytest.fixture
def names() -> Iterator[NameServer]:
    """Return a name server, which lets go of everybody at the end."""
    server = NameServer()
    yield server
    server.wake.set()


async def failure(resolver: Resolver, host: str, *, within: float = 5) -> Failure:
    """Return how looking up *host* fails."""
    with pytest.raises(Failure) as caught:
        await resolver.addresses(host, within=within)
    return caught.value


async def test_one_question_for_many_who_ask(names: NameServer) -> None:
    """However many ask for a name at once, it is looked up once."""
    resolver = Resolver(names)

    found = await asyncio.gather(*(resolver.addresses("rp.test", within=5) for _ in range(100)))

    assert found == [["127.0.0.1"]] * 100
    assert names.asked == ["rp.test"]


async def test_answers_are_fresh_for_thirty_seconds(names: NameServer) -> None:
    """An answer is used for 30 s, and asked for again after that."""
    clock = Clock()
    resolver = Resolver(names, clock=clock)
    await resolver.addresses("rp.test", within=5)
    names.table["rp.test"] = ["127.0.0.2"]

    clock.time += FRESH_SECONDS - 1
    early = await resolver.addresses("rp.test", within=5)
    clock.time += 2
    late = await resolver.addresses("rp.test", within=5)

    assert (early, late) == (["127.0.0.1"], ["127.0.0.2"])


async def test_silence_is_bridged_by_an_older_answer(names: NameServer) -> None:
    """Where the name server falls silent, an answer of the last five minutes is used."""
    clock = Clock()
    resolver = Resolver(names, clock=clock, budget=BUDGET)
    names.wake.set()
    await resolver.addresses("rp.dead", within=5)
    names.wake.clear()

    clock.time += STALE_SECONDS - 1
    bridged = await resolver.addresses("rp.dead", within=5)
    clock.time += 2

    assert bridged == ["127.0.0.1"]
    assert (await failure(resolver, "rp.dead")).cause is Cause.DNS


async def test_a_refusal_is_not_bridged(names: NameServer) -> None:
    """A name that is said not to exist fails at once, and is asked for again next time."""
    resolver = Resolver(names)

    first, second = await failure(resolver, "nx.test"), await failure(resolver, "nx.test")

    assert (first.cause, first.detail) == (Cause.DNS, "Name or service not known")
    assert second.cause is Cause.DNS
    assert names.asked == ["nx.test", "nx.test"]


@pytest.mark.parametrize(
    "error",
    [
        socket.gaierror(socket.EAI_SYSTEM, "System error"),
        socket.gaierror(socket.EAI_MEMORY, "Memory allocation failure"),
        OSError(errno.EMFILE, "Too many open files"),  # how the standard library has EAI_SYSTEM
    ],
    ids=repr,
)
async def test_a_fault_of_our_system_says_nothing_of_the_name(error: OSError) -> None:
    """Where no question could be asked the name is not blamed for the lack of an answer."""

    def failing(_: str) -> Sequence[str]:
        """Fail."""
        raise error

    found = await failure(Resolver(failing), "rp.test")

    assert found.outcome() == Withheld(cause=Cause.INTERNAL, detail=str(error.strerror))


@pytest.mark.parametrize("number", [socket.EAI_NONAME, socket.EAI_AGAIN, socket.EAI_FAIL])
async def test_a_name_servers_answer_is_the_names(number: int) -> None:
    """What a name server says, or does not say, is charged to the name."""

    def failing(_: str) -> Sequence[str]:
        """Fail."""
        raise socket.gaierror(number, "said so")

    found = await failure(Resolver(failing), "rp.test")

    assert found.outcome() == Unreachable(cause=Cause.DNS, detail="said so")


async def test_nobody_waits_longer_than_the_budget(names: NameServer) -> None:
    """A silent name server is waited for no longer than the budget, and no longer than allowed."""
    with Stopwatch() as budget:
        silent = await failure(Resolver(names, budget=BUDGET), "rp.dead")
    with Stopwatch() as allowed:
        await failure(Resolver(names, budget=5), "rp.dead", within=BUDGET)

    assert silent.cause is Cause.DNS
    assert budget.seconds < BUDGET + 0.25
    assert allowed.seconds < BUDGET + 0.25


async def test_dead_names_do_not_hold_up_the_others(names: NameServer) -> None:
    """With more dead names than there are threads, another name is still looked up soon."""
    resolver = Resolver(names, budget=BUDGET)
    dead = [f"rp{number}.dead" for number in range(THREADS + 4)]

    await asyncio.gather(*(failure(resolver, host) for host in dead))

    assert await resolver.addresses("rp.test", within=BUDGET) == ["127.0.0.1"]


async def test_a_queue_for_threads_is_our_trouble(names: NameServer) -> None:
    """Who waited in vain for one of our threads, and not for a name server, is not charged."""
    resolver = Resolver(names, budget=5)
    dead = [f"rp{number}.dead" for number in range(THREADS)]
    asking = [asyncio.ensure_future(resolver.addresses(host, within=5)) for host in dead]
    await until(lambda: names.at_once == THREADS)

    blamed = await failure(resolver, "rp0.dead", within=0.02)
    queueing = await failure(resolver, "rp.test", within=0.02)

    assert not isinstance(blamed, OwnTrouble)
    assert isinstance(queueing, OwnTrouble)
    names.wake.set()
    await asyncio.gather(*asking)


async def test_names_that_timed_out_get_two_threads(names: NameServer) -> None:
    """A name that ran over its time is looked up on the threads for such, until it answers."""
    clock = Clock()
    resolver = Resolver(names, clock=clock, budget=BUDGET)
    dead = [f"rp{number}.dead" for number in range(8)]
    for host in dead:
        clock.time += BUDGET  # not in a hurry: the name server's time is what runs
        asking = asyncio.ensure_future(failure(resolver, host))
        await until(partial(names.asked.__contains__, host))
        clock.time += BUDGET
        await asking
    names.wake.set()
    await until(lambda: names.at_once == 0)
    names.wake.clear()
    names.most_at_once = 0

    clock.time += STALE_SECONDS + 1
    await asyncio.gather(*(failure(resolver, host) for host in dead))

    assert names.most_at_once == SUSPECT_THREADS


async def test_the_loops_own_threads_are_not_used(names: NameServer) -> None:
    """A look-up does not stand in the queue of the loop's default executor."""
    blocked = threading.Event()
    with ThreadPoolExecutor(max_workers=1) as executor:
        asyncio.get_running_loop().set_default_executor(executor)
        job = asyncio.get_running_loop().run_in_executor(None, blocked.wait, 20)

        found = await Resolver(names).addresses("rp.test", within=2)
        blocked.set()
        await job

    assert found == ["127.0.0.1"]


async def test_our_own_fault_comes_back_as_it_is() -> None:
    """An error that is no answer of a name server is not taken for one."""

    def broken(_: str) -> Sequence[str]:
        """Fail as no name server does."""
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Resolver(broken).addresses("rp.test", within=2)


async def test_no_thread_stays_behind(names: NameServer) -> None:
    """When a resolver is closed its threads end."""
    before = threading.active_count()
    resolver = Resolver(names)
    await resolver.addresses("rp.test", within=2)

    resolver.close()

    await until(lambda: threading.active_count() <= before)


@pytest.mark.parametrize("literal", ["127.0.0.1", "0x7f.1", "2130706433", "0177.0.0.1", "127.1"])
def test_the_system_reads_literals_in_every_form(literal: str) -> None:
    """What the system makes of a literal host is what is judged, each address once."""
    assert system_resolve(literal) == ["127.0.0.1"]


@pytest.mark.parametrize("host", ["a" * 64, "a..b", "."])
async def test_what_is_no_host_name(host: str) -> None:
    """A host that can be no name is a failure of look-up, not of ours."""

    def encode(name: str) -> Sequence[str]:
        """Encode the name as the system would."""
        return [name.encode("idna").decode()]

    assert (await failure(Resolver(encode), host)).cause is Cause.DNS
