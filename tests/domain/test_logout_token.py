"""Back-Channel Logout 1.0 section 2.4: the logout token, clause by clause."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.domain.applications import Application, LogoutDelivery, Subject, TokenType
from dispatcher.domain.deliveries import Delivery
from dispatcher.domain.events import Sid, Sub
from dispatcher.domain.logout_token import claims_for, typ_for
from tests.domain.builders import HOUR, MINUTE, NOW, SECOND, a_delivery, an_application, for_all

ISSUER = "https://op.example/"
ALWAYS = {"iss", "aud", "iat", "exp", "jti", "events"}
TWO_MINUTES = 2 * MINUTE
ENDED = NOW - HOUR
PHONE: Mapping[str, str] = {"device": "phone"}


def claims(
    delivery: Delivery | None = None,
    application: Application | None = None,
    *,
    now: datetime = NOW,
    lifetime: timedelta = TWO_MINUTES,
) -> dict[str, object]:
    """Make the claims of a delivery."""
    return claims_for(
        delivery or a_delivery(),
        application or an_application(),
        issuer=ISSUER,
        now=now,
        lifetime=lifetime,
        jti="jti-1",
    )


def test_a_logout_token_of_one_session() -> None:
    """2.4: of one session a token has iss, sub, aud, iat, exp, jti, events and sid: no other."""
    assert claims() == {
        "iss": "https://op.example/",
        "sub": "ann",
        "aud": "shop",
        "iat": 1795341600,
        "exp": 1795341720,
        "jti": "jti-1",
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        "sid": "s1",
    }


def test_a_logout_token_of_all_sessions() -> None:
    """2.4: of all the user's sessions a token has sub and no sid, and in toe when they ended."""
    assert claims(a_delivery(sid=None, ended_at=ENDED)) == {
        "iss": "https://op.example/",
        "sub": "ann",
        "aud": "shop",
        "iat": 1795341600,
        "exp": 1795341720,
        "jti": "jti-1",
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        "toe": 1795338000,
    }


@pytest.mark.parametrize("included", [True, False])
@pytest.mark.parametrize("metadata", [PHONE, {}])
@pytest.mark.parametrize("ended_at", [ENDED, None])
@pytest.mark.parametrize(
    ("subject", "sub", "sid", "expected"),
    [
        (Subject.BOTH, "ann", "s1", {"sub", "sid"}),
        (Subject.BOTH, "ann", None, {"sub"}),
        (Subject.BOTH, None, "s1", {"sid"}),
        (Subject.SID, "ann", "s1", {"sid"}),
        (Subject.SID, "ann", None, {"sub"}),
        (Subject.SID, None, "s1", {"sid"}),
        (Subject.SUB, "ann", "s1", {"sub"}),
        (Subject.SUB, "ann", None, {"sub"}),
        (Subject.SUB, None, "s1", {"sid"}),
    ],
)
def test_a_token_has_exactly_its_claims(  # noqa: PLR0917 - pytest gives them by name
    subject: Subject,
    sub: str | None,
    sid: str | None,
    expected: set[str],
    ended_at: datetime | None,
    metadata: Mapping[str, str],
    included: bool,  # noqa: FBT001 - pytest gives it
) -> None:
    """2.4: sub and sid as known and wanted, at least one; toe user-wide; metadata if included."""
    delivery = a_delivery(
        sub=sub and Sub(sub), sid=sid and Sid(sid), ended_at=ended_at, session_metadata=metadata
    )
    application = for_all("shop", subject, include_session_metadata=included)

    told = claims(delivery, application)

    toe = {"toe"} if sid is None and ended_at is not None else set()
    extra = {"session_metadata"} if included and metadata else set()
    assert set(told) == ALWAYS | expected | toe | extra
    assert "nonce" not in told


@pytest.mark.parametrize(
    ("sub", "sid", "expected"),
    [("ann", "s1", {"sub", "sid"}), ("ann", None, {"sub"}), (None, "s1", {"sid"})],
)
def test_a_required_sid_stands_beside_a_wish_for_sub(
    sub: str | None, sid: str | None, expected: set[str]
) -> None:
    """2.2: an application that requires sid is given it, though it wants sub alone otherwise."""
    delivery = a_delivery(sub=sub and Sub(sub), sid=sid and Sid(sid))

    told = claims(delivery, for_all("shop", Subject.SUB, session_required=True))

    assert set(told) == ALWAYS | expected


def test_the_issuer_is_told_byte_for_byte() -> None:
    """Core section 2: iss is the issuer as it is configured, with its slash or without."""
    for issuer in ("https://op.example/", "https://op.example", "https://OP.example/x"):
        told = claims_for(
            a_delivery(),
            an_application(),
            issuer=issuer,
            now=NOW,
            lifetime=TWO_MINUTES,
            jti="jti-1",
        )

        assert told["iss"] == issuer


def test_the_audience_is_one_application() -> None:
    """2.4: aud is the client_id of the delivery, as one string."""
    assert claims(a_delivery(client_id="wiki"))["aud"] == "wiki"


def test_events_has_one_member() -> None:
    """2.4: events has exactly the back-channel-logout member, whose value is an empty object."""
    assert claims()["events"] == {"http://schemas.openid.net/event/backchannel-logout": {}}


_MOMENTS = st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2200, 1, 1)).map(  # noqa: DTZ001 - the zone is set behind
    lambda moment: moment.replace(tzinfo=NOW.tzinfo)
)


@given(_MOMENTS, st.timedeltas(SECOND, 10 * HOUR))
def test_times_are_whole_seconds_and_short(now: datetime, lifetime: timedelta) -> None:
    """4: iat is rounded down, never ahead of now; exp comes at most two minutes after it."""
    told = claims(now=now, lifetime=lifetime)

    issued, expires = told["iat"], told["exp"]
    assert isinstance(issued, int)
    assert isinstance(expires, int)
    assert 0 <= now.timestamp() - issued < 1
    assert 1 <= expires - issued <= 120
    assert expires - issued == min(int(lifetime.total_seconds()), 120)


@pytest.mark.parametrize(
    ("microsecond", "expected"), [(0, 1795341600), (1, 1795341600), (999_999, 1795341600)]
)
def test_iat_is_floored(microsecond: int, expected: int) -> None:
    """2.4: iat is the whole second that has begun, however late in it."""
    assert claims(now=NOW.replace(microsecond=microsecond))["iat"] == expected


def test_toe_is_floored() -> None:
    """RFC 8417 section 2.2: toe is when it happened, in whole seconds."""
    delivery = a_delivery(sid=None, ended_at=ENDED.replace(microsecond=999_999))

    assert claims(delivery)["toe"] == 1795338000


def test_a_session_of_a_user_wide_event_has_no_toe() -> None:
    """What tells of one session of a user-wide event looks like any token of one session."""
    told = claims(a_delivery(ended_at=ENDED))

    assert set(told) == ALWAYS | {"sub", "sid"}


def test_metadata_overwrite_nothing() -> None:
    """2.4: metadata stand in a claim of their own, whatever names they have."""
    names = [*ALWAYS, "sub", "sid", "nonce", "toe", "session_metadata"]
    metadata = dict.fromkeys(names, "forged")
    application = an_application(include_session_metadata=True)

    told = claims(a_delivery(session_metadata=metadata), application)

    assert told.pop("session_metadata") == metadata
    assert told == claims()


def test_claims_are_made_anew_each_time() -> None:
    """What a signer does with one token's claims changes no other's."""
    delivery = a_delivery(session_metadata=dict(PHONE))
    application = an_application(include_session_metadata=True)

    first = claims(delivery, application)
    for value in first.values():
        if isinstance(value, dict):
            value["forged"] = "x"

    assert claims(delivery, application) == {**claims(), "session_metadata": PHONE}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (TokenType.LOGOUT_JWT, "logout+jwt"),
        (TokenType.JWT, "JWT"),
        (TokenType.NONE, None),
    ],
)
def test_the_type_is_the_applications(wanted: TokenType, expected: str | None) -> None:
    """2.4: typ is logout+jwt, JWT or none, as the application wants it."""
    assert typ_for(an_application(delivery=LogoutDelivery(token_type=wanted))) == expected


def test_the_type_is_explicit_by_default() -> None:
    """2.4: typ logout+jwt is recommended, and stands where the application says nothing."""
    assert typ_for(an_application()) == "logout+jwt"
