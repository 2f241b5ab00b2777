"""``dispatcher check``: whether the service would start, and every door opens."""

from collections.abc import Mapping
from dataclasses import dataclass

from dispatcher.app import House, open_house
from dispatcher.domain.errors import DispatcherError, Invalid
from dispatcher.settings import Settings
from dispatcher.settings.environment import unknown_variables


@dataclass(frozen=True, slots=True)
class Finding:
    """One door that was tried: what was found, and whether the service can run with it."""

    door: str
    found: str
    ok: bool = True


async def check(environ: Mapping[str, str]) -> tuple[dict[str, str], list[Finding]]:
    """Return the settings in force, secrets hidden, and what was found behind every door."""
    try:
        settings = Settings.from_env(environ)
    except Invalid as error:
        return {}, [Finding(fault.field, fault.message, ok=False) for fault in error.faults]
    strange = [
        Finding(name, "is not a setting of this version") for name in unknown_variables(environ)
    ]
    return settings.shown(), [*strange, *await _doors(settings)]


async def _doors(settings: Settings) -> list[Finding]:
    try:
        async with open_house(settings) as house:
            return [await _store(house), await _keys(house), _clock(house), _egress(settings)]
    except Invalid as error:
        return [Finding(fault.field, fault.message, ok=False) for fault in error.faults]
    except DispatcherError as error:
        return [Finding("store", error.message, ok=False)]


async def _store(house: House) -> Finding:
    fault = await house.store.writable()
    if fault is None and house.store.disk_low():
        fault = "free disk is below DISPATCHER_DISK_RESERVE: intake would answer 503"
    counts = f"{len(house.store.applications)} applications, {len(house.store.sources)} sources"
    return Finding("store", fault or f"{house.store.describe()}; {counts}", ok=fault is None)


async def _keys(house: House) -> Finding:
    try:
        await house.signer.self_check()
    except DispatcherError as error:
        return Finding("keys", error.message, ok=False)
    notes = "".join(f"; {warning}" for warning in house.warnings)
    return Finding("keys", f"sign and verify: {', '.join(house.signer.algorithms)}{notes}")


def _clock(house: House) -> Finding:
    if house.clock.in_doubt():
        return Finding("clock", "the wall clock was set while this ran", ok=False)
    return Finding("clock", f"{house.clock.now():%Y-%m-%dT%H:%M:%SZ}")


def _egress(settings: Settings) -> Finding:
    allowed = ", ".join(map(str, settings.egress_allow)) or "nothing besides"
    http = "http and https" if settings.egress_allow_http else "https only"
    return Finding("egress", f"{settings.egress} addresses; allowed: {allowed}; {http}")
