"""Retrying: a person asks for everything once more that failed for one cause."""

from collections import Counter
from dataclasses import replace

from dispatcher.domain.deliveries import Retrial
from dispatcher.domain.ledger import MOST_PER_PAGE, DeliveryFilter
from dispatcher.ports import Ledger, Queue


async def retry_all(wanted: DeliveryFilter, *, queue: Queue, ledger: Ledger) -> Counter[Retrial]:
    """Retry every delivery that *wanted* names, a page at a time; count what came of them.

    From the newest to the oldest, each once: what fails again meanwhile is not met again, and no
    page holds up what else is to be written.
    """
    counts: Counter[Retrial] = Counter()
    page = await ledger.deliveries(replace(wanted, take=MOST_PER_PAGE))
    while page:
        counts.update(await queue.retry([record.id for record in page]))
        before = page[-1].id
        page = await ledger.deliveries(replace(wanted, take=MOST_PER_PAGE, before=before))
    return counts
