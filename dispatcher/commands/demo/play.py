"""The play: sessions are told, events are sent, and what came of it is compared with the scenario.

Whether a session lives is asked of the application that holds it, over HTTP; why it was left alone
is concluded from the scenario's facts; attempts are read from the service's own records.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import anyio
import httpx2

from dispatcher.commands.demo.rp import Heard, steady
from dispatcher.commands.demo.scenario import (
    Fate,
    SampleApplication,
    SampleEvent,
    Scenario,
    times,
)
from dispatcher.commands.demo.source import Source
from dispatcher.commands.demo.stage import DemoFailed, Stage
from dispatcher.domain.applications import Mode
from dispatcher.domain.deliveries import DeliveryState
from dispatcher.domain.events import EventState

SECONDS_TO_SETTLE = 20
SECONDS_BETWEEN_LOOKS = 0.1

Held = Mapping[str, Mapping[str, str]]
"""By application: the sessions (sid → user) that it holds."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event that was accepted: what the 202 said, and when it came."""

    event: SampleEvent
    event_id: str
    warnings: tuple[str, ...]
    at: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that was seen; *records* are the service's, one for each event told."""

    before: Held
    after: Held
    told: Sequence[Told]
    repeated: Told
    records: Sequence[Mapping[str, Any]]
    forged_status: int
    forged_records: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one event meant for one application; sids are those of the event's user."""

    event: SampleEvent
    application: SampleApplication
    before: tuple[str, ...]
    after: tuple[str, ...]
    fate: Fate
    attempts: int
    told_after: timedelta | None
    as_expected: bool


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be so."""

    name: str
    text: str
    ok: bool


async def performed(stage: Stage, scenario: Scenario) -> Facts:
    """Play *scenario* to its end, and return all that was seen."""
    before = await stage.sessions()
    await _join(stage, scenario)
    first, *others = scenario.events
    told = [await _tell(stage, first)]
    repeated = await _tell(stage, first)
    told += [await _tell(stage, event) for event in others]
    forged = await _forge(stage, scenario.forged)

    access_token = await stage.access_token()
    records = await _settled(stage, told, access_token)
    forged_page = await stage.api("/events", access_token, sub=scenario.forged.user)
    return Facts(
        before=before,
        after=await stage.sessions(),
        told=told,
        repeated=repeated,
        records=records,
        forged_status=forged.status_code,
        forged_records=forged_page["events"],
    )


def concluded(stage: Stage, scenario: Scenario, facts: Facts) -> tuple[list[Row], list[Check]]:
    """Conclude from *facts*, and from what the applications heard, what to show."""
    rows = list(_rows(stage, scenario, facts))
    return rows, list(_checks(stage, scenario, facts, rows))


async def _join(stage: Stage, scenario: Scenario) -> None:
    """Tell the service of the sessions, all in one signed POST."""
    joins = scenario.joins()
    answer = await stage.source.send(stage.client, "joins", joins) if joins else None
    if answer is not None and answer.status_code != HTTPStatus.ACCEPTED:
        raise DemoFailed(f"session.joined was answered with {answer.status_code}: {answer.text}")


async def _tell(stage: Stage, event: SampleEvent) -> Told:
    answer = await stage.source.send(stage.client, event.id, event.told())
    at = steady()
    if answer.status_code != HTTPStatus.ACCEPTED:
        raise DemoFailed(f"{event.initiator} was answered with {answer.status_code}: {answer.text}")
    accepted = answer.json()
    return Told(event, accepted["event_id"], tuple(accepted.get("warnings", ())), at)


async def _forge(stage: Stage, event: SampleEvent) -> httpx2.Response:
    """Send *event* as somebody who does not know the source's secret."""
    stranger = Source(stage.source.name, stage.source.url)
    return await stranger.send(stage.client, event.id, event.told())


async def _settled(
    stage: Stage, told: Sequence[Told], access_token: str
) -> Sequence[Mapping[str, Any]]:
    """Look until nothing is under way any more, or for long enough; return the last look."""
    deadline = steady() + timedelta(seconds=SECONDS_TO_SETTLE)
    while True:
        records = [await stage.api(f"/events/{one.event_id}", access_token) for one in told]
        if all(map(_is_settled, records)) or steady() > deadline:
            return records
        await anyio.sleep(SECONDS_BETWEEN_LOOKS)


def _is_settled(record: Mapping[str, Any]) -> bool:
    states = [DeliveryState(delivery["state"]) for delivery in record["deliveries"]]
    return record["state"] != EventState.ACCEPTED and all(state.settled for state in states)


def _rows(stage: Stage, scenario: Scenario, facts: Facts) -> Iterator[Row]:
    for told, record in zip(facts.told, facts.records, strict=True):
        for application in scenario.applications:
            yield _row(stage, application, facts, told, record)


def _row(
    stage: Stage,
    application: SampleApplication,
    facts: Facts,
    told: Told,
    record: Mapping[str, Any],
) -> Row:
    client_id, event = application.client_id, told.event
    before, after = facts.before[client_id], facts.after[client_id]
    deliveries = [one for one in record["deliveries"] if one["client_id"] == client_id]
    heard = _heard(stage, client_id, event)
    row = Row(
        event=event,
        application=application,
        before=tuple(sid for sid, user in before.items() if user == event.user),
        after=tuple(sid for sid, user in after.items() if user == event.user),
        fate=_fate(application, event, before, after),
        attempts=sum(one["attempt_count"] for one in deliveries),
        told_after=max(heard[0].at - told.at, timedelta()) if heard else None,
        as_expected=False,
    )
    states = [one["state"] for one in deliveries]
    return replace(row, as_expected=_as_expected(row, states, heard))


def _heard(stage: Stage, client_id: str, event: SampleEvent) -> list[Heard]:
    """Return the tokens of *event* that one application verified."""
    return [
        heard
        for heard in stage.applications[client_id].rp.heard
        if (heard.token.sub, heard.token.sid) == (event.user, event.sid)
    ]


def _fate(
    application: SampleApplication,
    event: SampleEvent,
    before: Mapping[str, str],
    after: Mapping[str, str],
) -> Fate:
    """Conclude what an event meant for one application from the sessions that it held."""
    concerned = {sid for sid, user in before.items() if event.concerns(sid, user)}
    if not concerned:
        return Fate.TOOK_NO_PART
    if concerned.isdisjoint(after):
        return Fate.LOGGED_OUT
    if application.subscribes_to(event.initiator) or not concerned <= after.keys():
        return Fate.STILL_LOGGED_IN
    return Fate.NOT_SUBSCRIBED


def _as_expected(row: Row, states: Sequence[str], heard: Sequence[Heard]) -> bool:
    """Whether sessions, the service's records and the tokens that came all say the right thing."""
    told = row.event.expected(row.application.client_id) is Fate.LOGGED_OUT
    return (
        row.fate is row.event.expected(row.application.client_id)
        and list(states) == ([DeliveryState.DELIVERED] if told else [])
        and len(heard) == (1 if told else 0)
    )


def _checks(stage: Stage, scenario: Scenario, facts: Facts, rows: Sequence[Row]) -> Iterator[Check]:
    yield _all_rows(rows)
    yield _exactly(scenario, facts)
    yield _verified(stage)
    yield _repeated(stage, scenario, facts)
    yield _forged(scenario, facts)
    yield from (_unknown(told, rows) for told in facts.told if not told.event.known)
    yield from (_recovered(stage, one, rows) for one in scenario.applications if one.stumbles)


def _all_rows(rows: Sequence[Row]) -> Check:
    good = sum(row.as_expected for row in rows)
    return Check("what happened", f"{good} of {len(rows)} rows are as expected", good == len(rows))


def _exactly(scenario: Scenario, facts: Facts) -> Check:
    expected = {
        one.client_id: scenario.expected_sessions(one.client_id) for one in scenario.applications
    }
    left, held = (sum(map(len, side.values())) for side in (expected, facts.before))
    return Check(
        "sessions left",
        f"of {held} in the applications {held - left} ended; the {left} others live on",
        facts.after == expected,
    )


def _verified(stage: Stage) -> Check:
    rps = [on_air.rp for on_air in stage.applications.values()]
    good, bad = sum(len(rp.heard) for rp in rps), sum(len(rp.refused) for rp in rps)
    return Check(
        "tokens",
        f"{good} verified with the published keys by a second implementation, {bad} refused",
        good > 0 and bad == 0,
    )


def _repeated(stage: Stage, scenario: Scenario, facts: Facts) -> Check:
    """One token for each application that an event logs out, though an event was sent twice."""
    due = [
        sum(one.client_id in event.logged_out for event in scenario.events)
        for one in scenario.applications
    ]
    came = [len(stage.applications[one.client_id].rp.heard) for one in scenario.applications]
    first = facts.told[0]
    return Check(
        "repeated id",
        f"{first.event.id} again: the same 202, the same event_id, and no token twice",
        facts.repeated.event_id == first.event_id and due == came,
    )


def _forged(scenario: Scenario, facts: Facts) -> Check:
    user = scenario.forged.user
    unharmed = all(
        facts.after[client_id].get(sid) == user
        for client_id, sessions in facts.before.items()
        for sid in sessions
        if sessions[sid] == user
    )
    return Check(
        "wrong signature",
        f"{facts.forged_status}; nothing was recorded, {user} is still logged in everywhere",
        facts.forged_status == HTTPStatus.UNAUTHORIZED and not facts.forged_records and unharmed,
    )


def _unknown(told: Told, rows: Sequence[Row]) -> Check:
    reached = [row.application for row in rows if row.event is told.event and row.attempts]
    names = ", ".join(one.client_id for one in reached)
    return Check(
        "unknown initiator",
        f"{told.event.initiator}: 202 with a warning; reached only mode all: {names}",
        told.warnings == ("unknown_initiator",)
        and all(one.mode is Mode.ALL for one in reached)
        and bool(reached),
    )


def _recovered(stage: Stage, application: SampleApplication, rows: Sequence[Row]) -> Check:
    rp = stage.applications[application.client_id].rp
    attempts = max(row.attempts for row in rows if row.application is application)
    return Check(
        "recovery",
        f"{application.client_id} answered 503 {times(rp.stumbled)};"
        f" it was told again and logged out at attempt {attempts}",
        rp.stumbled == application.stumbles < attempts and bool(rp.heard),
    )
