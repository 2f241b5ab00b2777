"""Delivering: one attempt, from the last look at the registry to what becomes of the delivery."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio
import pytest

from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.domain.applications import Application, TokenType
from dispatcher.domain.deliveries import (
    Acknowledged,
    Cause,
    Delivery,
    DeliveryState,
    Move,
    Reason,
    Settled,
    Unreachable,
    Withheld,
)
from dispatcher.domain.errors import Unavailable
from dispatcher.pipeline.deliver import Deliver
from dispatcher.pipeline.workers import LEASE
from dispatcher.ports import Signed
from tests.kit.clock import NOON, FakeClock
from tests.kit.rp_server import RpServer, answers, hangs, in_turn, then_closes
from tests.pipeline.stage import (
    ISSUER,
    PATIENCE,
    TERMS,
    FaultySigner,
    ScriptedSender,
    Stage,
    shop_at,
    with_delivery,
)

STALE = Unreachable(cause=Cause.STALE)
NOON_SECONDS = int(NOON.timestamp())


async def made(deliver: Deliver, delivery: Delivery) -> Settled:
    """Attempt *delivery*, within bounds."""
    with anyio.fail_after(PATIENCE):
        return await deliver(delivery)


async def test_a_token_reaches_the_application(stage: Stage) -> None:
    """The token is the application's, verifies by the published keys, and is what is recorded."""
    async with RpServer(answers(200)) as rp:
        delivery = await stage.lent(shop_at(rp.uri()), sub="alice", sid="s1")

        settled = await made(stage.deliver(), delivery)

    token = stage.opened(rp.requests[0])
    assert (token.claims["iss"], token.claims["aud"]) == (ISSUER, "shop")
    assert (token.claims["sub"], token.claims["sid"]) == ("alice", "s1")
    assert settled.attempt is not None
    assert settled.attempt.outcome == Acknowledged(status=200)
    assert settled.attempt.jti == token.claims["jti"]
    assert settled.attempt.kid == token.header["kid"]
    assert settled.settlement.move is Move.ACKNOWLEDGED


async def test_each_attempt_has_a_token_of_its_own(stage: Stage, clock: FakeClock) -> None:
    """A second attempt sends another jti, and iat and exp as they are then: none waits signed."""
    async with RpServer(answers(503)) as rp:
        delivery = await stage.lent(shop_at(rp.uri()))
        deliver = stage.deliver(terms=replace(TERMS, lifetime=timedelta(seconds=60)))

        await made(deliver, delivery)
        clock.advance(seconds=7)
        await made(deliver, delivery)

    first, second = (stage.opened(request).claims for request in rp.requests)
    assert first["jti"] != second["jti"]
    assert (first["iat"], first["exp"]) == (NOON_SECONDS, NOON_SECONDS + 60)
    assert (second["iat"], second["exp"]) == (NOON_SECONDS + 7, NOON_SECONDS + 67)


async def test_an_attempt_tells_when_it_began_and_how_long_it_took(
    stage: Stage, clock: FakeClock
) -> None:
    """The beginning is the wall clock's, the length the steady one's (a stand-in passes time)."""
    clock.set_wall_ahead(timedelta(hours=1))
    sender = ScriptedSender(Acknowledged(status=204), then=lambda: clock.advance(milliseconds=1500))
    delivery = await stage.lent(shop_at("https://shop.example/out"))

    settled = await made(stage.deliver(sender=sender), delivery)

    assert settled.attempt is not None
    assert settled.attempt.started_at == NOON + timedelta(hours=1)
    assert settled.attempt.duration == timedelta(seconds=1.5)


async def test_a_key_that_is_missing_costs_no_attempt(stage: Stage) -> None:
    """Where no key signs for the application, that is a fault of ours: nothing is sent or counted.

    The vault of this test has no RSA key.
    """
    async with RpServer(answers(200)) as rp:
        delivery = await stage.lent(shop_at(rp.uri(), algorithm="RS256"))
        settled = await made(stage.deliver(), delivery)
        await stage.store.settle([settled])

    (record,) = await stage.records()
    assert rp.requests == []
    assert settled.attempt is not None
    assert settled.attempt.outcome == Withheld(cause=Cause.SIGNER, detail="unavailable")
    assert settled.attempt.kid is None
    assert (record.state, record.attempt_count) == (DeliveryState.PENDING, 0)
    assert record.due_at == NOON + timedelta(seconds=1)


async def test_a_signer_in_trouble_withholds_for_as_long_as_it_is(
    stage: Stage, clock: FakeClock
) -> None:
    """Days of trouble with our own signer never use up a delivery's horizon (a stand-in raises)."""
    deliver = stage.deliver(signer=FaultySigner(Unavailable()))
    await stage.owe(shop_at("https://shop.example/out"))

    clock.advance(days=30)
    (delivery,) = await stage.store.claim(1, lease=LEASE)
    settled = await made(deliver, delivery)

    assert settled.settlement.move is Move.PUT_OFF


async def test_a_fault_that_nobody_thought_of_is_left_to_the_caller(stage: Stage) -> None:
    """What is no error of the house is not mistaken for a signer's trouble (a stand-in raises)."""
    deliver = stage.deliver(signer=FaultySigner(ZeroDivisionError()))
    delivery = await stage.lent(shop_at("https://shop.example/out"))

    with pytest.raises(ZeroDivisionError):
        await deliver(delivery)


async def deleted(store: SqliteStore, _: Application) -> None:
    """Remove the application."""
    await store.delete_application(shop_at().client_id)


async def switched_off(store: SqliteStore, application: Application) -> None:
    """Take the application's only URI away."""
    await store.replace_application(replace(application, urls=()))


async def unsubscribed(store: SqliteStore, application: Application) -> None:
    """Let the application subscribe to the two required initiators alone."""
    await store.replace_application(replace(application, mode=shop_custom().mode))


async def one_of_two_gone(store: SqliteStore, application: Application) -> None:
    """Take the URI away that the delivery is for."""
    await store.replace_application(replace(application, urls=application.urls[1:]))


def shop_custom() -> Application:
    """Return the application in mode custom."""
    return Application(client_id=shop_at().client_id, name="shop", document={})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (deleted, Reason.APPLICATION_DELETED),
        (switched_off, Reason.NO_URI),
        (unsubscribed, Reason.UNSUBSCRIBED),
        (one_of_two_gone, Reason.NO_URI),
    ],
)
async def test_what_is_no_longer_owed_is_called_off(
    stage: Stage,
    change: Callable[[SqliteStore, Application], Awaitable[None]],
    reason: Reason,
) -> None:
    """The registry has the last word when the token would be sent: nothing is, and it says why."""
    async with RpServer(answers(200)) as rp:
        application = shop_at(rp.uri("/a"), rp.uri("/b"))
        delivery = await stage.lent(application, initiator="password-changed")
        await change(stage.store, application)

        settled = await made(stage.deliver(), delivery)
        await stage.store.settle([settled])

    assert rp.requests == []
    assert (settled.attempt, settled.settlement.move) == (None, Move.CALLED_OFF)
    record = (await stage.records())[0]
    assert (record.state, record.reason) == (DeliveryState.CANCELLED, reason)


async def test_a_uri_replaced_while_in_flight_is_told_at_the_new_one(stage: Stage) -> None:
    """A delivery whose URI was replaced after it was claimed goes to the URI that came for it."""
    async with RpServer(answers(200)) as rp:
        application = shop_at(rp.uri("/old"))
        delivery = await stage.lent(application)
        await stage.store.replace_application(replace(application, urls=(rp.uri("/new"),)))

        await stage.store.settle([await made(stage.deliver(), delivery)])
        (again,) = await stage.store.claim(1, lease=LEASE)
        await stage.store.settle([await made(stage.deliver(), again)])

    assert [request.line for request in rp.requests] == ["POST /new HTTP/1.1"]
    assert await stage.states() == [DeliveryState.DELIVERED]


@pytest.mark.parametrize(
    ("passed", "requests"),
    [(timedelta(seconds=24.999), 1), (timedelta(seconds=25), 0), (timedelta(minutes=1), 0)],
)
async def test_a_token_goes_out_only_where_its_lease_outlasts_it(
    stage: Stage, clock: FakeClock, passed: timedelta, requests: int
) -> None:
    """Of a lease of 30 s over 5 s must be left, or the answer might come when it is another's."""
    async with RpServer(answers(200)) as rp:
        delivery = await stage.lent(shop_at(rp.uri()))
        clock.advance(passed)
        settled = await made(stage.deliver(), delivery)

    assert len(rp.requests) == requests
    assert settled.attempt is not None
    outcome = Acknowledged(status=200) if requests else Withheld(cause=Cause.LEASE)
    assert settled.attempt.outcome == outcome


async def test_nothing_new_goes_out_while_the_service_drains(stage: Stage) -> None:
    """What is not yet on its way when the service ends is given back untried, due at once."""
    async with RpServer(answers(200)) as rp:
        delivery = await stage.lent(shop_at(rp.uri()))
        deliver = stage.deliver()
        deliver.draining = True

        settled = await made(deliver, delivery)
        await stage.store.settle([settled])

    assert rp.requests == []
    assert (settled.attempt, settled.settlement.move) == (None, Move.RELEASED)
    assert [(record.state, record.due_at) for record in await stage.records()] == [
        (DeliveryState.PENDING, NOON)
    ]


async def test_a_drain_that_begins_while_a_token_is_signed_stops_it(stage: Stage) -> None:
    """The last look is after signing, which takes its time (a stand-in drains meanwhile)."""

    class SlowSigner:
        """A signer during whose work the drain begins."""

        async def sign(self, claims: Mapping[str, object], *, alg: str, typ: str | None) -> Signed:
            """Drain, then hand on."""
            deliver.draining = True
            return await stage.signer.sign(claims, alg=alg, typ=typ)

    async with RpServer(answers(200)) as rp:
        deliver = stage.deliver(signer=SlowSigner())

        settled = await made(deliver, await stage.lent(shop_at(rp.uri())))

    assert (rp.requests, settled.attempt) == ([], None)


async def test_a_kept_connection_that_has_ended_is_no_attempt(stage: Stage) -> None:
    """Over a connection that proves dead another token goes out at once, over a fresh one.

    One attempt is counted, that of the token which was answered.
    """
    async with RpServer(in_turn(answers(200), then_closes(b""), answers(200))) as rp:
        await stage.owe(shop_at(rp.uri()), events=2)
        first, second = await stage.store.claim(2, lease=LEASE)
        await stage.store.settle([await made(stage.deliver(), first)])

        settled = await made(stage.deliver(), second)
        await stage.store.settle([settled])

    _, lost, told = (stage.opened(request).claims["jti"] for request in rp.requests)
    assert [request.connection for request in rp.requests] == [0, 0, 1]
    assert lost != told
    assert settled.attempt is not None
    assert (settled.attempt.outcome, settled.attempt.jti) == (Acknowledged(status=200), told)
    assert [record.attempt_count for record in await stage.records()] == [1, 1]


async def test_there_is_one_second_try_and_no_third(stage: Stage) -> None:
    """A second connection that proves dead too is an attempt in vain (a stand-in says so)."""
    sender = ScriptedSender(STALE)
    delivery = await stage.lent(shop_at("https://shop.example/out"))

    settled = await made(stage.deliver(sender=sender), delivery)

    assert len(sender.tokens) == 2
    assert settled.attempt is not None
    assert settled.attempt.outcome == STALE
    assert settled.settlement.move is Move.PUT_OFF


async def test_no_second_try_begins_while_the_service_drains(stage: Stage) -> None:
    """What found a dead connection when the drain began is given back (a stand-in says so)."""
    sender = ScriptedSender(STALE, then=lambda: setattr(deliver, "draining", True))
    deliver = stage.deliver(sender=sender)

    settled = await made(deliver, await stage.lent(shop_at("https://shop.example/out")))

    assert len(sender.tokens) == 1
    assert (settled.attempt, settled.settlement.move) == (None, Move.RELEASED)


@pytest.mark.parametrize(
    ("own", "ours"),
    [(timedelta(seconds=0.05), timedelta(seconds=9)), (None, timedelta(seconds=0.05))],
)
async def test_an_attempt_takes_no_longer_than_the_application_allows(
    stage: Stage, own: timedelta | None, ours: timedelta
) -> None:
    """The application's own timeout counts, else the deployment's."""
    async with RpServer(hangs) as rp:
        delivery = await stage.lent(with_delivery(shop_at(rp.uri()), timeout=own))
        deliver = stage.deliver(terms=replace(TERMS, timeout=ours))

        with anyio.fail_after(5):
            settled = await deliver(delivery)

    assert settled.attempt is not None
    assert isinstance(settled.attempt.outcome, Unreachable)
    assert settled.attempt.outcome.cause is Cause.TIMEOUT


@pytest.mark.parametrize(
    ("own", "ours", "move"),
    [
        (timedelta(minutes=1), timedelta(hours=1), Move.GAVE_UP),
        (timedelta(hours=1), timedelta(minutes=1), Move.PUT_OFF),
        (None, timedelta(minutes=1), Move.GAVE_UP),
        (None, timedelta(hours=1), Move.PUT_OFF),
    ],
)
async def test_a_delivery_is_given_up_at_the_horizon_of_its_application(
    stage: Stage, clock: FakeClock, own: timedelta | None, ours: timedelta, move: Move
) -> None:
    """The application's own horizon counts, else the deployment's; nothing is given up before."""
    async with RpServer(answers(503)) as rp:
        await stage.owe(with_delivery(shop_at(rp.uri()), horizon=own))
        clock.advance(minutes=2)
        (delivery,) = await stage.store.claim(1, lease=LEASE)

        settled = await made(stage.deliver(terms=replace(TERMS, horizon=ours)), delivery)

    assert settled.settlement.move is move
    assert settled.settlement.reason is (Reason.HORIZON if move is Move.GAVE_UP else None)


async def test_jitter_only_ever_makes_the_next_attempt_later(stage: Stage) -> None:
    """The dice of the deployment decide how much of the 20 % is added to the wait."""
    async with RpServer(answers(503)) as rp:
        delivery = await stage.lent(shop_at(rp.uri()))

        settled = await made(stage.deliver(terms=replace(TERMS, jitter=lambda: 0.5)), delivery)

    assert settled.settlement.due_at == NOON + timedelta(seconds=1.1)


@pytest.mark.parametrize(
    ("application", "header"),
    [
        ({"algorithm": "ES256"}, {"alg": "ES256", "typ": "logout+jwt"}),
        ({"algorithm": "EdDSA"}, {"alg": "EdDSA", "typ": "logout+jwt"}),
        ({"token_type": TokenType.JWT}, {"alg": "ES256", "typ": "JWT"}),
        ({"token_type": TokenType.NONE}, {"alg": "ES256"}),
    ],
)
@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")  # EdDSA is now Ed25519
async def test_a_token_is_of_the_kind_that_the_application_wants(
    stage: Stage, application: dict[str, Any], header: dict[str, str]
) -> None:
    """Algorithm and typ are the application's own; without one no typ stands at all."""
    token_type = application.pop("token_type", TokenType.LOGOUT_JWT)
    async with RpServer(answers(200)) as rp:
        shop = with_delivery(shop_at(rp.uri(), **application), token_type=token_type)

        await made(stage.deliver(), await stage.lent(shop))

    token = stage.opened(rp.requests[0])
    assert token.header == {**header, "kid": token.header["kid"]}
