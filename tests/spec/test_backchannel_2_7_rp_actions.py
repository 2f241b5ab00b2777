"""OpenID Connect Back-Channel Logout 1.0 section 2.7: what RPs do, as far as it binds the OP."""

from tests.spec.stage import Stage, unique
from tests.spec.wire import replies


def test_one_session_can_be_ended_alone(stage: Stage) -> None:
    """2.7: an RP ends the sessions that are identified; the OP identifies no more than ended."""
    sub, ended, living = unique("sub"), unique("sid"), unique("sid")
    stage.joins("plain", sub=sub, sid=ended)
    stage.joins("plain", sub=sub, sid=living)
    event_id = stage.ends(sid=ended)

    claims = stage.claims_told(ended)

    assert (claims["sub"], claims["sid"]) == (sub, ended)
    assert [one["sid"] for one in stage.deliveries(event_id)] == [ended]
    assert stage.rp.about(living) == []


def test_all_other_sessions_can_be_ended(stage: Stage) -> None:
    """2.7: where one session stays, each of the others is identified, and never the user alone."""
    sub, kept = unique("sub"), unique("sid")
    ended = {unique("sid"), unique("sid")}
    for sid in (kept, *ended):
        stage.joins("plain", sub=sub, sid=sid)
    event_id = stage.ends(sub=sub, except_sids=[kept])

    captures = stage.rp.receives(sub, count=2)

    assert {stage.verified(capture).claims["sid"] for capture in captures} == ended
    assert {one["sid"] for one in stage.deliveries(event_id)} == ended


def test_excepted_session_is_safe_where_no_other_is_known(stage: Stage) -> None:
    """2.7: a token without `sid` would end the excepted session too, so none is sent."""
    sub = unique("sub")
    event_id = stage.ends("plain", sub=sub, except_sids=[unique("sid")])

    delivery = stage.delivery(event_id)

    assert (delivery["state"], delivery["reason"]) == ("failed", "sid_required")
    assert stage.rp.about(sub) == []


def test_a_user_who_is_logged_out_already_is_no_failure(stage: Stage) -> None:
    """2.7: an RP where nobody is logged in any more answers with success, and that settles it."""
    sid, sub = unique("sid"), unique("sub")
    stage.rp.answers(sid, replies(200), replies(204))
    stage.joins("plain", sub=sub, sid=sid)

    first = stage.delivery(stage.ends(sid=sid, initiator="rp-logout"))
    second = stage.delivery(stage.ends(sid=sid, initiator="session-expired"))

    assert (first["state"], second["state"]) == ("delivered", "delivered")


def test_a_failed_logout_is_not_taken_for_a_success(stage: Stage) -> None:
    """2.7: an RP that could not log the user out answers 400, and the OP knows that it failed."""
    sid, client_id = unique("sid"), stage.registers()
    stage.rp.answers(sid, replies(400))
    event_id = stage.ends(client_id, sid=sid)

    delivery = stage.waiting_delivery(event_id, attempts=1)

    assert delivery["attempts"][0]["outcome"] == "refused"
    assert delivery["settled_at"] is None


def test_somebody_who_logs_in_after_the_end_is_logged_out_again(stage: Stage) -> None:
    """2.7: all state of the session goes, that of an RP whose login was told late too."""
    sid, sub = unique("sid"), unique("sub")
    stage.joins("plain", sub=sub, sid=sid)
    stage.ends(sid=sid)
    stage.told(sid, "plain")
    stage.joins("wiki", sub=sub, sid=sid)

    claims = stage.claims_told(sid, "wiki")

    assert (claims["aud"], claims["sid"]) == ("wiki", sid)
