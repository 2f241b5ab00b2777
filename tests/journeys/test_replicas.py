"""Replicas on one PostgreSQL: one is killed under load, and nothing is missing."""

import base64
import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

import httpx2
import pytest

from dispatcher.adapters.clock import SystemClock
from dispatcher.adapters.postgres import PostgresStore
from keys import KeyInfo, Place, Seal, Vault
from tests.kit import short_leases
from tests.kit.bookkeeping import books
from tests.kit.folders import a_folder
from tests.kit.pgbouncer import Pooler
from tests.kit.postgres import Server
from tests.kit.processes import SinkProcess, a_producer, a_sink, history_of
from tests.kit.replicas import command, replicas
from tests.kit.service import Service, free_port
from tests.kit.steps import (
    an_event,
    an_order,
    signed,
    status_of,
    told,
    until,
    until_nothing_waits,
)
from tests.lab.kills import ALGORITHMS, EVENTS_PER_SECOND, a_service


@pytest.fixture
def url(postgres: Server) -> Iterator[str]:
    """Return the URL of a database in which nothing is yet."""
    with postgres.database() as url:
        yield url


@pytest.fixture(params=["direct", "pgbouncer", "pgbouncer alone"])
def reached(request: pytest.FixtureRequest, url: str) -> Mapping[str, str]:
    """Return how replicas reach the store: without a pooler, or with one and a way past it."""
    if request.param == "direct":
        return {"DISPATCHER_STORE": url}
    pooler: Pooler = request.getfixturevalue("pooler")
    through = {"DISPATCHER_STORE": pooler.url(url)}
    return through if "alone" in request.param else {**through, "DISPATCHER_POSTGRES_DIRECT": url}


@contextmanager
def on_shift(
    reached: Mapping[str, str], sink: SinkProcess, folder: Path
) -> Iterator[list[Service]]:
    """Run one replica that takes webhooks and two that deliver, on a store that is made ready."""
    first = a_service(folder, sink.ports)
    first.environment = {
        **reached,
        "DISPATCHER_ATTEMPT_TIMEOUT": "1",
        short_leases.SECONDS: "6",
    }
    assert "run `dispatcher migrate` once" in command(first, "serve").stderr
    url, roles = reached["DISPATCHER_STORE"], ("api", "worker", "worker")
    with replicas(first, url, roles, short_leases.LAUNCHER) as running:
        yield running


def test_a_killed_replica_is_made_up_for(reached: Mapping[str, str], tmp_path: Path) -> None:
    """One takes the webhooks, two deliver; one of these is killed under load, and all arrive.

    Also where they share three connections of a PgBouncer.

    What it had in flight is claimed by the other one when its leases end.
    """
    with (
        a_sink(tmp_path, applications=3, lost=0.02) as sink,
        on_shift(reached, sink, tmp_path) as (api, killed, worker),
    ):
        order = an_order(api, map(an_event, range(400)), rate=EVENTS_PER_SECOND)
        no_webhooks = httpx2.post(killed.webhook_url).status_code
        with a_producer(order) as producer:
            time.sleep(1)  # the load goes on meanwhile
            killed.kill()
            accepted = history_of(producer)["accepted"]
        until_nothing_waits(api)
        assert isinstance(accepted, list)
        kept = books(accepted, list(ALGORITHMS), sink.received())
        attempts = api.metric("dispatcher_attempts_total")
        exits = [service.stop() for service in (api, worker)]

    assert (no_webhooks, attempts) == (404, 0)
    assert len(accepted) == 400
    assert kept.missing == frozenset()
    assert kept.unasked == frozenset()
    assert exits == [0, 0]


def test_who_waits_at_one_replica_hears_what_another_has_done(url: str, tmp_path: Path) -> None:
    """A replica that delivers nothing answers with the outcomes of those that do.

    What waits, and the clock, are in its metrics like in those of any other.
    """
    with (
        a_sink(tmp_path, applications=3) as sink,
        on_shift({"DISPATCHER_STORE": url}, sink, tmp_path) as (api, *_),
    ):
        webhook = signed(api, an_event(1, "crm"))
        webhook["headers"]["prefer"] = "wait=20"
        answer = httpx2.post(api.webhook_url, **webhook, timeout=60)
        until(lambda: api.metric('dispatcher_deliveries{state="delivered"}') == 1)
        drift = api.metric("dispatcher_clock_drift_seconds")
        exit_code = api.stop()

    assert answer.status_code == 200
    assert answer.json()["deliveries"] == [{"client_id": "crm", "state": "delivered"}]
    assert drift != 0
    assert exit_code == 0


def test_a_replica_that_can_not_read_the_store_refuses_nobody(url: str, tmp_path: Path) -> None:
    """One that has not the master key by which another has sealed is not ready, and says so.

    No source is told that its event is bad.
    """
    with a_folder() as folder:
        behind = a_service(tmp_path, [1, 2, 3])
        behind.environment = {"DISPATCHER_STORE": url}
        # Of another file, or there would be nothing to read anew.
        ahead = replace(behind.replica(folder), applications=behind.applications[1:])
        new = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        ahead._master_key = f"{new},{behind._master_key}"
        with behind, ahead:
            command(behind, "migrate")
            behind.start()
            ahead.start()
            until(lambda: status_of(behind, "/readyz") == 503)
            statuses = [told(service, an_event(1, "crm")) for service in (behind, ahead)]
            store = httpx2.get(f"{behind.url}/readyz").json()["checks"]["store"]

    assert statuses == [503, 202]
    assert "DISPATCHER_MASTER_KEY" in store


async def test_a_rotation_reaches_every_replica(url: str, tmp_path: Path) -> None:
    """What is rotated elsewhere is published, and signs, at every replica, whatever its role."""
    numbers = count()
    with (
        a_sink(tmp_path, applications=3) as sink,
        on_shift({"DISPATCHER_STORE": url}, sink, tmp_path) as (api, *workers),
    ):
        before, after = await rotated(url, api)

        def kids_of_a_round() -> set[str]:
            earlier = len(sink.received())
            with a_producer(an_order(api, map(an_event, islice(numbers, 20)))) as producer:
                history_of(producer)
            until_nothing_waits(api)
            return {kid_of(one.token) for one in sink.received()[earlier:]}

        until(lambda: published(api) == {key.kid for key in after})
        until(lambda: kids_of_a_round() <= signing(after) - signing(before))
        exits = [service.stop() for service in (api, *workers)]

    assert exits == [0, 0, 0]


Keys = Sequence[KeyInfo]


async def rotated(url: str, service: Service) -> tuple[Keys, Keys]:
    """Rotate the keys of the store at *url*, as one more replica of *service* would.

    Returns what there was before, and what there is now.
    """
    seal, clock = Seal.from_text(service._master_key), SystemClock()
    store = await PostgresStore.open(url, clock=clock, seal=seal)
    algorithms = [*ALGORITHMS.values()]
    vault = await Vault.open(store=store, seal=seal, algorithms=algorithms, now=clock.now())
    before = vault.keys()
    await vault.rotate(clock.now())
    vault.close()
    await store.close()
    return before, vault.keys()


def signing(keys: Keys) -> set[str]:
    """Return the kids of the keys that sign."""
    return {key.kid for key in keys if key.place is Place.CURRENT}


def published(service: Service) -> set[str]:
    """Return the kids of the JWK Set that *service* serves."""
    answer = httpx2.get(f"{service.url}/.well-known/jwks.json").json()
    return {key["kid"] for key in answer["keys"]}


def kid_of(token: str) -> str:
    """Return which key *token* says that it is signed with."""
    header = token.partition(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(header + "=="))["kid"])


def test_each_door_of_the_store_is_tried(url: str) -> None:
    """``check`` opens the store as ``serve`` does, and shows its URL without the password."""
    with a_folder() as folder:
        service = a_service(folder, [1, 2, 3])
        with_password = url.replace("postgres@", "postgres:KANARI@")
        service.environment = {"DISPATCHER_STORE": with_password}
        behind = command(service, "check")
        command(service, "migrate")
        ready = command(service, "check")

    assert behind.returncode == 1
    assert "DISPATCHER_STORE: has schema version 0" in behind.stderr
    assert ready.returncode == 0, ready.stderr
    assert "store: PostgreSQL " in ready.stdout
    assert "KANARI" not in behind.stdout + behind.stderr + ready.stdout + ready.stderr


def test_migrations_go_past_a_pooler(url: str) -> None:
    """The steps of the schema are taken at the server itself, where the way to it is told."""
    with a_folder() as folder:
        service = a_service(folder, [1, 2, 3])
        nobody = f"postgresql://postgres@127.0.0.1:{free_port()}/nowhere"
        service.environment = {"DISPATCHER_STORE": nobody, "DISPATCHER_POSTGRES_DIRECT": url}
        command(service, "migrate")
        service.environment = {"DISPATCHER_STORE": url}
        ready = command(service, "check")

    assert ready.returncode == 0, ready.stderr
