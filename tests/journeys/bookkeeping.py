"""What was owed against what came: the checker of every journey."""

import base64
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.kit.processes import Received


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
