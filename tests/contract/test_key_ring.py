"""The sealed key ring: one, replaced as a whole, by whoever knew its version."""

import anyio

from keys import SealedRing
from tests.contract.stores import Reopen, Store


async def test_there_is_no_ring_at_first(store: Store) -> None:
    """A new store has no ring."""
    ring = await store.load()

    assert ring is None


async def test_a_ring_is_kept(store: Store, reopen: Reopen) -> None:
    """What was swapped in is loaded, at once and after a restart."""
    swapped = await store.swap(SealedRing(1, "one"), if_version=0)
    at_once = await store.load()

    after = await reopen()

    assert swapped
    assert at_once == await after.load() == SealedRing(1, "one")


async def test_a_ring_is_replaced_by_who_knew_it(store: Store) -> None:
    """A swap needs the version that is there; another changes nothing."""
    first = await store.swap(SealedRing(1, "one"), if_version=0)

    late = await store.swap(SealedRing(1, "other"), if_version=0)
    wrong = await store.swap(SealedRing(9, "wrong"), if_version=8)
    right = await store.swap(SealedRing(2, "two"), if_version=1)

    assert (first, late, wrong, right) == (True, False, False, True)
    assert await store.load() == SealedRing(2, "two")


async def test_of_many_at_once_one_succeeds(store: Store) -> None:
    """However many swap at one moment, exactly one is told that it did."""
    told: list[bool] = []

    async def swap(number: int) -> None:
        told.append(await store.swap(SealedRing(1, str(number)), if_version=0))

    async with anyio.create_task_group() as group:
        for number in range(10):
            group.start_soon(swap, number)

    assert sorted(told) == [False] * 9 + [True]
