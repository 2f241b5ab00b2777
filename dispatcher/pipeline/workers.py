"""The workers: they keep matching, delivering, settling and tidying, and end in order.

A worker that stumbles is started again after a pause, and says so; a fault of ours costs no
application anything. Work in flight is bounded by slots: a slot is taken when a delivery is claimed
and is free again when its settlement is on disk. Each slot has a carrier, a task that makes one
attempt after another: to start a task for each attempt would cost more than its POST.

No application has more than a quarter of the slots, whatever its own cap, and the last quarter is
kept for first attempts: what has failed before, and is the likelier to take long, never fills all.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import TypeAlias

import anyio
from anyio.lowlevel import checkpoint_if_cancelled
from anyio.streams.memory import MemoryObjectSendStream

from dispatcher.domain.deliveries import (
    Attempt,
    Cause,
    Delivery,
    DeliveryId,
    LeaseId,
    Settled,
    Withheld,
    decide,
)
from dispatcher.domain.retry import RetryPolicy
from dispatcher.pipeline.deliver import Deliver, given_back
from dispatcher.pipeline.handover import Handover
from dispatcher.pipeline.match import Match
from dispatcher.pipeline.settle import Settler
from dispatcher.pipeline.upkeep import Upkeep
from dispatcher.pipeline.waiting import Waiting
from dispatcher.ports import Clock, Queue, Telemetry

LeaseKey: TypeAlias = tuple[DeliveryId, LeaseId]
Todo: TypeAlias = Handover[Delivery]
Finished: TypeAlias = MemoryObjectSendStream[Settled]

LEASE = timedelta(seconds=30)
POLL = timedelta(seconds=1)
"""How long a missed hint can hold anything up."""
PAUSE_AFTER_FAULT = timedelta(seconds=1)
LAST_WRITES = timedelta(seconds=5)
"""How long, at the very end, a store that does not answer is still asked to settle."""


class Workers:
    """Everything that happens without being asked for."""

    def __init__(
        self,
        *,
        queue: Queue,
        deliver: Deliver,
        upkeep: Upkeep,
        waiting: Waiting,
        telemetry: Telemetry,
        clock: Clock,
        max_in_flight: int,
    ) -> None:
        self._queue = queue
        self._deliver = deliver
        self._upkeep = upkeep
        self._waiting = waiting
        self._telemetry = telemetry
        self._clock = clock
        self._free = max_in_flight
        self._slots = max_in_flight
        self._retries = max_in_flight - max_in_flight // 4
        self._freed = anyio.Event()
        self._under_way: dict[LeaseKey, Delivery] = {}
        self._carrying = anyio.CancelScope()
        self._settling = anyio.CancelScope()
        self._stopping = anyio.CancelScope()

    async def run(self) -> None:
        """Work until ``drain`` has ended it."""
        send, receive = anyio.create_memory_object_stream[Settled](self._slots)
        settler = Settler(queue=self._queue, telemetry=self._telemetry, freed=self._free_slots)
        with receive, self._settling:
            async with anyio.create_task_group() as settling:
                settling.start_soon(settler.run, receive)
                with send:
                    await self._work(send)
                    self._give_back_the_rest(send)

    async def attend(self) -> None:
        """Leave the work to other processes until ``drain``, and do what each owes by itself.

        Whoever waits here is woken here, and what is waiting is told by each.
        """
        with self._stopping:
            async with anyio.create_task_group() as loops:
                loops.start_soon(self._forever, "upkeep", self._upkeep.tell)
                loops.start_soon(self._forever, "waiting", self._waiting.run)

    async def drain(self, grace: timedelta) -> None:
        """Claim nothing more, give back what is not on its way, and wait for what is.

        What has no answer after *grace* is given back too: it will be sent again, and so will what
        a store that does not answer never got to know.
        """
        self._deliver.draining = True
        self._waiting.close()
        self._stopping.cancel()
        with anyio.move_on_after(grace.total_seconds()):
            await self._all_slots_free()
        self._carrying.cancel()
        with anyio.move_on_after(LAST_WRITES.total_seconds()):
            await self._all_slots_free()
            return
        self._settling.cancel()

    async def _work(self, finished: Finished) -> None:
        todo: Todo = Handover()
        with self._carrying:
            async with anyio.create_task_group() as carriers:
                for _ in range(self._slots):
                    carriers.start_soon(self._carry, todo, finished)
                with self._stopping:
                    await self._loops(todo)
                todo.close()

    async def _loops(self, todo: Todo) -> None:
        async with anyio.create_task_group() as loops:
            loops.start_soon(self._forever, "match", self._match)
            loops.start_soon(self._forever, "upkeep", self._upkeep.tell)
            loops.start_soon(self._forever, "pruning", self._upkeep.tidy)
            loops.start_soon(self._forever, "waiting", self._waiting.run)
            loops.start_soon(self._forever, "claim", partial(self._claim, todo))

    def _give_back_the_rest(self, finished: Finished) -> None:
        """Give back what was claimed and has not come to an end: it is sent again."""
        for delivery in self._under_way.values():
            finished.send_nowait(given_back(delivery, now=self._clock.steady()))

    async def _forever(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - whatever it is, the work must go on
                self._telemetry.worker_failed(name, error)
                await anyio.sleep(PAUSE_AFTER_FAULT.total_seconds())

    async def _match(self) -> None:
        match, seen = Match(queue=self._queue, telemetry=self._telemetry), 0
        while True:
            if await match():
                self._waiting.stir()
            else:
                seen = await self._queue.wait(seen, at_most=POLL)

    async def _claim(self, todo: Todo) -> None:
        seen = 0
        while True:
            await self._a_free_slot()
            with anyio.CancelScope(shield=True):  # or what was lent to us would be forgotten
                claimed = await self._queue.claim(
                    self._free,
                    lease=LEASE,
                    retries=self._retries,
                    per_lane=max(1, self._slots // 4),
                )
            self._free -= len(claimed)
            for delivery in claimed:
                self._retries -= _is_retry(delivery)
                self._under_way[_lent(delivery)] = delivery
                todo.put(delivery)
            if not claimed:
                seen = await self._queue.wait(seen, at_most=POLL)

    async def _carry(self, todo: Todo, finished: Finished) -> None:
        while delivery := await todo.take():
            settled = await self._settlement(delivery)
            del self._under_way[_lent(delivery)]
            finished.send_nowait(settled)
            self._tell(settled)

    def _tell(self, settled: Settled) -> None:
        """Tell of an attempt, after it was handed over: what goes wrong here changes nothing."""
        if settled.attempt is None:
            return
        try:
            self._telemetry.attempted(settled)
        except Exception as error:  # noqa: BLE001 - it is only the telling that went wrong
            self._telemetry.worker_failed("telemetry", error)

    async def _settlement(self, delivery: Delivery) -> Settled:
        try:
            return await self._deliver(delivery)
        except Exception as error:  # noqa: BLE001 - a fault of ours is never charged to anyone
            self._telemetry.worker_failed("deliver", error)
            return _withheld(delivery, clock=self._clock)

    async def _a_free_slot(self) -> None:
        await checkpoint_if_cancelled()  # a claim is shielded: what ends us is met before the next
        while not self._free:
            self._freed = anyio.Event()
            await self._freed.wait()

    async def _all_slots_free(self) -> None:
        while self._free < self._slots:
            self._freed = anyio.Event()
            await self._freed.wait()

    def _free_slots(self, batch: Sequence[Settled]) -> None:
        self._free += len(batch)
        self._retries += sum(_is_retry(settled.delivery) for settled in batch)
        self._freed.set()
        self._waiting.stir()


def _lent(delivery: Delivery) -> LeaseKey:
    """Return what is ours alone: after its lease a delivery may be lent out once more."""
    return delivery.id, delivery.lease


def _is_retry(delivery: Delivery) -> bool:
    """Whether *delivery* was attempted before, since its creation or since it was asked for."""
    return delivery.tries > 0


def _withheld(delivery: Delivery, *, clock: Clock) -> Settled:
    outcome = Withheld(cause=Cause.INTERNAL)
    attempt = Attempt(started_at=clock.now(), duration=timedelta(), outcome=outcome)
    again = decide(outcome, delivery, policy=RetryPolicy(), now=clock.steady(), jitter=0)
    return Settled(delivery, attempt, again)
