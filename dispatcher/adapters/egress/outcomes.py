"""What an answer means, by its status alone (Back-Channel Logout 1.0 sections 2.5 and 2.8)."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from dispatcher.adapters.egress.answer import Answer
from dispatcher.domain.deliveries import Acknowledged, Cause, Outcome, Refused, Unreachable

_ENDED = frozenset({HTTPStatus.OK, HTTPStatus.NO_CONTENT})
_LATER = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_TELLS_WHEN = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_MOST_DIGITS = 9
_LONGEST = timedelta(days=365)


def outcome_of(answer: Answer, now: datetime) -> Outcome:
    """Return what the final status of *answer* says."""
    status, excerpt = answer.status, answer.excerpt
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return Acknowledged(status=status, flagged=status not in _ENDED, excerpt=excerpt)
    if not _may_be_better_later(status):
        return Refused(status=status, excerpt=excerpt)
    return Unreachable(
        cause=Cause.STATUS,
        status=status,
        retry_after=retry_after(answer.retry_after, now) if status in _TELLS_WHEN else None,
        excerpt=excerpt,
    )


def _may_be_better_later(status: int) -> bool:
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return status in _LATER
    return status != HTTPStatus.NOT_IMPLEMENTED


def retry_after(value: bytes, now: datetime) -> timedelta | None:
    """Read a Retry-After field (RFC 9110 section 10.2.3): seconds, or a date; else None."""
    text = value.decode("latin-1").strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=int(text)) if len(text) <= _MOST_DIGITS else _LONGEST
    try:
        moment = parsedate_to_datetime(text)
        # An HTTP-date is in GMT, whether it says so (IMF-fixdate) or not (asctime).
        return max(moment.replace(tzinfo=moment.tzinfo or UTC) - now, timedelta())
    except (ValueError, OverflowError):
        return None
