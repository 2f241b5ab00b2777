"""The sender: one POST, from the look-up to the last byte, under one deadline.

The attempt runs in its caller's task, and whatever it waits for ends at that one deadline. There
is no pool to cancel a request in: when the time is over, the connection at hand is closed, and that
was all there was.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from dispatcher.adapters.egress.addresses import EgressPolicy
from dispatcher.adapters.egress.answer import Answer
from dispatcher.adapters.egress.connection import Connection, open_connection
from dispatcher.adapters.egress.failures import Failure, OwnTrouble, failure_of
from dispatcher.adapters.egress.guard import Dial, Guard, dial_literal
from dispatcher.adapters.egress.outcomes import outcome_of
from dispatcher.adapters.egress.peers import Peer, Peers
from dispatcher.adapters.egress.pool import Pool
from dispatcher.adapters.egress.resolver import Resolver
from dispatcher.adapters.egress.target import Target, target_of
from dispatcher.domain.applications import Application
from dispatcher.domain.deliveries import Cause, Outcome, Withheld

SWEEP_SECONDS = 5.0
_QUEUEING, _CONNECTING = "waiting for a free connection", "connecting"
_GREETING, _LISTENING = "in the TLS handshake", "waiting for the answer"


class _Attempt:
    """One attempt under way; ``doing`` says what it was at when its time ran out."""

    __slots__ = ("answer", "connection", "deadline", "doing", "peer", "request", "target")

    def __init__(self, peer: Peer, target: Target, token: str, deadline: float) -> None:
        self.peer = peer
        self.target = target
        self.request = target.request(token)
        self.deadline = deadline
        self.answer = Answer()
        self.connection: Connection | None = None
        self.doing = _QUEUEING

    def late(self) -> Failure:
        """Say what it means that the deadline has come before a status."""
        if self.doing is _QUEUEING:
            return OwnTrouble(Cause.INTERNAL, "no connection was free in time")
        return Failure(Cause.TIMEOUT, f"out of time while {self.doing}")

    def cut_short(self) -> Failure:
        """Say what it means that the connection has ended before a status."""
        if self.answer.fault:
            return Failure(Cause.PROTOCOL, self.answer.fault)
        error = self.connection.error if self.connection else None
        if self.answer.started:
            return Failure(Cause.PROTOCOL, "the connection ended within the header block")
        if isinstance(error, OSError):
            return failure_of(error, otherwise=Cause.CONNECT)
        return Failure(Cause.CONNECT, "the connection ended before an answer")


class HttpSender:
    """Carries logout tokens to applications: the port ``Sender``.

    *now* is the wall clock, for a Retry-After that is a date. *resolver* and *dial* are how names
    become addresses and addresses become sockets. Serves one event loop.
    """

    def __init__(
        self,
        policy: EgressPolicy,
        *,
        now: Callable[[], datetime],
        user_agent: str,
        resolver: Resolver | None = None,
        dial: Dial = dial_literal,
    ) -> None:
        self._policy = policy
        self._now = now
        self._user_agent = user_agent
        self._resolver = resolver or Resolver()
        self._guard = Guard(policy, self._resolver, dial=dial)
        self._peers = Peers()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def send(
        self, application: Application, uri: str, token: str, *, timeout: timedelta
    ) -> Outcome:
        """POST *token* to *uri* and say what came of it, within *timeout* from start to end."""
        try:
            return await self._send(application, uri, token, timeout.total_seconds())
        except Failure as failure:
            return failure.outcome()
        except Exception as fault:  # noqa: BLE001 - a fault of ours is never charged to others
            return Withheld(cause=Cause.INTERNAL, detail=type(fault).__name__)

    async def close(self) -> None:
        """Close every connection that is kept; nothing is sent any more."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._peers.close()
        self._resolver.close()
        # A transport closes its socket in the loop's next round.
        await asyncio.sleep(0)

    async def _send(
        self, application: Application, uri: str, token: str, seconds: float
    ) -> Outcome:
        loop = asyncio.get_running_loop()
        started = loop.time()
        peer = self._peer(application, loop, started)
        target = target_of(uri, allow_http=self._policy.allow_http, user_agent=self._user_agent)
        attempt = _Attempt(peer, target, token, started + seconds)
        try:
            await self._carry(attempt, loop)
        except TimeoutError:
            if not attempt.answer.status:
                raise attempt.late() from None
        if not attempt.answer.status:
            raise attempt.cut_short()
        return outcome_of(attempt.answer, self._now())

    def _peer(self, application: Application, loop: asyncio.AbstractEventLoop, now: float) -> Peer:
        if self._closed:
            raise OwnTrouble(Cause.INTERNAL, "the sender is closed")
        if self._sweeper is None:
            self._sweeper = loop.call_later(SWEEP_SECONDS, self._sweep, loop)
        return self._peers.of(application, now)

    async def _carry(self, attempt: _Attempt, loop: asyncio.AbstractEventLoop) -> None:
        """Send the request over a kept connection, or else over a fresh one."""
        pool = attempt.peer.pool(attempt.target.origin)
        await pool.enter(attempt.peer.application.delivery.max_in_flight, deadline=attempt.deadline)
        try:
            kept = pool.take(loop.time())
            await self._exchange(kept or await self._fresh(attempt), attempt, pool)
            if kept is not None and not attempt.answer.started:
                # The other side closed it meanwhile; the others that wait here may be no better.
                pool.close()
                raise Failure(Cause.STALE, "a kept connection ended without an answer")
        finally:
            pool.leave()

    async def _exchange(self, connection: Connection, attempt: _Attempt, pool: Pool) -> None:
        attempt.doing = _LISTENING
        attempt.connection = connection
        try:
            await connection.post(attempt.request, attempt.answer, deadline=attempt.deadline)
        finally:
            if attempt.answer.reusable and not connection.closed and not attempt.peer.closed:
                pool.keep(connection)
            else:
                connection.abort()

    async def _fresh(self, attempt: _Attempt) -> Connection:
        async with asyncio.timeout_at(attempt.deadline):
            return await self._open(attempt)

    async def _open(self, attempt: _Attempt) -> Connection:
        origin = attempt.target.origin
        context = attempt.peer.context if origin.secure else None
        attempt.doing = _CONNECTING
        raw = await self._guard.connect(
            origin.host, origin.port, allow=attempt.peer.allow, deadline=attempt.deadline
        )
        attempt.doing = _GREETING
        try:
            return await open_connection(raw, context, origin.host.rstrip("."))
        except OSError as error:
            raise failure_of(error, otherwise=Cause.TLS) from error

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self._peers.sweep(loop.time())
        self._sweeper = (
            loop.call_later(SWEEP_SECONDS, self._sweep, loop) if len(self._peers) else None
        )
