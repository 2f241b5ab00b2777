"""Each benchmark in short form: it runs, measures what it says, and loses nothing."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import __main__ as command
from tests.bench import (
    backlog,
    brownout,
    deadlines,
    intake,
    latency,
    memory,
    pipeline,
    replicas,
    sender,
    stores,
)
from tests.bench.figures import Figure, Unit
from tests.bench.load import FAN_OUT
from tests.bench.plan import TINY
from tests.bench.processor import VARIABLE, WITHOUT
from tests.kit.service import ROOT, Service

WORDS = {
    Unit.SECONDS: "seconds",
    Unit.BYTES: "bytes",
    Unit.PER_SECOND: "per_second",
    Unit.CORES: "cores",
    Unit.COUNT: "count",
}


def names_of(figures: list[Figure]) -> list[str]:
    """Return the names of *figures*, each of which must say what it counts in."""
    assert [figure.name for figure in figures if WORDS[figure.unit] not in figure.name] == []
    return [figure.name for figure in figures]


def test_the_pipeline_carries_every_token() -> None:
    """Either algorithm's tokens are carried to the last, and compared with both yardsticks."""
    measured = pipeline.measure(TINY)

    assert [run.algorithm for run, _, _ in measured.runs] == ["RS256", "ES256"]
    for run, raw, bare in measured.runs:
        assert run.tokens == TINY.tokens
        assert min(run.cpu_seconds, run.seconds, bare.cpu_seconds, bare.per_second) > 0
        assert len(raw.taken) == 2
    assert names_of(measured.figures()) == [
        f"pipeline_{algorithm}_{what}{beside}"
        for algorithm in ("rs256", "es256")
        for beside in ("", "_beside_a_prototype")
        for what in ("cpu_seconds_per_token", "tokens_per_second")
    ]
    (run, raw, bare), (first, _, beside, *_) = measured.runs[0], measured.figures()
    assert first.ratio == pytest.approx(run.cpu_seconds / run.tokens / raw.cpu_seconds)
    assert beside.ratio == pytest.approx(run.cpu_seconds / run.tokens / bare.cpu_seconds)


def test_the_sender_is_compared_with_the_others() -> None:
    """The same POSTs go out through our sender, aiohttp and httpx2, to one server and to many."""
    measured = sender.measure(TINY)

    for costs in (measured.one, measured.many):
        assert costs.keys() == {"ours", "aiohttp", "httpx2"}
        assert min(costs.values()) > 0
    assert len(sender.TOKEN) + len("logout_token=") == sender.BODY_BYTES == 893
    assert names_of(measured.figures()) == [
        "sender_one_host_cpu_seconds_per_post_aiohttp",
        "sender_one_host_cpu_seconds_per_post_httpx2",
        "sender_many_hosts_cpu_seconds_per_post_aiohttp",
        "sender_many_hosts_cpu_seconds_per_post_httpx2",
    ]


def test_latency_is_that_of_every_token() -> None:
    """Each token of each event is timed, from its request and from its 202."""
    measured = latency.measure(TINY)

    assert len(measured.from_answer) == TINY.idle_events * latency.FAN_OUT
    pairs = zip(measured.from_answer, measured.from_sending, strict=True)
    assert all(from_answer < from_sending for from_answer, from_sending in pairs)
    assert names_of(measured.figures()) == [
        "latency_from_202_p50_seconds",
        "latency_from_202_p99_seconds",
        "latency_from_sending_p50_seconds",
        "latency_from_sending_p99_seconds",
    ]


def test_everything_sent_is_taken_in() -> None:
    """Each kind of webhook is sent and accepted to the last."""
    measured = intake.measure(TINY)

    assert {kind: len(set(one.accepted)) for kind, one in measured.produced.items()} == {
        "ended_of_nobody": TINY.webhooks,
        "joined": TINY.webhooks,
        "arrays_of_nobody": 10 * TINY.webhooks,
        "ended_of_five": TINY.webhooks,
    }
    assert len(measured.produced[intake.ARRAYS].latencies) * intake.OF_ARRAY == 10 * TINY.webhooks
    names = names_of(measured.figures())
    assert len(names) == len(set(names)) == 12
    assert sum(figure.bar is not None for figure in measured.figures()) == 7


def test_a_backlog_is_claimed_in_whole_batches() -> None:
    """Every claim of either backlog is full, and everything claimed is settled."""
    measured = backlog.measure(TINY)

    assert measured.settled == 2 * TINY.claims * backlog.BATCH
    assert min(measured.few_cpu_seconds, measured.many_cpu_seconds) > 0
    assert names_of(measured.figures()) == ["backlog_cpu_seconds_per_delivery"]


def test_memory_is_measured_while_all_wait() -> None:
    """Every delivery is pending when memory is looked at."""
    measured = memory.measure(TINY)

    assert measured.pending == TINY.pending
    assert measured.idle_bytes > 0
    assert names_of(measured.figures()) == [
        "memory_idle_bytes",
        "memory_pending_count",
        "memory_pending_bytes",
    ]


def test_a_brownout_ends_with_everything_delivered() -> None:
    """All that the sick were owed comes when they are well, and no lane had more than its cap."""
    measured = brownout.measure(TINY)

    count = TINY.seconds * brownout.PER_SECOND
    ((without, within),) = measured.pairs
    assert within.owed == within.delivered == count * (FAN_OUT + 1)
    assert len(without.latencies) == len(within.latencies) == without.owed == without.delivered
    assert min(within.latencies) > 0
    assert without.most_sockets == 0
    assert 0 < within.most_sockets <= brownout.MAX_IN_FLIGHT
    assert names_of(measured.figures()) == [
        "brownout_healthy_p50_seconds",
        "brownout_healthy_p99_seconds",
        "brownout_healthy_p99_alone_seconds",
        "brownout_sockets_of_a_sick_lane_count",
        "brownout_healing_seconds",
        "brownout_owed_count",
        "brownout_missing_count",
    ]


def test_deadlines_poison_nothing() -> None:
    """After every attempt at once has run out of time, each healthy delivery succeeds."""
    measured = deadlines.measure(TINY)

    assert measured == deadlines.Deadlines(
        forced=TINY.deadlines, afterwards=TINY.afterwards, failed=0
    )
    assert [figure.bar for figure in measured.figures()].count(None) == 2


def test_replicas_carry_every_token() -> None:
    """Two processes carry all that one carries, and the CPU of everybody is told apart."""
    measured = replicas.measure(TINY)

    runs = measured.one, measured.two
    assert [run.processes for run in runs] == [1, 2]
    for run in runs:
        assert run.tokens == TINY.shared_tokens
        assert min(run.seconds, run.cpu_seconds, run.database_cpu_seconds) > 0
    assert names_of(measured.figures()) == [
        "replicas_tokens_per_second",
        "replicas_cpu_seconds_per_token",
        "replicas_database_cpu_seconds_per_token",
        "replicas_one_busy_cores",
        "replicas_busy_cores",
    ]


def test_each_store_settles_all_that_it_takes_in() -> None:
    """Each store takes every step with all of it, and one of them is held to a bar."""
    measured = stores.measure(TINY)

    assert list(measured.speeds) == [stores.SQLITE, stores.POSTGRES, stores.TWO]
    for speeds in measured.speeds.values():
        assert speeds.count == TINY.stored
        assert list(speeds.per_second) == [stores.ACCEPTED, stores.MATCHED, stores.SETTLED]
        assert min(*speeds.per_second.values(), *speeds.cpu_seconds.values()) > 0
    names = names_of(measured.figures())
    assert len(names) == len(set(names)) == 12
    assert [figure.name for figure in measured.figures() if figure.bar is not None] == [
        "stores_postgres_settled_per_second"
    ]


def test_each_can_be_chosen_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``--only`` measures what is named, as often as is wanted, and nothing else."""
    asked = ["bench", "--only", "deadlines", "--deadlines", "64", "--afterwards", "10"]
    monkeypatch.setattr(sys, "argv", [*asked, "--runs", "2"])

    command.main()

    told = capsys.readouterr()
    assert "deadlines_failed_afterwards_count" in told.out
    assert "medians of 2 run(s)" in told.out
    assert "backlog" not in told.out
    assert told.err.split() == ["deadlines", "...", "deadlines", "..."]


@pytest.mark.parametrize("extension", WITHOUT)
def test_openssl_can_be_kept_from_an_extension(extension: str) -> None:
    """``--without`` tells OpenSSL before it is loaded, and the figures say so."""
    few = ["--only", "deadlines", "--deadlines", "64", "--afterwards", "10"]
    command = [sys.executable, "-m", "tests.bench", *few, "--without", extension, "--json"]

    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    assert json.loads(told.stdout)["machine"]["without"] == extension


def test_a_service_is_kept_from_it_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What OpenSSL is told of the processor here, it is told in the service's process as well."""
    monkeypatch.setenv(VARIABLE, WITHOUT["ifma"])
    assert Service(tmp_path, []).environ()[VARIABLE] == WITHOUT["ifma"]
    monkeypatch.delenv(VARIABLE)
    assert VARIABLE not in Service(tmp_path, []).environ()


def test_all_that_is_measured_can_be_chosen() -> None:
    """The command knows every benchmark of this folder."""
    assert list(command.BENCHES) == [
        "pipeline", "sender", "latency", "intake", "backlog", "memory", "brownout", "deadlines",
        "replicas", "stores",
    ]  # fmt: skip


def test_each_is_described() -> None:
    """The contributor's table has each benchmark, and no other."""
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = contributing.partition("## Benchmarks")[2].partition("\n## ")[0]

    assert re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE) == list(command.BENCHES)
