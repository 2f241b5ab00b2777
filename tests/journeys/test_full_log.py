"""A log that can not be written ends no logout."""

from pathlib import Path

from tests.kit.bookkeeping import books
from tests.kit.processes import a_sink
from tests.kit.steps import APPLICATIONS, a_service, an_event, sent, until_nothing_waits, uris_of


def test_a_full_log_disk_ends_nothing(tmp_path: Path) -> None:
    """Where every line of the log is refused by the disk, events are accepted and delivered."""
    (tmp_path / "service.log").symlink_to("/dev/full")
    with (
        a_sink(tmp_path, applications=3) as sink,
        a_service(tmp_path, uris_of(sink.ports)) as service,
    ):
        service.start()
        accepted = sent(service, map(an_event, range(5)))
        until_nothing_waits(service)
        kept = books(accepted, APPLICATIONS, sink.received())

    assert len(kept.owed) == 15
    assert kept.missing == frozenset()
