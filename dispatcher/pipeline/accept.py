"""Accepting: what a source sent is on disk, and only then is it answered."""

from collections.abc import Sequence

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
