"""An OP holds its redirect until the applications have answered: the real service, seen from it."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from anyio import to_thread
from standardwebhooks.webhooks import Webhook

from tests.kit.rp_server import Peer, RpServer, answers, hangs
from tests.kit.service import Service
from tests.kit.steps import a_service, an_event, until


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio, as the applications' servers do."""
    return "asyncio"


def signed(service: Service, event: dict[str, Any], *, wait: int) -> dict[str, Any]:
    """Return a webhook whose source would wait so many seconds."""
    body, now = json.dumps(event), datetime.now(UTC)
    headers = {
        "webhook-id": event["id"],
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(service.secret).sign(event["id"], now, body),
        "content-type": "application/json",
        "prefer": f"wait={wait}",
    }
    return {"content": body, "headers": headers, "timeout": 60}


async def test_the_op_is_answered_when_all_applications_have_answered(tmp_path: Path) -> None:
    """The answer comes after every application was told, and says what came of each."""
    heard: list[float] = []

    async def slowly(peer: Peer) -> None:
        await anyio.sleep(0.3)
        heard.append(time.monotonic())
        await answers(200)(peer)

    async with RpServer(slowly) as slow, RpServer(answers(503)) as ill:
        with a_service(tmp_path, [slow.uri(), ill.uri()]) as service:
            await to_thread.run_sync(service.start)
            async with httpx2.AsyncClient() as op:
                event = an_event(1, "crm", "shop")
                answer = await op.post(service.webhook_url, **signed(service, event, wait=20))
            answered = time.monotonic()
            await to_thread.run_sync(service.stop)

    states = {one["client_id"]: one["state"] for one in answer.json()["deliveries"]}
    assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=20")
    assert states == {"crm": "delivered", "shop": "pending"}
    assert len(heard) == 1
    assert heard[0] <= answered


async def test_an_op_that_waits_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """When the service is told to end, who waits is answered 202, and nothing is lost."""
    answered: list[httpx2.Response] = []
    async with RpServer(hangs) as dead:
        with a_service(tmp_path, [dead.uri()], GRACE="1s") as service:
            await to_thread.run_sync(service.start)

            async def wait() -> None:
                async with httpx2.AsyncClient() as op:
                    webhook = signed(service, an_event(1, "crm"), wait=30)
                    answered.append(await op.post(service.webhook_url, **webhook))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                await to_thread.run_sync(until, lambda: bool(dead.requests))
                exit_code = await to_thread.run_sync(service.stop)

    assert exit_code == 0
    assert [answer.status_code for answer in answered] == [202]
