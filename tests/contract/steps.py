"""Steps that most tests of the contract take, in the words of the domain."""

from collections.abc import Sequence
from datetime import timedelta

from dispatcher.domain.applications import Application
from dispatcher.domain.deliveries import Delivery
from dispatcher.domain.events import Intake, Receipt
from dispatcher.domain.ledger import DeliveryFilter, DeliveryRecord
from dispatcher.domain.matching import Matched, match
from tests.contract.stores import Store
from tests.kit.builders import an_application, an_event

LEASE = timedelta(seconds=30)


async def register(store: Store, *applications: Application) -> None:
    """Add *applications* to the registry."""
    for application in applications:
        await store.create_application(application)


async def accept(store: Store, intake: Intake) -> Receipt:
    """Store one intake."""
    return (await store.accept([intake]))[0]


async def match_all(store: Store) -> Sequence[Matched]:
    """Match every event that waits for it."""
    return await store.match(1000, match)


async def claim(store: Store, limit: int = 100) -> Sequence[Delivery]:
    """Lend out what is due."""
    return await store.claim(limit, lease=LEASE)


async def owe(store: Store, *client_ids: str, events: int = 1) -> None:
    """Make *events* that each concern all of *client_ids*, which are registered where need be."""
    for client_id in client_ids:
        if client_id not in store.applications:
            await register(store, an_application(client_id))
    await store.accept([an_event(sid="s1", clients=client_ids) for _ in range(events)])
    await match_all(store)


async def one_in_flight(store: Store) -> Delivery:
    """Return a delivery that was just lent out."""
    await owe(store, "shop")
    return (await claim(store))[0]


async def records(store: Store) -> Sequence[DeliveryRecord]:
    """Return all deliveries, oldest first."""
    return list(reversed(await store.deliveries(DeliveryFilter(take=100))))


async def told(store: Store) -> set[tuple[str, str | None]]:
    """Return whom deliveries are for: client_id and sid."""
    return {(record.client_id, record.sid) for record in await records(store)}
