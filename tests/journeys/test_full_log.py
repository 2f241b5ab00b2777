"""A log that can not be written ends no logout."""

from pathlib import Path

from tests.journeys.bookkeeping import books
from tests.journeys.test_kill import ALGORITHMS, a_service, an_order, until_nothing_waits
from tests.kit.processes import a_producer, a_sink, history_of


def test_a_full_log_disk_ends_nothing(tmp_path: Path) -> None:
    """Where every line of the log is refused by the disk, events are accepted and delivered."""
    (tmp_path / "service.log").symlink_to("/dev/full")
    with a_sink(tmp_path, applications=3) as sink, a_service(tmp_path, sink.ports) as service:
        service.start()
        with a_producer(an_order(service, 5)) as producer:
            accepted = history_of(producer)["accepted"]
        until_nothing_waits(service)
        kept = books(accepted, list(ALGORITHMS), sink.received())

    assert len(kept.owed) == 15
    assert kept.missing == frozenset()
