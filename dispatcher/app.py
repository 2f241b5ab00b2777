"""The roof: builds the whole house, keeps it running, and closes it in order.

With ``stores``, the only file that names adapters. ``open_house`` is what tests and commands build
too: the service as it is, with other settings.
"""

import gc
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TextIO, cast

import anyio
from anyio import to_thread
from anyio.abc import TaskStatus
from starlette.types import ASGIApp

from dispatcher.adapters.clock import SystemClock
from dispatcher.adapters.dice import random_ids
from dispatcher.adapters.egress import EgressPolicy, HttpSender, check_application
from dispatcher.adapters.key_sets import HttpKeySets
from dispatcher.adapters.logstream import LogStream
from dispatcher.adapters.telemetry import Telemetry, configure_logging
from dispatcher.adapters.vault import VaultSigner, VaultVerifier, faults_of_source
from dispatcher.domain.applications import RegistrationRules
from dispatcher.domain.errors import Fault, InvalidSettings
from dispatcher.domain.reading import is_json
from dispatcher.listeners import Server, bound_sockets, server_config, url_of
from dispatcher.pipeline.declare import declare, declare_clients, declare_sources, without_key
from dispatcher.pipeline.deliver import Deliver, Terms
from dispatcher.pipeline.tending import Tending
from dispatcher.pipeline.upkeep import Upkeep, watch_clock
from dispatcher.pipeline.waiting import Waiting
from dispatcher.pipeline.workers import Workers
from dispatcher.ports import Retention
from dispatcher.settings import Declared, Settings, read_declared
from dispatcher.settings.environment import LogFormat
from dispatcher.stores import Store, open_store
from dispatcher.web import Doors, build, build_management
from keys import KeysError, Seal, Vault, load_folder

VERSION = version("backchannel-logout-dispatcher")
_OBJECTS_UNTIL_COLLECTED = 10_000
"""Some megabytes at most, where all of them wait in cycles."""


class Role(StrEnum):
    """Which part of the service a process is; several share one store."""

    ALL = "all"
    API = "api"
    """Webhooks and the management API."""
    WORKER = "worker"
    """Matching, delivering, tidying; it serves its health and metrics."""


@dataclass
class ServiceState:
    """What the service knows of its own life."""

    draining: bool = False

    def readiness(self) -> Mapping[str, str | None]:
        """Return what else speaks against sending us requests, by check; None where nothing."""
        return {"draining": "the service is shutting down" if self.draining else None}


@dataclass
class House:
    """The whole service, open: every room that has been built, and how to run it."""

    settings: Settings
    clock: SystemClock
    store: Store
    signer: VaultSigner
    telemetry: Telemetry
    workers: Workers
    tending: Tending
    app: ASGIApp
    management_app: ASGIApp
    state: "ServiceState"
    declared: Declared
    warnings: Sequence[str]
    role: Role = Role.ALL
    servers: list[Server] = field(default_factory=list)

    async def run(self, stop: anyio.Event, *, listening: Callable[[str], None]) -> None:
        """Serve and work until *stop* is set, then drain: nothing that was accepted is dropped.

        *listening* is called with the service's own URL once its socket accepts connections.
        """
        with bound_sockets(self.settings) as sockets:
            of_every_role = _meanwhile(self.tending.run, partial(watch_clock, self.telemetry))
            async with of_every_role, anyio.create_task_group() as tasks:
                work = self.workers.attend if self.role is Role.API else self.workers.run
                tasks.start_soon(work)
                main = self.management_app if self.role is Role.WORKER else self.app
                for app, bound in zip((main, self.management_app), sockets, strict=False):
                    server = Server(server_config(app, self.settings))
                    self.servers.append(server)
                    tasks.start_soon(server.serve, [bound])
                listening(url_of(sockets[0]))
                tasks.start_soon(self._drain_when, stop)

    async def _drain_when(self, stop: anyio.Event) -> None:
        """Answer readiness with 503 at once, go on for the delay, then close in order."""
        await stop.wait()
        self.state.draining = True
        self.telemetry.told("service.draining")
        await anyio.sleep(self.settings.drain_delay.total_seconds())
        for server in self.servers:
            server.should_exit = True
        await self.workers.drain(self.settings.grace)


async def serve(settings: Settings, role: Role = Role.ALL) -> None:
    """Run the service until SIGTERM or SIGINT; a second signal ends it at once.

    Raises InvalidSettings for what an operator has to mend before it can run.
    """
    if role is not Role.ALL and not settings.store.is_postgres:
        message = f"{role.value!r}: a SQLite store belongs to one process, whose role is all"
        raise InvalidSettings([Fault("--role", message)])
    log = settings.log or (LogFormat.CONSOLE if sys.stdout.isatty() else LogFormat.JSON)
    stream = LogStream(sys.stdout)
    configure_logging(json=log is LogFormat.JSON, stream=cast("TextIO", stream))
    try:
        async with open_house(settings) as house:
            house.role = role
            calm_the_collector()
            stop = anyio.Event()
            async with anyio.create_task_group() as tasks:
                await tasks.start(_stop_on_signal, stop)
                await house.run(stop, listening=lambda url: _tell_listening(house, url))
                tasks.cancel_scope.cancel()
    finally:
        stream.close()


def calm_the_collector() -> None:
    """Let the garbage collector pass over what lives as long as the service, and come more rarely.

    Nearly everything that a webhook or a delivery leaves behind is freed by its last reference;
    looking for cycles after every 700 new objects took 6 % of our CPU under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_UNTIL_COLLECTED)


def _tell_listening(house: House, url: str) -> None:
    for warning in house.warnings:
        house.telemetry.told("service.warning", warning=warning)
    house.telemetry.told("service.listening", url=url)


async def _stop_on_signal(stop: anyio.Event, *, task_status: TaskStatus[None]) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for number in signals:
            if stop.is_set():
                # At once means at once: what is on disk is safe, and nothing else counts.
                os._exit(128 + number)
            stop.set()


@asynccontextmanager
async def open_house(settings: Settings, *, apply: bool = True) -> AsyncIterator[House]:
    """Build the whole house from *settings*, and close it again.

    Without *apply* the declarative file is only read, and nothing of it is written down.

    Raises InvalidSettings for everything that an operator has to mend before the service can run.
    """
    clock = SystemClock()
    policy = EgressPolicy.from_text(
        settings.egress, map(str, settings.egress_allow), settings.egress_allow_http
    )
    seal = _seal(settings)
    store = await open_store(settings, seal=seal, clock=clock)
    async with _closing(store.close):
        vault, warnings = await _vault(settings, store=store, seal=seal, clock=clock)
        async with _closing(lambda: to_thread.run_sync(vault.close)):
            agent = f"backchannel-logout-dispatcher/{VERSION}"
            sender = HttpSender(policy, now=clock.now, user_agent=agent)
            async with _closing(sender.close):
                key_sets = HttpKeySets(user_agent=agent)
                signer, verifier = VaultSigner(vault), VaultVerifier(clock, key_sets)
                rooms = _Rooms(settings, clock, policy, store, signer, verifier, sender)
                declared = _declared(settings, policy, signer.algorithms)
                if apply:
                    warnings = (*warnings, *await _apply(declared, rooms))
                keyless = without_key(store.applications.values(), signer.algorithms)
                yield _assembled(rooms, declared, (*warnings, *keyless))


@dataclass(frozen=True, slots=True)
class _Rooms:
    """What the house is assembled from."""

    settings: Settings
    clock: SystemClock
    policy: EgressPolicy
    store: Store
    signer: VaultSigner
    verifier: VaultVerifier
    sender: HttpSender


def _assembled(rooms: _Rooms, declared: Declared, warnings: Sequence[str]) -> House:
    settings, store, state = rooms.settings, rooms.store, ServiceState()
    telemetry = Telemetry(
        clock=rooms.clock,
        version=VERSION,
        known_initiators=settings.known_initiators,
        is_source=lambda name: name in store.sources,
    )
    doors = _doors(rooms, telemetry, state)
    return House(
        settings=settings,
        clock=rooms.clock,
        store=store,
        signer=rooms.signer,
        telemetry=telemetry,
        workers=_workers(rooms, telemetry, doors.waiting),
        tending=Tending(keys=rooms.signer, telemetry=telemetry, clock=rooms.clock),
        app=build(doors, management=settings.management_listen is None),
        management_app=build_management(doors),
        state=state,
        declared=declared,
        warnings=warnings,
    )


def _doors(rooms: _Rooms, telemetry: Telemetry, state: ServiceState) -> Doors:
    settings, store = rooms.settings, rooms.store
    return Doors(
        queue=store,
        registry=store,
        sessions=store,
        ledger=store,
        health=store,
        keys=rooms.signer,
        verifier=rooms.verifier,
        telemetry=telemetry,
        clock=rooms.clock,
        waiting=Waiting(ledger=store),
        issuer=settings.issuer,
        public_url=settings.shown_url,
        known_initiators=frozenset(settings.known_initiators),
        rules=_rules(settings, rooms.signer.algorithms),
        discovery_extra=_discovery_extra(settings.discovery_extra),
        metrics=telemetry.exposition,
        readiness=state.readiness,
        check_application=lambda application: check_application(application, rooms.policy),
        check_source=faults_of_source,
    )


def _workers(rooms: _Rooms, telemetry: Telemetry, waiting: Waiting) -> Workers:
    settings, store, clock = rooms.settings, rooms.store, rooms.clock
    terms = Terms(
        issuer=settings.issuer,
        lifetime=timedelta(seconds=settings.token_lifetime),
        timeout=timedelta(seconds=settings.attempt_timeout),
        horizon=settings.horizon,
        new_jti=partial(next, random_ids()),
        jitter=random.random,
    )
    retention = Retention(
        settled=settings.retention,
        failed=settings.retention_failed,
        sessions=settings.session_retention,
    )
    return Workers(
        queue=store,
        deliver=Deliver(
            registry=store, signer=rooms.signer, sender=rooms.sender, clock=clock, terms=terms
        ),
        upkeep=Upkeep(queue=store, ledger=store, telemetry=telemetry, retention=retention),
        waiting=waiting,
        telemetry=telemetry,
        clock=clock,
        max_in_flight=settings.max_in_flight,
    )


def _rules(settings: Settings, algorithms: Sequence[str]) -> RegistrationRules:
    return RegistrationRules(
        known_initiators=settings.known_initiators,
        algorithms=algorithms,
        allow_http=settings.egress_allow_http,
    )


def _seal(settings: Settings) -> Seal:
    try:
        return Seal.from_text(settings.master_key.get_secret_value())
    except KeysError as error:
        raise InvalidSettings([Fault("DISPATCHER_MASTER_KEY", str(error))]) from None


async def _vault(
    settings: Settings, *, store: Store, seal: Seal, clock: SystemClock
) -> tuple[Vault, Sequence[str]]:
    """Open the vault on the ring in the store, or on the OP's own keys in a folder."""
    folder = settings.keys.removeprefix("folder:")
    try:
        imported = load_folder(Path(folder)) if settings.keys != "generated" else None
        vault = await Vault.open(
            store=store,
            seal=seal,
            algorithms=settings.algorithms,
            now=clock.now(),
            imported=imported.keys if imported else (),
        )
    except KeysError as error:
        raise InvalidSettings([Fault("DISPATCHER_KEYS", str(error))]) from error
    return vault, imported.warnings if imported else ()


def _declared(settings: Settings, policy: EgressPolicy, algorithms: Sequence[str]) -> Declared:
    """Read the declarative file, and check what only adapters can: secrets, certificates, CIDRs."""
    if settings.config is None:
        return Declared()
    declared = read_declared(settings.config, _rules(settings, algorithms))
    faults = [
        Fault(f"applications.{application.client_id}.{fault.field}", fault.message)
        for application in declared.applications
        for fault in check_application(application, policy)
    ]
    faults += [
        Fault(f"sources.{source.name}.{fault.field}", fault.message)
        for source in declared.sources
        for fault in faults_of_source(source)
    ]
    if faults:
        raise InvalidSettings([Fault(f"{settings.config}: {f.field}", f.message) for f in faults])
    return declared


async def _apply(declared: Declared, rooms: _Rooms) -> Sequence[str]:
    """Write down what the declarative file names; return what is worth telling."""
    if rooms.settings.config is None:
        return ()
    store, clients = rooms.store, declared.management_clients
    return (
        *await declare_sources(declared.sources, registry=store),
        *await declare_clients(clients, registry=store, verifier=rooms.verifier),
        *await declare(declared.applications, registry=store),
    )


def _discovery_extra(path: Path | None) -> Mapping[str, object]:
    if path is None:
        return {}
    try:
        extra = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        fault = Fault("DISPATCHER_DISCOVERY_EXTRA", f"can not be read: {type(error).__name__}")
        raise InvalidSettings([fault]) from None
    if not isinstance(extra, dict) or not is_json(extra):
        # Read here is also what JSON can not write: NaN, 1e999, half of a character.
        raise InvalidSettings([Fault("DISPATCHER_DISCOVERY_EXTRA", "must hold a JSON object")])
    return extra


@asynccontextmanager
async def _meanwhile(*works: Callable[[], Coroutine[None, None, None]]) -> AsyncIterator[None]:
    """Let *works* go on for as long as this is open."""
    async with anyio.create_task_group() as tasks:
        for work in works:
            tasks.start_soon(work)
        yield
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def _closing(close: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Close at the end, even where the end is a cancellation."""
    try:
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await close()
