"""``dispatcher check``: whether the service would start, and every door opens."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from socket import AddressFamily

import anyio

from dispatcher.app import House, open_house
from dispatcher.domain.errors import DispatcherError, Invalid
from dispatcher.settings import Settings
from dispatcher.settings.environment import Listen, unknown_variables, variable


@dataclass(frozen=True, slots=True)
class Finding:
    """One door that was tried: what was found, and whether the service can run with it."""

    door: str
    found: str
    ok: bool = True


async def check(environ: Mapping[str, str]) -> tuple[dict[str, str], list[Finding]]:
    """Return the settings in force, secrets hidden, and what was found behind every door."""
    strange = [
        Finding(name, "is not a setting of this version, and does nothing")
        for name in unknown_variables(environ)
    ]
    try:
        settings = Settings.from_env(environ)
    except Invalid as error:
        return {}, [*strange, *_faults(error)]
    return settings.shown(), [*strange, *await _doors(settings)]


async def _doors(settings: Settings) -> list[Finding]:
    try:
        async with open_house(settings, apply=False) as house:
            inside = [await _store(house), await _keys(house), _clock(house), _egress(settings)]
            return [*inside, *_file(house), *await _listeners(settings)]
    except Invalid as error:
        return _faults(error)
    except DispatcherError as error:
        return [Finding("store", error.message, ok=False)]


def _file(house: House) -> list[Finding]:
    """Tell what the declarative file would write down at a start."""
    declared = house.declared
    if house.settings.config is None:
        return []
    counts = (
        f"{len(declared.applications)} applications, {len(declared.sources)} sources, "
        f"{len(declared.management_clients)} management clients"
    )
    return [Finding("file", f"{house.settings.config}: {counts}")]


def _faults(error: Invalid) -> list[Finding]:
    return [Finding(fault.field, fault.message, ok=False) for fault in error.faults]


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
        fault = "the wall clock was set while this ran, or is not that of the store"
        return Finding("clock", fault, ok=False)
    return Finding("clock", f"{house.clock.now():%Y-%m-%dT%H:%M:%SZ}")


def _egress(settings: Settings) -> Finding:
    allowed = ", ".join(map(str, settings.egress_allow)) or "nothing besides"
    http = "http and https" if settings.egress_allow_http else "https only"
    return Finding("egress", f"{settings.egress} addresses; allowed: {allowed}; {http}")


async def _listeners(settings: Settings) -> list[Finding]:
    """Take each address for a moment, both at once as the service does."""
    wanted = {"listen": settings.listen, "management_listen": settings.management_listen}
    findings: list[Finding] = []
    async with AsyncExitStack() as taken:
        for name, listen in wanted.items():
            if listen is not None:
                findings.append(await _listener(name, listen, taken))
    return findings


async def _listener(name: str, listen: Listen, taken: AsyncExitStack) -> Finding:
    try:
        listener = await anyio.create_tcp_listener(
            local_host=listen.host,
            local_port=listen.port,
            family=AddressFamily.AF_INET6 if ":" in listen.host else AddressFamily.AF_INET,
        )
    except OSError as error:
        return Finding(variable(name), f"{listen}: {error.strerror or error}", ok=False)
    taken.push_async_callback(listener.aclose)
    return Finding(name, f"{listen} is free")
