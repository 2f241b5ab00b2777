"""OpenID Connect Back-Channel Logout 1.0 section 2.3: the RPs that the OP has to remember."""

import threading

from tests.spec.stage import Stage, unique
from tests.spec.wire import PATIENCE_SECONDS, Held, meets


def test_the_rps_of_the_session_are_told(stage: Stage) -> None:
    """2.3: the OP remembers the RPs that the user logged in to in a session, and tells these."""
    sid, sub = unique("sid"), unique("sub")
    stage.joins("plain", sid=sid, sub=sub)
    stage.joins("wiki", "shop", sid=sid, sub=sub)
    event_id = stage.ends(sid=sid)

    captures = stage.rp.receives(sid, count=3)

    told = sorted(stage.verified(capture).claims["aud"] for capture in captures)
    assert told == ["plain", "shop", "wiki"]
    assert len(stage.deliveries(event_id)) == 3


def test_nobody_else_is_told(stage: Stage) -> None:
    """2.3: an RP that the user logged in to in another session is not told of this one's end."""
    sub, ended, other = unique("sub"), unique("sid"), unique("sid")
    stage.joins("plain", sid=ended, sub=sub)
    stage.joins("wiki", sid=other, sub=sub)
    event_id = stage.ends(sid=ended, sub=sub)

    capture = stage.told(sub)

    assert stage.verified(capture).claims["aud"] == "plain"
    assert [one["client_id"] for one in stage.deliveries(event_id)] == ["plain"]


def test_an_unknown_session_concerns_nobody(stage: Stage) -> None:
    """2.3: where the OP remembers no RP of the session, none is told."""
    unknown, later = unique("sid"), unique("sid")
    event_id = stage.ends(sid=unknown)
    stage.ends("plain", sid=later)

    stage.told(later)

    assert stage.event(event_id)["state"] == "unmatched"
    assert stage.event(event_id)["reason"] == "no_participants"
    assert stage.rp.about(unknown) == []


def test_the_rp_that_asked_for_the_logout_is_told_too(stage: Stage) -> None:
    """RP-Initiated Logout 1.0 section 2: the RP that asked for it is told like the others."""
    sid, sub = unique("sid"), unique("sub")
    stage.joins("plain", "wiki", sid=sid, sub=sub)
    stage.ends(sid=sid, initiator="rp-logout")

    captures = stage.rp.receives(sid, count=2)

    assert {stage.verified(one).claims["aud"] for one in captures} == {"plain", "wiki"}


def test_rps_without_a_uri_are_passed_over(stage: Stage) -> None:
    """2.3: an RP without a Back-Channel Logout URI can not be told, and holds up nobody."""
    sid = unique("sid")
    event_id = stage.ends("no-uri", "plain", sid=sid)

    stage.told(sid)

    assert [one["client_id"] for one in stage.deliveries(event_id)] == ["plain"]


def test_a_session_that_ends_twice_is_told_twice(stage: Stage) -> None:
    """2.3: the OP does not forget the RPs when a session has ended."""
    sid, sub = unique("sid"), unique("sub")
    stage.joins("plain", sid=sid, sub=sub)
    stage.ends(sid=sid, initiator="rp-logout")
    stage.ends(sid=sid, initiator="session-expired")

    captures = stage.rp.receives(sid, count=2)

    assert len({stage.verified(capture).claims["jti"] for capture in captures}) == 2


def test_rps_are_told_in_parallel(stage: Stage) -> None:
    """2.3: all RPs are sent their requests at once: none waits for another's answer."""
    sid = unique("sid")
    stage.rp.answers(sid, meets(threading.Barrier(3, timeout=PATIENCE_SECONDS)))
    rps = [stage.registers(stage.rp.uri(f"/parallel/{number}")) for number in range(3)]

    event_id = stage.ends(*rps, sid=sid)
    captures = stage.rp.receives(sid, count=3)

    assert len({capture.path for capture in captures}) == 3
    assert {one["attempt_count"] for one in _settled(stage, event_id)} == {1}
    assert {one["state"] for one in _settled(stage, event_id)} == {"delivered"}


def test_an_rp_that_hangs_delays_nobody(stage: Stage) -> None:
    """2.3: an RP that does not answer is still being waited for when the others have been told."""
    hung, held = unique("sid"), Held()
    stage.rp.answers(hung, held)
    stuck = stage.registers(stage.rp.uri("/stuck"), logout_delivery={"timeout": 10})
    stage.ends(stuck, sid=hung)
    assert held.holding.wait(PATIENCE_SECONDS)

    later = [unique("sid") for _ in range(3)]
    for sid in later:
        stage.ends(stuck, "plain", "wiki", sid=sid)
        stage.rp.receives(sid, count=1, client_id="plain")
        stage.rp.receives(sid, count=1, client_id="wiki")
    still_waits = held.other_side_waits
    held.release()

    assert still_waits


def _settled(stage: Stage, event_id: str) -> list[dict[str, object]]:
    """Return the deliveries once all of them are settled."""
    shown = stage.deliveries(event_id)
    return [stage.settled_delivery(str(one["id"])) for one in shown]
