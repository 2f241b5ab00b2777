"""Nothing that was accepted is lost: the service is killed under load, again and again."""

import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.journeys.bookkeeping import books
from tests.kit.processes import Received, SinkProcess, a_producer, a_sink, history_of
from tests.kit.registration import a_client
from tests.kit.service import Service

ALGORITHMS = {"crm": "RS256", "shop": "ES256", "wiki": "PS256"}
IN_FLIGHT_PER_APPLICATION = 16
PATIENCE_SECONDS = 90.0
WAITING = (("deliveries", "pending"), ("deliveries", "in_flight"), ("events", "accepted"))


def a_service(folder: Path, ports: Sequence[int]) -> Service:
    """Return a service that is to tell three applications."""
    applications = [
        a_client(client_id, f"http://127.0.0.1:{port}/logout", algorithm=algorithm)
        for (client_id, algorithm), port in zip(ALGORITHMS.items(), ports, strict=True)
    ]
    return Service(folder, applications)


def an_order(service: Service, events: int) -> dict[str, object]:
    """Return the order to send so many events, each of a session of its own."""
    clients = [{"client_id": client_id} for client_id in ALGORITHMS]
    bodies = [
        json.dumps(
            {
                "id": f"s{number}",
                "initiator": "session-revoked",
                "sub": f"user-{number}",
                "sid": f"s{number}",
                "clients": clients,
            }
        )
        for number in range(events)
    ]
    return {
        "url": service.webhook_url,
        "secret": service.secret,
        "connections": 16,
        "rate": 220,
        "bodies": bodies,
    }


def killed_under_load(
    service: Service, sink: SinkProcess, *, events: int, kills: int, launcher: Sequence[str] = ()
) -> list[str]:
    """Kill the service *kills* times under load; return the ids that were accepted."""
    dice = random.Random(7)
    service.start(*launcher)
    with a_producer(an_order(service, events)) as producer:
        for _ in range(kills):
            time.sleep(dice.uniform(0.3, 0.8))  # the load goes on meanwhile
            service.kill()
            service.start(*launcher)
        history = history_of(producer)
    sink.heal()
    accepted = history["accepted"]
    assert isinstance(accepted, list)
    return accepted


def until_nothing_waits(service: Service) -> None:
    """Return when no delivery is pending or in flight and no event waits to be matched."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with service.api() as api:
        while time.monotonic() < deadline:
            if not any(_listed(api, *wanted) for wanted in WAITING):
                return
            time.sleep(0.25)
    raise AssertionError("deliveries are still waiting")


def _listed(api: httpx2.Client, what: str, state: str) -> object:
    answer = api.get(f"/api/v2/{what}", params={"state": state, "take": 1})
    return answer.raise_for_status().json()[what]


def unverified(service: Service, received: Sequence[Received]) -> list[Received]:
    """Return the tokens that a second implementation does not verify by the published keys."""
    keys = KeySet.import_key_set(httpx2.get(f"{service.url}/.well-known/jwks.json").json())
    bad = []
    for one in received:
        try:
            jwt.decode(one.token, keys, algorithms=[*ALGORITHMS.values()])
        except Exception:  # noqa: BLE001 - whatever the reason, it is not verified
            bad.append(one)
    return bad


@pytest.mark.timeout(300)
def test_a_service_killed_under_load_loses_nothing(tmp_path: Path) -> None:
    """Each logout accepted arrives though the service is killed ten times, and is told in truth.

    What comes twice is explained: by the replies that were lost, and by what was in flight at each
    kill.
    """
    with (
        a_sink(tmp_path, applications=3, unavailable=0.15, lost=0.05) as sink,
        a_service(tmp_path, sink.ports) as service,
    ):
        accepted = killed_under_load(service, sink, events=2000, kills=10)
        until_nothing_waits(service)
        received = sink.received()
        kept = books(accepted, list(ALGORITHMS), received)
        forged = unverified(service, received)
        exit_code = service.stop()

    lost_replies = sum(one.status == 0 for one in received)
    in_flight = 10 * IN_FLIGHT_PER_APPLICATION * len(ALGORITHMS)
    print(
        f"{len(accepted)} accepted, {len(kept.owed)} owed, {len(kept.missing)} missing, "
        f"{kept.duplicates} came twice, {lost_replies} replies lost"
    )
    assert len(accepted) == 2000
    assert kept.missing == frozenset()
    assert kept.unasked == frozenset()
    assert kept.duplicates <= lost_replies + in_flight
    assert forged == []
    assert exit_code == 0


@pytest.mark.timeout(300)
def test_the_journey_sees_an_event_that_was_answered_before_its_commit(tmp_path: Path) -> None:
    """With the durable commit removed the same journey misses logouts: it is not blind.

    The applications answer only at the end, so that no token is out before its event is lost.
    """
    sabotaged = (sys.executable, "-m", "tests.journeys.sabotage")
    with (
        a_sink(tmp_path, applications=3, unavailable=1.0) as sink,
        a_service(tmp_path, sink.ports) as service,
    ):
        accepted = killed_under_load(service, sink, events=300, kills=3, launcher=sabotaged)
        service.kill()
        service.start()
        until_nothing_waits(service)
        kept = books(accepted, list(ALGORITHMS), sink.received())

    assert kept.missing
