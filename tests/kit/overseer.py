"""An operator's view of a running service, over its management API."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import httpx2
from anyio.to_thread import run_sync

Lanes: TypeAlias = Mapping[str, Mapping[str, Any]]
"""The lanes as the API shows them, by application."""


@dataclass(frozen=True, slots=True)
class Overseer:
    """Asks the service how things go."""

    api: httpx2.Client

    async def listed(self, what: str, **params: object) -> list[dict[str, Any]]:
        """Return every *what* that the service lists."""
        found: list[dict[str, Any]] = []
        asked: dict[str, str] = {name: str(value) for name, value in params.items()}
        while True:
            get = partial(self.api.get, f"/api/v2/{what}", params=asked | {"take": "100"})
            page = (await run_sync(get)).raise_for_status().json()
            found += page[what]
            if page["next"] is None:
                return found
            asked["from"] = page["next"]

    async def lanes(self) -> Lanes:
        """Return the lanes by application."""
        return {str(lane["client_id"]): lane for lane in await self.listed("lanes")}

    async def all_matched(self) -> bool:
        """Whether no event waits to be matched."""
        return not await self.listed("events", state="accepted")


def owed_nothing(lanes: Lanes, names: Sequence[str]) -> bool:
    """Whether nothing waits for any of the applications of these *names*."""
    return all(lanes[name]["pending"] == lanes[name]["in_flight"] == 0 for name in names)
