"""Accepting: what a source sent is on disk, and only then is it answered."""

from collections.abc import Sequence

from dispatcher.domain.errors import Conflict
from dispatcher.domain.events import Intake, Receipt
from dispatcher.ports import Queue, Telemetry


async def accept(
    batch: Sequence[Intake], *, queue: Queue, telemetry: Telemetry
) -> Sequence[Receipt]:
    """Store the whole *batch* or nothing of it, and return one receipt for each.

    Raises Conflict, DiskReserve or StoreUnavailable; nothing is stored then.
    """
    receipts = await queue.accept(batch)
    for intake, receipt in zip(batch, receipts, strict=True):
        telemetry.accepted(intake, repeated=receipt.repeated)
    return receipts


MOST_AT_ONCE = 1000
"""How many intakes one commit may hold, where nothing asks that they be stored together."""


async def accept_each(
    batch: Sequence[Intake], *, queue: Queue, telemetry: Telemetry
) -> Sequence[Receipt | None]:
    """Store what can be stored: None for each that contradicts what is stored already.

    For senders that bring what has happened in batches, and would bring a batch that is refused
    again and again. Raises DiskReserve or StoreUnavailable; what came before is stored then.
    """
    receipts: list[Receipt | None] = []
    for start in range(0, len(batch), MOST_AT_ONCE):
        part = batch[start : start + MOST_AT_ONCE]
        try:
            receipts += await accept(part, queue=queue, telemetry=telemetry)
        except Conflict:
            receipts += [await _accept_one(one, queue, telemetry) for one in part]
    return receipts


async def _accept_one(intake: Intake, queue: Queue, telemetry: Telemetry) -> Receipt | None:
    try:
        [receipt] = await accept([intake], queue=queue, telemetry=telemetry)
    except Conflict:
        return None
    return receipt
