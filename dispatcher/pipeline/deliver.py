"""Delivering: one attempt to tell one application."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from dispatcher.domain.applications import Application
from dispatcher.domain.deliveries import (
    Attempt,
    Cause,
    Delivery,
    Move,
    Outcome,
    Reason,
    Settled,
    Settlement,
    Unreachable,
    Withheld,
    decide,
)
from dispatcher.domain.errors import DispatcherError
from dispatcher.domain.logout_token import claims_for, typ_for
from dispatcher.domain.retry import RetryPolicy
from dispatcher.ports import Clock, Registry, Sender, Signed, Signer


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What holds for every delivery unless its application says otherwise.

    ``new_jti`` returns a fresh token id, ``jitter`` a number from 0 up to 1.
    """

    issuer: str
    lifetime: timedelta
    timeout: timedelta
    horizon: timedelta
    new_jti: Callable[[], str]
    jitter: Callable[[], float]


class Deliver:
    """Makes one attempt of a delivery: checks, signs, sends, and decides what becomes of it."""

    def __init__(
        self, *, registry: Registry, signer: Signer, sender: Sender, clock: Clock, terms: Terms
    ) -> None:
        self._registry = registry
        self._signer = signer
        self._sender = sender
        self._clock = clock
        self._terms = terms
        self.draining = False
        """Once set, what is not yet on its way is given back instead of sent."""

    async def __call__(self, delivery: Delivery) -> Settled:
        """Attempt *delivery* and return what should become of it."""
        application = self._registry.applications.get(delivery.client_id)
        if application is None:
            return _called_off(delivery, Reason.APPLICATION_DELETED)
        reason = _no_longer_owed(delivery, application)
        if reason is not None:
            return _called_off(delivery, reason)
        attempt = await self._attempt(delivery, application)
        if attempt is None:
            return given_back(delivery, now=self._clock.steady())
        return Settled(delivery, attempt, self._decide(attempt.outcome, delivery, application))

    async def _attempt(self, delivery: Delivery, application: Application) -> Attempt | None:
        """Sign and send; None where the service ends before the token is on its way.

        A kept connection that turns out to have ended is no attempt: another token goes out at
        once. Another, since nobody knows whether the first was read, and no ``jti`` goes out twice.
        """
        attempt = await self._one_post(delivery, application)
        if attempt is not None and _over_stale_connection(attempt.outcome):
            attempt = await self._one_post(delivery, application)
        return attempt

    async def _one_post(self, delivery: Delivery, application: Application) -> Attempt | None:
        started_at, begun = self._clock.now(), self._clock.steady()
        jti = self._terms.new_jti()
        kid = None
        outcome: Outcome
        try:
            signed = await self._sign(delivery, application, jti, now=started_at)
        except DispatcherError as error:
            outcome = Withheld(cause=Cause.SIGNER, detail=error.code)
        else:
            if self.draining:
                return None
            kid = signed.kid
            outcome = await self._send(delivery, application, signed.token)
        duration = self._clock.steady() - begun
        return Attempt(started_at=started_at, duration=duration, outcome=outcome, jti=jti, kid=kid)

    async def _sign(
        self, delivery: Delivery, application: Application, jti: str, *, now: datetime
    ) -> Signed:
        claims = claims_for(
            delivery,
            application,
            issuer=self._terms.issuer,
            now=now,
            lifetime=self._terms.lifetime,
            jti=jti,
        )
        return await self._signer.sign(claims, alg=application.algorithm, typ=typ_for(application))

    async def _send(self, delivery: Delivery, application: Application, token: str) -> Outcome:
        """POST the token, unless the lease might end before the answer can be recorded."""
        timeout = application.delivery.timeout or self._terms.timeout
        if self._clock.steady() + timeout >= delivery.lease_until:
            return Withheld(cause=Cause.LEASE)
        return await self._sender.send(application, delivery.uri, token, timeout=timeout)

    def _decide(self, outcome: Outcome, delivery: Delivery, application: Application) -> Settlement:
        return decide(
            outcome,
            delivery,
            policy=_policy_within(application.delivery.horizon or self._terms.horizon),
            now=self._clock.steady(),
            jitter=self._terms.jitter(),
        )


@lru_cache
def _policy_within(horizon: timedelta) -> RetryPolicy:
    """Return the schedule as it is followed until *horizon*."""
    return RetryPolicy(horizon=horizon)


def _no_longer_owed(delivery: Delivery, application: Application) -> Reason | None:
    """Return why *application* is not told after all: checked when the token would be sent."""
    if not application.urls:
        return Reason.NO_URI
    if not application.subscribes_to(delivery.initiator):
        return Reason.UNSUBSCRIBED
    return None if delivery.uri in application.urls else Reason.NO_URI


def _over_stale_connection(outcome: Outcome) -> bool:
    return isinstance(outcome, Unreachable) and outcome.cause is Cause.STALE


def _called_off(delivery: Delivery, reason: Reason) -> Settled:
    return Settled(delivery, None, Settlement(move=Move.CALLED_OFF, reason=reason))


def given_back(delivery: Delivery, *, now: datetime) -> Settled:
    """Return *delivery* to the queue untried, due at once."""
    return Settled(delivery, None, Settlement(move=Move.RELEASED, due_at=now))
