"""Retrying: a person's wish is carried out once, however much there is of it."""

from collections import Counter
from collections.abc import Sequence

import anyio

from dispatcher.domain.deliveries import DeliveryId, DeliveryState, Reason, Retrial
from dispatcher.domain.events import ClientId
from dispatcher.domain.ledger import DeliveryFilter
from dispatcher.pipeline.retry import retry_all
from dispatcher.pipeline.workers import LEASE
from tests.kit.builders import an_application, gave_up
from tests.kit.rp_server import RpServer, answers
from tests.pipeline.stage import PATIENCE, AQueue, Stage, shop_at, until_asked, until_true
from tests.pipeline.test_workers import at_work

FAILED = DeliveryFilter(client_id=ClientId("shop"), state=DeliveryState.FAILED)


class FailingAgain(AQueue):
    """A queue on which whatever is retried has failed again before anybody looks."""

    async def retry(self, ids: Sequence[DeliveryId]) -> Sequence[Retrial]:
        """Hand on, and let it fail."""
        retrials = await self.real.retry(ids)
        await fail_all(self)
        return retrials


async def fail_all(queue: AQueue) -> None:
    """Let everything fail that is due."""
    while claimed := await queue.claim(1000, lease=LEASE):
        await queue.settle([gave_up(delivery) for delivery in claimed])


async def test_what_failed_is_told_after_all(stage: Stage) -> None:
    """An application that refused is told once a person asks, at the URI that it has then."""
    await stage.owe(shop_at("https://old.example/bcl"))
    await fail_all(AQueue(stage.store))
    async with RpServer(answers(200)) as rp, at_work(stage.workers()):
        await stage.store.replace_application(shop_at(rp.uri()))

        counts = await retry_all(FAILED, queue=stage.store, ledger=stage.store)

        await until_asked(rp)
        await until_true(lambda: all_are(stage, DeliveryState.DELIVERED))
    (record,) = await stage.records()
    assert counts == Counter({Retrial.RETRIED: 1})
    assert (record.attempt_count, len(rp.requests)) == (2, 1)


async def all_are(stage: Stage, state: DeliveryState) -> bool:
    """Whether every delivery is in *state*."""
    return set(await stage.states()) == {state}


async def test_what_fails_again_is_not_retried_again(stage: Stage) -> None:
    """Everything is retried once: what has failed again meanwhile does not make it endless."""
    await stage.owe(an_application("shop", max_in_flight=256), events=250)
    queue = FailingAgain(stage.store)
    await fail_all(queue)

    with anyio.fail_after(PATIENCE):
        counts = await retry_all(FAILED, queue=queue, ledger=stage.store)

    assert counts == Counter({Retrial.RETRIED: 250})
    assert {record.attempt_count for record in await stage.records()} == {2}
    assert {record.reason for record in await stage.records()} == {Reason.REFUSED}
