"""The judge: what must hold of every simulated day, whatever its seed.

Each rule returns what speaks against it, in words; a day is sound where none does.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from dispatcher.domain.deliveries import DeliveryState, Outcome, OutcomeKind, Unreachable, kind_of
from dispatcher.domain.lanes import FLUSH_ENDS, LONGEST_HOLD, PARKS_AFTER, TOO_MANY_REQUESTS
from dispatcher.domain.retry import SCHEDULE
from tests.lab.simulation import CAP, SLOTS, Simulation, within
from tests.lab.world import Record, by_subject

SOON = 1.0
"""How long a healthy application waits for a token, in seconds, when nothing is wrong with us."""
LATE = 12.0
"""How long after it came due an attempt is made, at most: its lane may be full of time-outs."""
_FLUSH = FLUSH_ENDS.total_seconds()
_LIFETIME = 120
_JITTER = 1.2
_EXACT = 1e-3
"""The store counts in microseconds, and here time is a float."""
_HOLD = LONGEST_HOLD.total_seconds()

Spans = Sequence[tuple[float, float]]


def verdict(day: Simulation) -> list[str]:
    """Return everything that speaks against *day*."""
    rules = (
        nothing_is_lost,
        waits_follow_the_schedule,
        nobody_is_told_unasked,
        tokens_are_fresh,
        caps_hold,
        nothing_overlaps,
        attempts_keep_their_time,
        the_healthy_do_not_wait,
        repeats_are_explained,
        lanes_count_what_there_is,
    )
    return [f"{rule.__name__}: {fault}" for rule in rules for fault in rule(day)]


def nothing_is_lost(day: Simulation) -> Iterator[str]:
    """Say what was accepted and is neither delivered nor failed with its reason."""
    history = day.history
    kept = {(post.client_id, post.subject) for post in history.posts if post.kept}
    refused = {
        (post.client_id, post.subject)
        for post in history.posts
        if post.outcome == OutcomeKind.REFUSED
    }
    for owed in sorted(history.owed - kept - refused):
        yield f"{owed} was never told"
    for delivery in day.deliveries:
        if not delivery.state.settled:
            yield f"{delivery.id} of {delivery.client_id} is still {delivery.state}"
        if delivery.state is DeliveryState.FAILED and delivery.reason is None:
            yield f"{delivery.id} failed without a reason"
    if len(day.deliveries) != len(history.owed):
        yield f"{len(history.owed)} are owed, {len(day.deliveries)} stored"


def nobody_is_told_unasked(day: Simulation) -> Iterator[str]:
    """Say which token went to an application that was not owed it."""
    for told in by_subject(day.history.posts).keys() - day.history.owed:
        yield f"{told} was not owed"


def tokens_are_fresh(day: Simulation) -> Iterator[str]:
    """Say which token was stale when it went out, or had another's ``jti``."""
    seen: set[str] = set()
    for post in day.history.posts:
        if not 0 <= post.wall - post.issued_at <= SOON + 1:
            yield f"{post.jti} was issued at {post.issued_at}, sent at {post.wall}"
        if not 0 < post.expires_at - post.issued_at <= _LIFETIME:
            yield f"{post.jti} lasts too long"
        if post.jti in seen:
            yield f"{post.jti} went out twice"
        seen.add(post.jti)


def caps_hold(day: Simulation) -> Iterator[str]:
    """Say where more was in flight at once than may be."""
    for client_id, most in day.history.busiest.items():
        if most > CAP:
            yield f"{most} at once to {client_id}"
    if day.history.most_at_once > SLOTS:
        yield f"{day.history.most_at_once} at once in all"


def nothing_overlaps(day: Simulation) -> Iterator[str]:
    """Say which delivery was under way twice at one moment."""
    for told, posts in by_subject(day.history.posts).items():
        for one, other in pairwise(sorted(posts, key=lambda post: post.started)):
            if other.started < one.ended:
                yield f"{told} was under way twice at {other.started}"


def waits_follow_the_schedule(day: Simulation) -> Iterator[str]:
    """Say which attempt in vain was put off for less than its schedule says, or for much more."""
    for record in day.history.records:
        if record.due is None or not isinstance(record.outcome, Unreachable):
            continue
        least = SCHEDULE[min(record.tries, len(SCHEDULE) - 1)].total_seconds()
        wait = record.due - record.ended
        if not least - _EXACT <= wait <= max(least, _HOLD) * _JITTER + _EXACT:
            yield f"{record.delivery} was put off for {wait:.3f} s after {record.tries} tries"


def attempts_keep_their_time(day: Simulation) -> Iterator[str]:
    """Say which attempt came before it was due, or long after, and its lane does not explain it."""
    closed = closed_lanes(day)
    for chain in _chains(day).values():
        for one, other in pairwise(chain):
            if not one.held or one.due is None:
                continue
            lane = closed[one.client_id]
            excused = _meets((one.settled, other.started), [*lane, *day.history.troubled])
            if other.started < one.due - _EXACT and not _meets((one.settled, other.started), lane):
                yield f"{other.delivery} was due at {one.due}, and tried at {other.started}"
            if other.started > one.due + LATE and not excused:
                yield f"{other.delivery} was due at {one.due}, and only tried at {other.started}"


def the_healthy_do_not_wait(day: Simulation) -> Iterator[str]:
    """Say which healthy application waited though nothing was wrong with us and it."""
    for client_id, subject, waited in waits(day):
        if waited > SOON:
            yield f"{client_id} waited {waited:.3f} s for {subject}"


def waits(day: Simulation) -> Iterator[tuple[str, str, float]]:
    """Yield how long each healthy application waited, when nothing was wrong with us and it."""
    history, closed = day.history, closed_lanes(day)
    for (client_id, subject), posts in by_subject(history.posts).items():
        accepted = history.accepted.get(subject)
        if client_id not in day.healthy or accepted is None:
            continue
        first = min(post.started for post in posts)
        trouble = [*closed[client_id], *history.troubled]
        if not _meets((accepted - SOON, min(first, accepted + SOON)), _prolonged(trouble)):
            yield client_id, subject, first - accepted


def repeats_are_explained(day: Simulation) -> Iterator[str]:
    """Say which application was told again though its answer had been written down."""
    settled = {record.jti for record in day.history.records if record.held}
    for told, posts in by_subject(day.history.posts).items():
        for post in posts[:-1]:
            if post.outcome == OutcomeKind.ACKNOWLEDGED and post.jti in settled:
                yield f"{told} was told again after {post.jti}"


def lanes_count_what_there_is(day: Simulation) -> Iterator[str]:
    """Say where the lanes' counts are not those of the deliveries."""
    counted = {state: count for state, count in day.depth.deliveries.items() if count}
    there = Counter(delivery.state for delivery in day.deliveries)
    if counted != there:
        yield f"the lanes count {counted}, there are {there}"


def closed_lanes(day: Simulation) -> Mapping[str, list[tuple[float, float]]]:
    """Return when each lane was not open, or had just opened, by the answers that were settled."""
    closed: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for client_id in day.names:
        closed[client_id] += _parked(day, client_id)
    for (paused, name), (resumed, _) in zip(*[iter(day.history.hands)] * 2, strict=True):
        closed[name].append((paused, resumed + _FLUSH))
    return closed


def _parked(day: Simulation, client_id: str) -> Iterator[tuple[float, float]]:
    failures, since = 0, None
    for record in _written(day, client_id):
        failed = kind_of(record.outcome) is OutcomeKind.UNREACHABLE if record.outcome else False
        asked = record.outcome is not None and _asks_for_less(record.outcome)
        if asked:
            yield record.settled, record.settled + _HOLD + _FLUSH
        if failed and not asked:
            failures += 1
            since = record.settled if failures == PARKS_AFTER else since
            continue
        if since is not None:
            yield since, record.settled + _FLUSH
        failures, since = 0, None
    if since is not None:
        yield since, day.plan.length


def _written(day: Simulation, client_id: str) -> Iterator[Record]:
    """Yield the attempts of an application that the store has, fault of ours aside."""
    trouble = _prolonged(day.history.troubled)
    for record in day.history.records:
        ours = record.outcome is None or kind_of(record.outcome) is OutcomeKind.WITHHELD
        # A store that failed after its commit says that nothing was held, and knows better.
        kept = record.held or within(record.settled, trouble)
        if record.client_id == client_id and kept and not ours:
            yield record


def _asks_for_less(outcome: Outcome) -> bool:
    return (
        isinstance(outcome, Unreachable)
        and outcome.status == TOO_MANY_REQUESTS
        and outcome.retry_after is not None
    )


def _chains(day: Simulation) -> Mapping[str, list[Record]]:
    """Return the attempts of each delivery, those too that a fault of ours kept back."""
    chains: dict[str, list[Record]] = defaultdict(list)
    for record in sorted(day.history.records, key=lambda record: record.started):
        if record.jti is not None:
            chains[record.delivery].append(record)
    return chains


def _meets(span: tuple[float, float], others: Spans) -> bool:
    start, end = span
    return any(start <= until and begun <= end for begun, until in others)


def _prolonged(spans: Spans) -> Spans:
    """Return *spans* with the time that a lost lease, or a retry of ours, takes after them."""
    return [(start, end + 60) for start, end in spans]
