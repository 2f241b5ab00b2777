"""What was owed against what came: the checker of every journey and of the laboratory."""

import base64
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.kit.processes import Received

MOST_LIFETIME_SECONDS = 120
_TOLERATED_SECONDS = 5


@dataclass(frozen=True)
class Books:
    """Every token that was owed, by (application, sid), and how often it came and was kept."""

    owed: frozenset[tuple[str, str]]
    came: "Counter[tuple[str, str]]"

    @property
    def missing(self) -> frozenset[tuple[str, str]]:
        """What was owed and never came."""
        return self.owed - self.came.keys()

    @property
    def unasked(self) -> frozenset[tuple[str, str]]:
        """What came and was not owed."""
        return frozenset(self.came.keys() - self.owed)

    @property
    def duplicates(self) -> int:
        """How many tokens came that had come before."""
        return sum(count - 1 for count in self.came.values())


def claims_of(token: str) -> Mapping[str, object]:
    """Return the claims of *token*, unverified."""
    payload = token.split(".")[1]
    claims: dict[str, object] = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return claims


def books(
    accepted: Iterable[str], applications: Sequence[str], received: Iterable[Received]
) -> Books:
    """Compare what *received* says with the *accepted* sids, each owed to all *applications*.

    A token that was answered by 503 did not end a session; one whose reply was lost did.
    """
    came = Counter(
        (str(claims["aud"]), str(claims["sid"]))
        for one in received
        if one.status != 503
        for claims in [claims_of(one.token)]
    )
    owed = frozenset((client_id, sid) for sid in accepted for client_id in applications)
    return Books(owed, came)


def unsound(received: Iterable[Received]) -> list[Received]:
    """Return the tokens that are not fresh when they come, or whose ``jti`` came before."""
    seen: set[object] = set()
    bad = []
    for one in received:
        claims = claims_of(one.token)
        issued, expires = float(str(claims["iat"])), float(str(claims["exp"]))
        fresh = issued - 1 <= one.at <= issued + MOST_LIFETIME_SECONDS - _TOLERATED_SECONDS
        lasting = 0 < expires - issued <= MOST_LIFETIME_SECONDS
        if not (fresh and lasting) or claims["jti"] in seen:
            bad.append(one)
        seen.add(claims["jti"])
    return bad
