"""The claims of a logout token (OpenID Connect Back-Channel Logout 1.0 section 2.4)."""

from datetime import datetime, timedelta
from typing import Final

from dispatcher.domain.applications import Application, Subject, TokenType
from dispatcher.domain.deliveries import Delivery

LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
LONGEST_LIFETIME = timedelta(seconds=120)


def claims_for(
    delivery: Delivery,
    application: Application,
    *,
    issuer: str,
    now: datetime,
    lifetime: timedelta,
    jti: str,
) -> dict[str, object]:
    """Return the claims that tell *application* of *delivery*.

    ``iat`` is rounded down, never ahead of now; ``exp`` at most two minutes later (section 4);
    ``events`` has exactly one member, an empty object; there is never a ``nonce``. ``sub`` and
    ``sid`` both stand whenever they are known and the application wants them; what it does not want
    stands all the same where the other is not known, since a token has at least one of them. A
    user-wide event has no ``sid`` and tells when it happened in ``toe`` (RFC 8417 section 2.2).
    """
    issued = int(now.timestamp())
    claims: dict[str, object] = {
        "iss": issuer,
        "aud": delivery.client_id,
        "iat": issued,
        "exp": issued + int(min(lifetime, LONGEST_LIFETIME).total_seconds()),
        "jti": jti,
        "events": {LOGOUT_EVENT: {}},
    }
    subject = application.delivery.subject
    if delivery.sub is not None and (subject is not Subject.SID or delivery.sid is None):
        claims["sub"] = delivery.sub
    by_sub = subject is Subject.SUB and delivery.sub is not None
    if delivery.sid is not None and (application.session_required or not by_sub):
        claims["sid"] = delivery.sid
    if delivery.sid is None and delivery.ended_at is not None:
        claims["toe"] = int(delivery.ended_at.timestamp())
    if application.include_session_metadata and delivery.session_metadata:
        claims["session_metadata"] = dict(delivery.session_metadata)
    return claims


def typ_for(application: Application) -> str | None:
    """Return the header's ``typ`` (section 2.4 recommends ``logout+jwt``), or None for none."""
    wanted = application.delivery.token_type
    return None if wanted is TokenType.NONE else wanted.value
