"""What every load is made of: a service with its applications, events, and a source of them."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.kit.processes import SinkProcess, a_producer, a_sink, history_of
from tests.kit.registration import a_client
from tests.kit.service import Service

FAN_OUT = 5
PRODUCERS = 64
LONGEST_SECONDS = 900.0
POLL_SECONDS = 0.25
"""Each look at the metrics is CPU of the service as well."""
DELIVERED = 'dispatcher_deliveries_settled_total{reason="",state="delivered"}'


@contextmanager
def a_service(
    algorithm: str = "RS256",
    *,
    fan_out: int = FAN_OUT,
    unavailable: float = 0.0,
    recorded: bool = False,
    environment: Mapping[str, str] | None = None,
    launcher: Sequence[str] = (),
) -> Iterator[tuple[Service, SinkProcess]]:
    """Run the real service on a disk, with *fan_out* applications in a sink, all of them keen.

    Where *recorded* the sink writes down each token, which costs this machine something. It is
    started as it comes, or by a *launcher* that sets what no setting does.
    """
    with (
        TemporaryDirectory() as name,
        a_sink(
            Path(name), applications=fan_out, unavailable=unavailable, recorded=recorded
        ) as sink,
    ):
        told = applications(sink, algorithm)
        with Service(Path(name), told, environment or {}) as service:
            service.start(*launcher)
            yield service, sink


def applications(sink: SinkProcess, algorithm: str) -> list[Mapping[str, object]]:
    """Return an application at each port of *sink*."""
    return [
        a_client(client_id, f"http://127.0.0.1:{port}/logout", algorithm=algorithm)
        for client_id, port in zip(client_ids(len(sink.ports)), sink.ports, strict=True)
    ]


def client_ids(count: int) -> list[str]:
    """Return the names of the first *count* applications."""
    return [f"app-{number}" for number in range(count)]


def an_event(number: int, clients: Sequence[str]) -> dict[str, object]:
    """Return the end of a session of its own, whose id is that of the event."""
    sid = sid_of(number)
    return {
        "id": sid,
        "initiator": "session-revoked",
        "sub": f"auth0|{number:024x}",
        "sid": sid,
        "clients": [{"client_id": client_id} for client_id in clients],
    }


def sid_of(number: int) -> str:
    """Return the session of the event of that *number*."""
    return f"s_{number:032x}"


def events(
    count: int, *, fan_out: int = FAN_OUT, among: int | None = None, start: int = 0
) -> list[str]:
    """Return the bodies of so many webhooks, each of one event for *fan_out* applications.

    Where there are more, the applications *among* which they are take turns.
    """
    turns = cycle(client_ids(fan_out if among is None else among))
    return [
        json.dumps(an_event(number, list(islice(turns, fan_out))))
        for number in range(start, start + count)
    ]


def arrays(count: int, *, of: int, fan_out: int = FAN_OUT, start: int = 0) -> list[str]:
    """Return the bodies of webhooks with arrays of events, *count* events in all."""
    clients = client_ids(fan_out)
    end = start + count
    return [
        json.dumps([an_event(number, clients) for number in range(first, min(first + of, end))])
        for first in range(start, end, of)
    ]


@dataclass(frozen=True, slots=True)
class Produced:
    """What a source tells: one value for each webhook, in the order of their answers.

    *sent* and *answered* are times of the wall's clock, *latencies* and the others seconds.
    """

    accepted: Sequence[str]
    latencies: Sequence[float]
    sent: Sequence[float]
    answered: Sequence[float]
    seconds: float


def order_for(
    service: Service,
    bodies: Sequence[str],
    *,
    beside: Sequence[Service] = (),
    connections: int = PRODUCERS,
    rate: float = 0,
) -> dict[str, object]:
    """Return a producer's order to send *bodies* to *service* and the replicas *beside* it."""
    return {
        "urls": [one.webhook_url for one in (service, *beside)],
        "secret": service.secret,
        "connections": connections,
        "rate": rate,
        "bodies": bodies,
    }


def produce(
    service: Service,
    bodies: Sequence[str],
    *,
    beside: Sequence[Service] = (),
    connections: int = PRODUCERS,
    rate: int = 0,
) -> Produced:
    """Send *bodies* to *service* from another process, at most *rate* in a second (0: at will)."""
    order = order_for(service, bodies, beside=beside, connections=connections, rate=rate)
    with a_producer(order) as producer:
        history = history_of(producer)
    return Produced(
        accepted=history["accepted"],
        latencies=history["latencies"],
        sent=history["sent"],
        answered=history["answered"],
        seconds=history["ended"] - history["started"],
    )


def until_delivered(service: Service, count: int, *, beside: Sequence[Service] = ()) -> None:
    """Return when so many deliveries have been acknowledged since the start, by all together."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while sum(one.metric(DELIVERED) for one in (service, *beside)) < count:
        if time.monotonic() > deadline:
            raise RuntimeError("the deliveries did not come to their end in time")
        time.sleep(POLL_SECONDS)
