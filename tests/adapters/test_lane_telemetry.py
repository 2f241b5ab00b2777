"""What the service tells on its lanes: which are closed, and when one comes or goes."""

import pytest
from structlog.testing import capture_logs

from dispatcher.adapters.telemetry import Telemetry
from dispatcher.domain.deliveries import DeliveryState
from dispatcher.domain.events import ClientId
from dispatcher.domain.lanes import LaneState
from dispatcher.domain.ledger import Depth
from tests.kit.clock import FakeClock


@pytest.fixture
def telemetry() -> Telemetry:
    """Return telemetry that has told nothing yet."""
    return Telemetry(clock=FakeClock(), version="1", known_initiators=[], is_source=lambda _: True)


def with_lanes(**closed: LaneState) -> Depth:
    """Return a depth in which nothing waits, and these lanes are closed."""
    return Depth(
        deliveries=dict.fromkeys(DeliveryState, 0),
        oldest_pending={},
        closed_lanes={ClientId(name): state for name, state in closed.items()},
        events_accepted=0,
    )


def samples(telemetry: Telemetry) -> set[str]:
    """Return the samples of the gauge of closed lanes."""
    text = telemetry.exposition()[0].decode()
    return {line for line in text.splitlines() if line.startswith("dispatcher_lanes_closed{")}


def test_closed_lanes_are_shown(telemetry: Telemetry) -> None:
    """The gauge has a sample for each lane that is closed now, and none for those that were."""
    telemetry.waiting(with_lanes(shop=LaneState.PARKED, mail=LaneState.PAUSED))
    both = samples(telemetry)
    telemetry.waiting(with_lanes(shop=LaneState.PROBING))

    assert both == {
        'dispatcher_lanes_closed{client_id="shop",state="parked"} 1.0',
        'dispatcher_lanes_closed{client_id="mail",state="paused"} 1.0',
    }
    assert samples(telemetry) == {'dispatcher_lanes_closed{client_id="shop",state="probing"} 1.0'}


def test_a_lane_that_comes_or_goes_is_logged_once(telemetry: Telemetry) -> None:
    """One line says that a lane has closed, one that it has opened, and probes make none."""
    with capture_logs() as logged:
        for state in (LaneState.PARKED, LaneState.PROBING, LaneState.PARKED):
            telemetry.waiting(with_lanes(shop=state))
        telemetry.waiting(with_lanes())
        telemetry.waiting(with_lanes())

    assert logged == [
        {"event": "lane.closed", "client_id": "shop", "state": "parked", "log_level": "warning"},
        {"event": "lane.opened", "client_id": "shop", "log_level": "info"},
    ]
