"""Recovery: what was acknowledged survives whatever ends the process."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from dispatcher.domain.deliveries import DeliveryState
from dispatcher.domain.events import Receipt
from keys import Seal
from tests.conftest import MASTER_KEY
from tests.contract.steps import claim, match_all, owe, records, register
from tests.contract.stores import STORES, Opener, Reopen, Store
from tests.kit.builders import a_join, an_application, an_event, put_off
from tests.kit.clock import FakeClock


@pytest.mark.one_process("where others share the store, leases end by the clock alone")
async def test_what_was_in_flight_is_due_at_once(store: Store, reopen: Reopen) -> None:
    """After a restart nobody waits for the leases of the process that is gone."""
    await owe(store, "shop")
    (before,) = await claim(store)

    after = await reopen()

    (record,) = await records(after)
    assert record.state is DeliveryState.PENDING
    assert [delivery.id for delivery in await claim(after)] == [before.id]


@pytest.mark.one_process("where others share the store, leases end by the clock alone")
async def test_a_restart_frees_the_lanes(store: Store, reopen: Reopen) -> None:
    """What was in flight no longer counts against its application's cap."""
    await register(store, an_application("shop", max_in_flight=2))
    await owe(store, "shop", events=4)
    await claim(store)

    after = await reopen()

    assert len(await claim(after)) == 2


async def test_a_restart_sends_nothing_early(
    store: Store, reopen: Reopen, clock: FakeClock
) -> None:
    """What was put off waits for its time, restart or not."""
    await owe(store, "shop")
    later = clock.steady() + timedelta(minutes=5)
    await store.settle([put_off(one, until=later) for one in await claim(store)])

    after = await reopen()
    early = await claim(after)
    clock.advance(minutes=5)

    assert early == []
    assert len(await claim(after)) == 1


async def test_a_waiting_match_survives(store: Store, reopen: Reopen) -> None:
    """An event that was accepted is matched after a restart, late joins too."""
    await register(store, an_application("shop"))
    await store.accept([an_event(sid="s1")])
    await store.accept([a_join("shop", sid="s1")])

    after = await reopen()
    await match_all(after)

    assert [record.client_id for record in await records(after)] == ["shop"]


ACCEPT_FOR_EVER = """
import asyncio, sys
from pathlib import Path
from keys import Seal
from tests.conftest import MASTER_KEY
from tests.contract.stores import STORES
from tests.kit.builders import an_event
from tests.kit.clock import FakeClock

async def main(kind, folder):
    store = await STORES[kind](Path(folder), clock=FakeClock(), seal=Seal([MASTER_KEY]))

    async def source(name):
        number = 0
        while True:
            number += 1
            (receipt,) = await store.accept([an_event(id=f"{name}-{number}", clients=[])])
            print(receipt.id, receipt.event_id, flush=True)

    await asyncio.gather(*(source(name) for name in "abcdefgh"))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("kind", list(STORES))
async def test_a_killed_process_loses_nothing_that_it_acknowledged(folder: Path, kind: str) -> None:
    """Whatever was acknowledged before a kill -9 is there afterwards, under the same id."""
    acknowledged = dict(_accept_until_killed(kind, folder, enough=400))
    opener: Opener = STORES[kind]

    store = await opener(folder, clock=FakeClock(), seal=Seal([MASTER_KEY]))
    repeats: list[Receipt] = []
    for name in acknowledged:
        repeats += await store.accept([an_event(id=name, clients=[])])
    await store.close()

    assert len(acknowledged) >= 400
    assert {repeat.id: repeat.event_id for repeat in repeats} == acknowledged
    assert all(repeat.repeated for repeat in repeats)


def _accept_until_killed(kind: str, folder: Path, *, enough: int) -> list[tuple[str, str]]:
    """Accept in a process of its own, and kill it in the middle of its work."""
    process = subprocess.Popen(
        [sys.executable, "-c", ACCEPT_FOR_EVER, kind, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": "."},
    )
    with process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(enough)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
    pairs = [tuple(line.split()) for line in lines if line.endswith("\n")]
    return [(pair[0], pair[1]) for pair in pairs]
