"""Names to addresses, without letting one dead name server hold up every delivery.

``getaddrinfo`` blocks a thread and can not be interrupted, for 10 s and more where a name server is
silent. So look-ups have threads of their own; a name is looked up once at a time, however many
wait for it; nobody waits longer than a budget; and a name that ran over it is looked up on two
threads kept for such names, until it answers in time again, while another thread takes over the
place of the one that is stuck. An answer is kept for 30 s, and for
5 minutes where the next look-up does not answer. What an address is worth is judged elsewhere, each
time one is dialled, so that nothing forbidden can hide in this memory.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import NamedTuple, TypeAlias

from dispatcher.adapters.egress.failures import Failure, OwnTrouble
from dispatcher.domain.deliveries import Cause

FRESH_SECONDS, STALE_SECONDS = 30.0, 300.0
BUDGET_SECONDS = 2.0
"""How long one delivery waits for a name, at most."""
THREADS, SUSPECT_THREADS = 16, 2
_MOST_STAND_INS = 64
_CACHED_NAMES = 4096
_OURS = frozenset({socket.EAI_SYSTEM, socket.EAI_MEMORY})

Resolve: TypeAlias = Callable[[str], Sequence[str]]


def system_resolve(host: str) -> list[str]:
    """Ask the operating system for the addresses of *host*; blocks, and raises OSError."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _failure_of(error: OSError | UnicodeError) -> Failure:
    """Say whose fault it is that a name was not looked up.

    Only a ``gaierror`` speaks of the name; the system's own errors (EAI_SYSTEM) come bare.
    """
    detail = getattr(error, "strerror", None) or "not a host name"
    ours = (
        error.errno in _OURS if isinstance(error, socket.gaierror) else isinstance(error, OSError)
    )
    return OwnTrouble(Cause.INTERNAL, detail) if ours else Failure(Cause.DNS, detail)


class _Known(NamedTuple):
    addresses: Sequence[str]
    at: float


class _Lookup:
    """One question that is under way, and everybody who waits for its answer."""

    def __init__(self, host: str, loop: asyncio.AbstractEventLoop, asked_at: float) -> None:
        self.host = host
        self.loop = loop
        self.asked_at = asked_at
        self.started_at: float | None = None
        self.stood_in_for = False
        self.waiting: set[asyncio.Future[Sequence[str]]] = set()


class _Threads:
    """Up to *size* daemon threads: a look-up that is stuck must not hold up the process's exit."""

    def __init__(self, size: int, work: Callable[[_Lookup], None]) -> None:
        self._size = size
        self._alive = 0
        self._work = work
        self._queue: SimpleQueue[_Lookup | None] = SimpleQueue()

    def put(self, lookup: _Lookup) -> None:
        """Have *lookup* done; never blocks."""
        self._queue.put(lookup)
        if self._alive < self._size:
            self._start_one()

    def stand_in(self) -> None:
        """Start a thread in the place of one that is stuck."""
        self._size += 1
        self._start_one()

    def stand_down(self) -> None:
        """Let one thread go, since the one that was stuck is back."""
        self._size -= 1
        self._alive -= 1
        self._queue.put(None)

    def stop(self) -> None:
        """Let each thread end after what it is doing."""
        for _ in range(self._alive):
            self._queue.put(None)

    def _start_one(self) -> None:
        self._alive += 1
        Thread(target=self._serve, name="resolver", daemon=True).start()

    def _serve(self) -> None:
        while (lookup := self._queue.get()) is not None:
            self._work(lookup)


class Resolver:
    """Looks names up with *resolve*, which runs on threads; *clock* counts seconds, steadily."""

    def __init__(
        self,
        resolve: Resolve = system_resolve,
        *,
        clock: Callable[[], float] = time.monotonic,
        budget: float = BUDGET_SECONDS,
    ) -> None:
        self._resolve = resolve
        self._clock = clock
        self._budget = budget
        self._known: dict[str, _Known] = {}
        self._running: dict[str, _Lookup] = {}
        self._suspects: set[str] = set()
        self._stand_ins = 0
        self._threads = _Threads(THREADS, self._look_up)
        self._suspect_threads = _Threads(SUSPECT_THREADS, self._look_up)

    async def addresses(self, host: str, *, within: float) -> Sequence[str]:
        """Return the addresses of *host* in at most *within* seconds, or raise Failure."""
        known = self._known.get(host)
        if known and self._clock() - known.at < FRESH_SECONDS:
            return known.addresses
        lookup = self._running.get(host) or self._start(host)
        # Nobody waits for what others have waited for in vain: it is known when it is known.
        budget = lookup.asked_at + self._budget - self._clock()
        seconds = max(0.0, min(within, budget))
        try:
            return await self._answer(lookup, seconds)
        except TimeoutError:
            return self._without_answer(lookup, seconds)

    def close(self) -> None:
        """Stop the threads; a look-up that is stuck is left to its fate."""
        self._threads.stop()
        self._suspect_threads.stop()

    def _start(self, host: str) -> _Lookup:
        lookup = _Lookup(host, asyncio.get_running_loop(), self._clock())
        self._running[host] = lookup
        threads = self._suspect_threads if host in self._suspects else self._threads
        threads.put(lookup)
        return lookup

    async def _answer(self, lookup: _Lookup, seconds: float) -> Sequence[str]:
        answer: asyncio.Future[Sequence[str]] = asyncio.get_running_loop().create_future()
        lookup.waiting.add(answer)
        try:
            async with asyncio.timeout(seconds):
                return await answer
        finally:
            lookup.waiting.discard(answer)

    def _without_answer(self, lookup: _Lookup, waited: float) -> Sequence[str]:
        """Fall back on an older answer; else say whose fault the silence is.

        It is the name server's where most of the time went by on a thread, and not in the queue.
        """
        suspect = lookup.host in self._suspects
        if not suspect and self._has_run(lookup, self._budget / 2):
            self._suspect(lookup)
        known = self._known.get(lookup.host)
        if known and self._clock() - known.at < STALE_SECONDS:
            return known.addresses
        if suspect or self._has_run(lookup, waited / 2):
            raise Failure(Cause.DNS, "the name server did not answer in time")
        raise OwnTrouble(Cause.DNS, "no thread was free to look the name up")

    def _has_run(self, lookup: _Lookup, seconds: float) -> bool:
        started_at = lookup.started_at
        return started_at is not None and self._clock() - started_at >= seconds

    def _suspect(self, lookup: _Lookup) -> None:
        self._suspects.add(lookup.host)
        if self._stand_ins < _MOST_STAND_INS:
            self._stand_ins += 1
            lookup.stood_in_for = True
            self._threads.stand_in()

    def _look_up(self, lookup: _Lookup) -> None:
        """Ask, on a thread, and bring the answer to the loop."""
        lookup.started_at = self._clock()
        found: Sequence[str] | Exception
        try:
            found = self._resolve(lookup.host)
        except (OSError, UnicodeError) as error:
            found = _failure_of(error)
        except Exception as error:  # noqa: BLE001 - it is raised again where it is waited for
            found = error
        # The loop may be gone by the time that a name server gives up.
        with contextlib.suppress(RuntimeError):
            lookup.loop.call_soon_threadsafe(self._finish, lookup, found)

    def _finish(self, lookup: _Lookup, found: Sequence[str] | Exception) -> None:
        if self._running.get(lookup.host) is lookup:
            del self._running[lookup.host]
        if lookup.stood_in_for:
            self._stand_ins -= 1
            self._threads.stand_down()
        if not isinstance(found, Exception):
            self._remember(lookup, found)
        for answer in lookup.waiting:
            if answer.done():
                continue
            if isinstance(found, Exception):
                answer.set_exception(found)
            else:
                answer.set_result(found)

    def _remember(self, lookup: _Lookup, addresses: Sequence[str]) -> None:
        now = self._clock()
        if now - lookup.asked_at < self._budget:
            self._suspects.discard(lookup.host)
        if len(self._known) >= _CACHED_NAMES:
            self._known = {h: k for h, k in self._known.items() if now - k.at < FRESH_SECONDS}
        self._known[lookup.host] = _Known(addresses, now)
