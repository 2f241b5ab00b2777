"""Metrics and log lines: what is told, by which names, and what never is."""

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import structlog
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.parser import text_string_to_metric_families

from dispatcher.adapters.telemetry import Telemetry, configure_logging
from dispatcher.domain.deliveries import (
    Acknowledged,
    Attempt,
    Cause,
    Delivery,
    DeliveryId,
    DeliveryState,
    Move,
    NewDelivery,
    Outcome,
    Reason,
    Refused,
    Settled,
    Settlement,
    Unreachable,
    Withheld,
)
from dispatcher.domain.events import (
    KNOWN_INITIATORS,
    ClientId,
    EventId,
    Initiator,
    Sid,
    SourceName,
    Sub,
    UnmatchedReason,
)
from dispatcher.domain.lanes import LaneState
from dispatcher.domain.ledger import Depth
from dispatcher.domain.matching import Matched, Matching
from dispatcher.domain.sources import PassedOver
from tests.kit.builders import a_join, an_event
from tests.kit.clock import NOON, FakeClock

OPERATORS = Path(__file__).parents[2] / "deploy" / "README.md"
DELIVERY = Delivery(
    id=DeliveryId("dl_7"),
    event_id=EventId("ev_3"),
    client_id=ClientId("shop"),
    uri="https://shop.example/bcl?KANARI-uri",
    sub=Sub("KANARI-sub"),
    sid=Sid("KANARI-sid"),
    initiator=Initiator("rp-logout"),
    session_metadata={"device": "KANARI-metadata"},
    created_at=NOON,
    started_at=NOON,
    attempt_count=2,
    lease_until=NOON,
)
LOCAL = "KANARI-local"
STUMBLED = "ValueError: invalid literal for int() with base 10: '111111111111x'"
LINE = {"event", "level", "timestamp", "delivery", "event_id", "client_id"}
ATTEMPT_LINE = LINE | {"initiator", "number", "outcome", "duration_ms", "jti", "kid"}
SAMPLES: dict[str, set[str]] = {
    "dispatcher_build_info": {"version"},
    "dispatcher_events_accepted_total": {"source", "initiator", "result"},
    "dispatcher_webhooks_refused_total": {"source", "code"},
    "dispatcher_events_passed_over_total": {"source", "reason"},
    "dispatcher_events_matched_total": {"state"},
    "dispatcher_attempts_total": {"client_id", "outcome"},
    "dispatcher_attempts_unreachable_total": {"cause"},
    "dispatcher_attempts_withheld_total": {"cause"},
    "dispatcher_attempt_seconds": set(),
    "dispatcher_told_seconds": set(),
    "dispatcher_deliveries_settled_total": {"state", "reason"},
    "dispatcher_leases_lost_total": set(),
    "dispatcher_worker_failures_total": {"worker"},
    "dispatcher_deliveries": {"state"},
    "dispatcher_oldest_pending_seconds": {"client_id"},
    "dispatcher_lanes_closed": {"client_id", "state"},
    "dispatcher_clock_drift_seconds": set(),
    "dispatcher_events_unmatched_yet": set(),
}


@pytest.fixture(autouse=True)
def log() -> Iterator[StringIO]:
    """Return the stream that is logged to as JSON; logging is as it was afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    stream = StringIO()
    configure_logging(json=True, stream=stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands at noon."""
    return FakeClock()


@pytest.fixture
def telemetry(clock: FakeClock) -> Telemetry:
    """Return the telemetry of a service that knows one source."""
    return a_telemetry(clock)


def a_telemetry(clock: FakeClock, version: str = "1.2.3") -> Telemetry:
    """Build telemetry that knows the source ``op`` and one extra initiator."""
    return Telemetry(
        clock=clock,
        version=version,
        known_initiators=[*KNOWN_INITIATORS, "moon-landed"],
        is_source=lambda name: name == "op",
    )


def samples_of(telemetry: Telemetry) -> dict[tuple[str, ...], float]:
    """Return every sample by its name and its labels' values, in the order of the labels' names."""
    text = telemetry.exposition()[0].decode()
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def lines_of(log: StringIO) -> list[dict[str, Any]]:
    """Return every line logged so far."""
    return [json.loads(line) for line in log.getvalue().splitlines()]


def attempted(outcome: Outcome, delivery: Delivery = DELIVERY) -> Settled:
    """Return that one attempt came to *outcome*."""
    attempt = Attempt(
        started_at=NOON,
        duration=timedelta(milliseconds=12.34),
        outcome=outcome,
        jti="jti-1",
        kid="kid-1",
    )
    return Settled(delivery, attempt, Settlement(move=Move.PUT_OFF, due_at=NOON))


def moved(move: Move, reason: Reason | None = None) -> Settled:
    """Return that a delivery is settled without an attempt."""
    return Settled(DELIVERY, None, Settlement(move=move, reason=reason))


OUTCOMES: list[tuple[Outcome, str, dict[str, object]]] = [
    (Acknowledged(status=200), "info", {"outcome": "acknowledged", "status": 200}),
    (
        Acknowledged(status=202, flagged=True),
        "info",
        {"outcome": "acknowledged", "status": 202, "flagged": True},
    ),
    (
        Refused(status=400, excerpt=b"KANARI-body"),
        "warning",
        {"outcome": "refused", "status": 400},
    ),
    (
        Unreachable(cause=Cause.STATUS, status=503, excerpt=b"KANARI-body", detail="KANARI"),
        "warning",
        {"outcome": "unreachable", "cause": "status", "status": 503},
    ),
    (
        Unreachable(cause=Cause.DNS, detail="no such host"),
        "warning",
        {"outcome": "unreachable", "cause": "dns", "detail": "no such host"},
    ),
    (
        Withheld(cause=Cause.SIGNER),
        "warning",
        {"outcome": "withheld", "cause": "signer"},
    ),
]


def tell_everything(telemetry: Telemetry, clock: FakeClock) -> None:
    """Let everything happen once that telemetry is told of."""
    event = an_event(sub="KANARI-sub", sid="KANARI-sid", session_metadata={"a": "KANARI"})
    telemetry.accepted(event, repeated=False)
    telemetry.accepted(a_join(sid="KANARI-sid", sub="KANARI-sub"), repeated=True)
    telemetry.turned_away("op", "invalid_event")
    for reason in PassedOver:
        telemetry.passed_over(SourceName("op"), reason)
    telemetry.matched(Matched(event, Matching()))
    for outcome, _, _ in OUTCOMES:
        telemetry.attempted(attempted(outcome))
    for move in (Move.ACKNOWLEDGED, Move.GAVE_UP, Move.CALLED_OFF, Move.PUT_OFF, Move.RELEASED):
        telemetry.settled(moved(move), held=True)
    telemetry.settled(moved(Move.ACKNOWLEDGED), held=False)
    telemetry.waiting(Depth(deliveries={}, oldest_pending={ClientId("shop"): NOON},
                            closed_lanes={ClientId("shop"): LaneState.PARKED},
                            events_accepted=1))  # fmt: skip
    telemetry.note_clock()
    clock.advance(seconds=1)
    telemetry.worker_failed("deliver", stumbled(LOCAL))
    telemetry.told("service.listening", url="http://127.0.0.1:8080")


def stumbled(token: str) -> Exception:
    """Return an error that was raised where *token* is a local variable."""
    with pytest.raises(ValueError, match="invalid literal") as caught:
        int("1" * len(token) + "x")
    return caught.value


def test_metrics_have_their_names_and_labels(telemetry: Telemetry, clock: FakeClock) -> None:
    """The metrics are these, with these labels, and no others."""
    tell_everything(telemetry, clock)

    text = telemetry.exposition()[0].decode()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                name = re.sub("_(bucket|count|sum)$", "", sample.name)
                found.setdefault(name, set()).update(sample.labels.keys() - {"le"})

    assert found == SAMPLES


def test_the_guide_names_each_metric_with_its_labels() -> None:
    """Each metric that the operator's guide names is there, with the labels that it names."""
    named = re.findall(r"`(dispatcher_[a-z_]+)(?:\{([^}]*)\})?`", OPERATORS.read_text())
    told = {
        name: {label.split("=")[0] for label in labels.split(",") if label}
        for name, labels in named
    }

    assert told.keys() == SAMPLES.keys()
    assert {name: labels - SAMPLES[name] for name, labels in told.items()} == {
        name: set() for name in SAMPLES
    }


def test_the_exposition_is_prometheus_own(telemetry: Telemetry, clock: FakeClock) -> None:
    """The metrics come in Prometheus' text form, under its media type, each described."""
    tell_everything(telemetry, clock)

    text, media_type = telemetry.exposition()

    assert media_type == CONTENT_TYPE_LATEST
    assert all(family.documentation for family in text_string_to_metric_families(text.decode()))


def test_intakes_are_counted(telemetry: Telemetry) -> None:
    """An intake on disk counts by source, initiator, and whether it is a repeat."""
    telemetry.accepted(an_event(initiator="rp-logout"), repeated=False)
    telemetry.accepted(an_event(initiator="rp-logout"), repeated=True)
    telemetry.accepted(an_event(initiator="moon-landed"), repeated=False)
    telemetry.accepted(a_join(), repeated=False)

    samples = samples_of(telemetry)

    assert samples["dispatcher_events_accepted_total", "rp-logout", "new", "op"] == 1
    assert samples["dispatcher_events_accepted_total", "rp-logout", "repeated", "op"] == 1
    assert samples["dispatcher_events_accepted_total", "moon-landed", "new", "op"] == 1
    assert samples["dispatcher_events_accepted_total", "session.joined", "new", "op"] == 1


def test_an_unknown_initiator_is_other(telemetry: Telemetry) -> None:
    """Initiators that nobody knows share one label, however many there are."""
    for number in range(50):
        telemetry.accepted(an_event(initiator=f"invented-{number}"), repeated=False)

    samples = samples_of(telemetry)

    assert samples["dispatcher_events_accepted_total", "other", "new", "op"] == 50
    assert "invented" not in str(samples.keys())


def test_an_unknown_source_is_unknown(telemetry: Telemetry) -> None:
    """Whatever stands in the path, only known sources are a label."""
    telemetry.turned_away("op", "invalid_event")
    for number in range(50):
        telemetry.turned_away(f"invented-{number}", "invalid_token")

    samples = samples_of(telemetry)

    assert samples["dispatcher_webhooks_refused_total", "invalid_event", "op"] == 1
    assert samples["dispatcher_webhooks_refused_total", "invalid_token", "unknown"] == 50
    assert "invented" not in str(samples.keys())


def test_what_is_passed_over_is_counted(telemetry: Telemetry, log: StringIO) -> None:
    """What nothing became of is counted by source and reason, and logged where it may be a loss."""
    for reason in PassedOver:
        telemetry.passed_over(SourceName("op"), reason)

    samples = samples_of(telemetry)

    assert {
        reason: samples["dispatcher_events_passed_over_total", reason, "op"]
        for reason in PassedOver
    } == dict.fromkeys(PassedOver, 1)
    assert [(line["event"], line["source"], line["reason"]) for line in lines_of(log)] == [
        ("event.passed_over", "op", reason) for reason in ("no_subject", "unusable", "contradicts")
    ]


def test_matches_are_counted_by_what_came_of_them(telemetry: Telemetry) -> None:
    """A matched event counts as matched, or by the reason why it owes nothing."""
    telemetry.matched(Matched(an_event(), Matching()))
    telemetry.matched(Matched(an_event(), Matching(reason=UnmatchedReason.NO_SUBSCRIBER)))

    samples = samples_of(telemetry)

    assert samples["dispatcher_events_matched_total", "matched"] == 1
    assert samples["dispatcher_events_matched_total", "no_subscriber"] == 1


@pytest.mark.parametrize(("outcome", "level", "told"), OUTCOMES)
def test_an_attempt_is_one_line(
    telemetry: Telemetry, log: StringIO, outcome: Outcome, level: str, told: dict[str, object]
) -> None:
    """One attempt is one log line with exactly these members; an excerpt of a body is none."""
    telemetry.attempted(attempted(outcome))

    (line,) = lines_of(log)

    assert line.keys() == ATTEMPT_LINE | told.keys()
    assert (
        line.items()
        >= {
            "event": "delivery.attempted",
            "level": level,
            "delivery": "dl_7",
            "event_id": "ev_3",
            "client_id": "shop",
            "initiator": "rp-logout",
            "number": 3,
            "duration_ms": 12.3,
            "jti": "jti-1",
            "kid": "kid-1",
            **told,
        }.items()
    )


def test_attempts_are_counted(telemetry: Telemetry) -> None:
    """An attempt counts by application and outcome, a vain one by its cause, and takes time."""
    for outcome, _, _ in OUTCOMES:
        telemetry.attempted(attempted(outcome))

    samples = samples_of(telemetry)

    assert samples["dispatcher_attempts_total", "shop", "acknowledged"] == 2
    assert samples["dispatcher_attempts_total", "shop", "unreachable"] == 2
    assert samples["dispatcher_attempts_unreachable_total", "status"] == 1
    assert samples["dispatcher_attempts_unreachable_total", "dns"] == 1
    assert samples["dispatcher_attempts_withheld_total", "signer"] == 1
    assert samples[("dispatcher_attempt_seconds_count",)] == len(OUTCOMES)
    assert samples[("dispatcher_attempt_seconds_sum",)] == pytest.approx(0.01234 * len(OUTCOMES))


def test_what_was_not_attempted_is_not_logged(telemetry: Telemetry, log: StringIO) -> None:
    """A delivery that is called off or given back untried is no attempt."""
    telemetry.attempted(moved(Move.CALLED_OFF, Reason.UNSUBSCRIBED))

    assert lines_of(log) == []
    assert not [name for name, *_ in samples_of(telemetry) if name == "dispatcher_attempts_total"]


def test_a_failed_delivery_is_an_error(telemetry: Telemetry, log: StringIO) -> None:
    """A delivery that is given up is logged as an error, with its reason, and counted."""
    telemetry.settled(moved(Move.GAVE_UP, Reason.HORIZON), held=True)

    (line,) = lines_of(log)

    assert line.keys() == LINE | {"reason"}
    assert (line["event"], line["level"]) == ("delivery.failed", "error")
    assert (line["delivery"], line["client_id"], line["reason"]) == ("dl_7", "shop", "horizon")
    assert samples_of(telemetry)["dispatcher_deliveries_settled_total", "horizon", "failed"] == 1


def test_a_delivery_that_is_born_failed_is_an_error_too(
    telemetry: Telemetry, log: StringIO
) -> None:
    """A delivery that no token could tell truly is logged and counted like one given up."""
    owed = NewDelivery(
        client_id=ClientId("shop"), uri="https://shop.example/", sub=Sub("KANARI"), sid=None,
        failed=Reason.SID_REQUIRED,
    )  # fmt: skip
    telemetry.matched(Matched(an_event(), Matching(deliveries=(owed,))))

    (line,) = lines_of(log)

    assert (line["event"], line["client_id"]) == ("delivery.failed", "shop")
    assert line["reason"] == "sid_required"
    samples = samples_of(telemetry)
    assert samples["dispatcher_deliveries_settled_total", "sid_required", "failed"] == 1


def test_a_clock_in_doubt_is_told_once(
    telemetry: Telemetry, clock: FakeClock, log: StringIO
) -> None:
    """How far the clocks have drifted apart is shown; that they are in doubt is logged once."""
    clock.set_wall_ahead(timedelta(seconds=7))
    telemetry.note_clock()
    telemetry.note_clock()

    (line,) = lines_of(log)

    assert (line["event"], line["drift_seconds"]) == ("clock.in_doubt", 7)
    assert samples_of(telemetry)[("dispatcher_clock_drift_seconds",)] == 7


@pytest.mark.parametrize(
    ("move", "labels"),
    [
        (Move.ACKNOWLEDGED, ("", "delivered")),
        (Move.CALLED_OFF, ("", "cancelled")),
        (Move.PUT_OFF, ("", "pending")),
        (Move.RELEASED, ("", "pending")),
    ],
)
def test_what_needs_nobody_is_only_counted(
    telemetry: Telemetry, log: StringIO, move: Move, labels: tuple[str, str]
) -> None:
    """Other settlements are counted by their state, and not logged."""
    telemetry.settled(moved(move), held=True)

    samples = samples_of(telemetry)

    assert samples["dispatcher_deliveries_settled_total", *labels] == 1
    assert lines_of(log) == []


def test_a_lost_lease_counts_once(telemetry: Telemetry, log: StringIO) -> None:
    """An outcome that came too late counts as lost, and as nothing else: nothing was written."""
    telemetry.settled(moved(Move.GAVE_UP, Reason.REFUSED), held=False)

    samples = samples_of(telemetry)

    assert samples[("dispatcher_leases_lost_total",)] == 1
    assert not [name for name, *_ in samples if name == "dispatcher_deliveries_settled_total"]
    assert lines_of(log) == []


def test_what_never_happened_is_counted_as_such(telemetry: Telemetry) -> None:
    """A counter without labels is there from the start, so that its first rise can be seen."""
    assert samples_of(telemetry)["dispatcher_leases_lost_total",] == 0


def test_the_time_until_told_is_the_users(telemetry: Telemetry, clock: FakeClock) -> None:
    """How long an application took to be told runs from the delivery's creation, steadily."""
    clock.advance(seconds=7)
    clock.set_wall_ahead(timedelta(hours=1))

    telemetry.settled(moved(Move.ACKNOWLEDGED), held=True)

    assert samples_of(telemetry)[("dispatcher_told_seconds_sum",)] == 7


def test_what_waits_is_shown_as_it_stands(telemetry: Telemetry, clock: FakeClock) -> None:
    """Depths are the last ones told; an application that waits no more is gone."""
    pending = {DeliveryState.PENDING: 4}
    oldest = {ClientId("shop"): NOON, ClientId("wiki"): NOON - timedelta(seconds=5)}
    telemetry.waiting(
        Depth(deliveries=pending, oldest_pending=oldest, closed_lanes={}, events_accepted=2)
    )
    clock.advance(seconds=60)
    first = samples_of(telemetry)

    later = {ClientId("shop"): NOON}
    telemetry.waiting(
        Depth(deliveries={}, oldest_pending=later, closed_lanes={}, events_accepted=0)
    )
    second = samples_of(telemetry)

    assert first["dispatcher_deliveries", "pending"] == 4
    assert first["dispatcher_oldest_pending_seconds", "wiki"] == 5
    assert first[("dispatcher_events_unmatched_yet",)] == 2
    assert {name: second["dispatcher_deliveries", name] for name in DeliveryState} == dict.fromkeys(
        DeliveryState, 0
    )
    assert second["dispatcher_oldest_pending_seconds", "shop"] == 60
    assert ("dispatcher_oldest_pending_seconds", "wiki") not in second
    assert second[("dispatcher_events_unmatched_yet",)] == 0


def test_a_worker_that_stumbles_is_told_in_full(telemetry: Telemetry, log: StringIO) -> None:
    """A fault of ours is counted, and logged as one line with its whole traceback."""
    telemetry.worker_failed("deliver", stumbled(LOCAL))

    (line,) = lines_of(log)

    assert (line["event"], line["level"], line["worker"]) == ("worker.failed", "error", "deliver")
    assert STUMBLED in line["exception"]
    assert "in stumbled" in line["exception"]
    assert samples_of(telemetry)["dispatcher_worker_failures_total", "deliver"] == 1


@pytest.mark.parametrize("json_lines", [True, False])
def test_nobody_is_named(clock: FakeClock, *, json_lines: bool) -> None:
    """No sub, sid, body, metadata or local variable is in a log line or a metric, ever."""
    stream = StringIO()
    configure_logging(json=json_lines, stream=stream)
    telemetry = a_telemetry(clock)

    tell_everything(telemetry, clock)
    try:
        raise stumbled(LOCAL)
    except ValueError:
        logging.getLogger("a.library").exception("it stumbled")

    assert STUMBLED in stream.getvalue()
    assert "KANARI" not in stream.getvalue()
    assert b"KANARI" not in telemetry.exposition()[0]


def test_a_library_speaks_in_the_same_form(log: StringIO) -> None:
    """A library's warning is a JSON line like our own, with its traceback; its chatter is none."""
    try:
        raise stumbled(LOCAL)
    except ValueError:
        logging.getLogger("a.library").exception("it %s", "stumbled")
    logging.getLogger("a.library").info("chatter")

    (line,) = lines_of(log)

    assert (line["event"], line["level"]) == ("it stumbled", "error")
    assert STUMBLED in line["exception"]


def test_a_console_reads_like_prose(clock: FakeClock) -> None:
    """On a terminal a line is written for people, without colours, and warns of nothing."""
    stream = StringIO()
    configure_logging(json=False, stream=stream)

    a_telemetry(clock).attempted(attempted(Acknowledged(status=200)))

    (line,) = stream.getvalue().splitlines()
    assert "delivery.attempted" in line
    assert "client_id=shop" in line
    assert "\x1b" not in line


def test_facts_of_the_service_are_lines(telemetry: Telemetry, log: StringIO) -> None:
    """What the service does itself is one line with what belongs to it."""
    telemetry.told("service.listening", url="http://127.0.0.1:8080")

    (line,) = lines_of(log)

    assert line.keys() == {"event", "level", "timestamp", "url"}
    assert (line["event"], line["level"]) == ("service.listening", "info")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line["timestamp"])


def test_two_services_count_apart(clock: FakeClock) -> None:
    """Two services in one process have metrics of their own."""
    one, other = a_telemetry(clock, version="1"), a_telemetry(clock, version="2")

    one.accepted(an_event(), repeated=False)

    assert samples_of(one)["dispatcher_events_accepted_total", "rp-logout", "new", "op"] == 1
    assert not [name for name, *_ in samples_of(other) if name.startswith("dispatcher_events_acc")]
    assert samples_of(other)["dispatcher_build_info", "2"] == 1


def test_each_application_has_its_own_numbers(telemetry: Telemetry) -> None:
    """Attempts of two applications are counted apart."""
    wiki = replace(DELIVERY, client_id=ClientId("wiki"))

    telemetry.attempted(attempted(Acknowledged(status=200)))
    telemetry.attempted(attempted(Acknowledged(status=200), wiki))

    samples = samples_of(telemetry)
    assert samples["dispatcher_attempts_total", "shop", "acknowledged"] == 1
    assert samples["dispatcher_attempts_total", "wiki", "acknowledged"] == 1
