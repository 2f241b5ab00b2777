"""The whole pipeline: from the first webhook to the last settlement, in the service's process."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

from tests.kit.processes import SinkProcess, a_producer, a_sink, history_of
from tests.kit.service import Service

FAN_OUT = 5
PRODUCERS = 64
LONGEST_SECONDS = 900.0


@dataclass(frozen=True)
class Run:
    """One run of the pipeline."""

    algorithm: str
    tokens: int
    cpu_per_token: float
    tokens_per_second: float
    accept_p50: float
    accept_p99: float
    accepts_per_second: float


@contextmanager
def a_service(
    algorithm: str, *, unavailable: float = 0.0, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[Service, SinkProcess]]:
    """Run the real service with FAN_OUT applications in a sink, all of them keen."""
    with (
        TemporaryDirectory() as name,
        a_sink(Path(name), applications=FAN_OUT, unavailable=unavailable) as sink,
    ):
        applications = [
            {
                "client_id": f"app-{number}",
                "name": f"Application {number}",
                "jwt_configuration": {"alg": algorithm},
                "oidc_logout": {
                    "backchannel_logout_urls": [f"http://127.0.0.1:{port}/logout"],
                    "backchannel_logout_initiators": {"mode": "all"},
                },
            }
            for number, port in enumerate(sink.ports)
        ]
        with Service(Path(name), applications, environment or {}) as service:
            service.start()
            yield service, sink


def events(count: int, *, start: int = 0) -> list[str]:
    """Return the bodies of so many single events, each of a session of its own."""
    clients = [{"client_id": f"app-{number}"} for number in range(FAN_OUT)]
    return [
        json.dumps(
            {
                "id": f"evt-{number}",
                "initiator": "session-revoked",
                "sub": f"auth0|{number:024x}",
                "sid": f"s_{number:032x}",
                "clients": clients,
            }
        )
        for number in range(start, start + count)
    ]


def order_for(service: Service, bodies: list[str]) -> dict[str, object]:
    """Return a producer's order to send *bodies* to *service*."""
    return {
        "url": service.webhook_url,
        "secret": service.secret,
        "connections": PRODUCERS,
        "bodies": bodies,
    }


def run_pipeline(algorithm: str, tokens: int) -> Run:
    """Send tokens / FAN_OUT events and measure until the last token is settled."""
    with a_service(algorithm) as (service, _):
        with a_producer(order_for(service, events(50))) as warming:
            history_of(warming)
        until_settled(service, 50 * FAN_OUT)
        settled_before, cpu_before = 50 * FAN_OUT, service.cpu_seconds()
        bodies = events(tokens // FAN_OUT, start=50)
        with a_producer(order_for(service, bodies)) as producer:
            history = history_of(producer)
        until_settled(service, settled_before + len(bodies) * FAN_OUT)
        ended, cpu = time.time(), service.cpu_seconds() - cpu_before
    return _figures(algorithm, history, tokens=len(bodies) * FAN_OUT, cpu=cpu, ended=ended)


def _figures(
    algorithm: str, history: Mapping[str, object], *, tokens: int, cpu: float, ended: float
) -> Run:
    latencies = history["latencies"]
    assert isinstance(latencies, list)
    started, produced = float(str(history["started"])), float(str(history["ended"]))
    cuts = quantiles(latencies, n=100)
    return Run(
        algorithm=algorithm,
        tokens=tokens,
        cpu_per_token=cpu / tokens,
        tokens_per_second=tokens / (ended - started),
        accept_p50=cuts[49],
        accept_p99=cuts[98],
        accepts_per_second=len(latencies) / (produced - started),
    )


def until_settled(service: Service, count: int) -> None:
    """Return when so many deliveries have been settled since the service's start."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline:
        if (
            service.metric('dispatcher_deliveries_settled_total{reason="",state="delivered"}')
            >= count
        ):
            return
        time.sleep(0.1)
    raise RuntimeError("the deliveries were not settled in time")


def memory_with_pending(deliveries: int) -> tuple[int, int]:
    """Return the resident bytes when idle, and with so many deliveries pending."""
    with a_service("ES256", unavailable=1.0) as (service, _):
        idle = service.resident_bytes()
        with a_producer(order_for(service, events(deliveries // FAN_OUT))) as producer:
            history_of(producer)
        time.sleep(2)
        return idle, service.resident_bytes()
