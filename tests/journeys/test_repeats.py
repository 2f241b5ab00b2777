"""A storm of repeats: what is told again and again, from all sides at once, is told once."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2
import pytest
from anyio import to_thread

from tests.kit.bookkeeping import claims_of
from tests.kit.processes import a_sink
from tests.kit.service import Service
from tests.kit.steps import a_service, an_event, signed, until, until_nothing_waits, uris_of

WEBHOOKS, CONNECTIONS = 200, 8


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


class Storm:
    """The same webhooks, byte for byte, sent by several connections at the same time."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._requests = [signed(service, an_event(number, "crm")) for number in range(WEBHOOKS)]
        self.statuses: Counter[int] = Counter()
        self.event_ids: defaultdict[str, set[str]] = defaultdict(set)

    async def blow(self) -> None:
        """Send every webhook once over each connection, all of them in the same order."""
        async with self._connections() as connections, anyio.create_task_group() as tasks:
            for connection in connections:
                tasks.start_soon(self._send_all, connection)

    @asynccontextmanager
    async def _connections(self) -> AsyncIterator[Sequence[httpx2.AsyncClient]]:
        """Lend the connections."""
        connections = [httpx2.AsyncClient() for _ in range(CONNECTIONS)]
        yield connections
        for connection in connections:
            await connection.aclose()

    async def _send_all(self, connection: httpx2.AsyncClient) -> None:
        """Send every webhook once, one after the other."""
        for request in self._requests:
            answer = await connection.post(self._service.webhook_url, **request)
            self.statuses[answer.status_code] += 1
            told = answer.json()
            self.event_ids[told["id"]].add(told["event_id"])


@pytest.mark.timeout(180)
async def test_a_storm_of_repeats_makes_one_event_and_one_token_of_each(tmp_path: Path) -> None:
    """Each of 200 webhooks that come 24 times gets one event id, ever, and one token.

    A third of them come at once with the first, a third when all was delivered, and a third after
    the service was killed and started again.
    """
    with a_sink(tmp_path, applications=1) as sink:
        with a_service(tmp_path, uris_of(sink.ports)) as service:
            await to_thread.run_sync(service.start)
            storm = Storm(service)
            await storm.blow()
            await to_thread.run_sync(until, lambda: sink.count() >= WEBHOOKS)
            await to_thread.run_sync(until_nothing_waits, service)
            await storm.blow()
            await to_thread.run_sync(until_nothing_waits, service)
            service.kill()
            await to_thread.run_sync(service.start)
            await storm.blow()
            await to_thread.run_sync(until_nothing_waits, service)
            repeats = service.metric("dispatcher_events_accepted_total{")
            await to_thread.run_sync(service.stop)
        received = sink.received()

    told = Counter(str(claims_of(one.token)["sid"]) for one in received)
    expected = {f"s{number}" for number in range(WEBHOOKS)}
    event_ids = [event_id for ids in storm.event_ids.values() for event_id in ids]
    assert storm.statuses == {202: 3 * WEBHOOKS * CONNECTIONS}
    assert storm.event_ids.keys() == expected
    assert len(event_ids) == len(set(event_ids)) == WEBHOOKS
    assert told == dict.fromkeys(expected, 1)
    assert repeats == WEBHOOKS * CONNECTIONS
