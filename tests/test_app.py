"""The roof: the whole house opens from its settings alone, says what is wrong, and closes again."""

import asyncio
import base64
import gc
import json
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from standardwebhooks.webhooks import Webhook

from dispatcher.app import House, Role, calm_the_collector, open_house
from dispatcher.domain.applications import ManagedBy
from dispatcher.domain.errors import InvalidSettings
from dispatcher.domain.events import ClientId
from dispatcher.domain.sources import Access, ManagementClient, Scope
from dispatcher.settings import Settings
from keys import SigningKey, hash_token
from tests.kit.folders import a_folder
from tests.kit.rp_server import RpServer, answers
from tests.kit.service import Service, free_port, toml_of

PATIENCE = 15.0
SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def a_master_key() -> str:
    """Return a random master key as an operator writes it."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")


def an_application(uri: str = "https://shop.example/out", **members: Any) -> dict[str, Any]:
    """Return an application as the declarative file names it."""
    return {
        "client_id": "shop",
        "name": "Shop",
        "jwt_configuration": {"alg": "ES256"},
        "oidc_logout": {
            "backchannel_logout_urls": [uri],
            "backchannel_logout_initiators": {"mode": "all"},
        },
        **members,
    }


@dataclass
class Premises:
    """A folder with the files of one deployment, and the environment that points to them."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Set what every deployment needs."""
        self.environ = {
            "DISPATCHER_ISSUER": "https://op.example/",
            "DISPATCHER_STORE": f"sqlite:///{self.folder / 'store.db'}",
            "DISPATCHER_LISTEN": "127.0.0.1:0",
            "DISPATCHER_MASTER_KEY": a_master_key(),
            "DISPATCHER_ALGORITHMS": "ES256",
            "DISPATCHER_EGRESS_ALLOW": "127.0.0.0/8",
            "DISPATCHER_EGRESS_ALLOW_HTTP": "true",
            "DISPATCHER_DISK_RESERVE": "0",
            "DISPATCHER_DRAIN_DELAY": "0s",
        }

    def set(self, **variables: object) -> None:
        """Set variables, without their prefix."""
        self.environ |= {f"DISPATCHER_{name}": str(value) for name, value in variables.items()}

    def file(self, name: str, text: str) -> Path:
        """Write a file."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def declare(self, *applications: Mapping[str, Any], **tables: Any) -> None:
        """Write the declarative file."""
        tables = {
            "sources": [{"name": "idp", "secret": SECRET}],
            "applications": list(applications),
            **tables,
        }
        lines = [f"{name} = {toml_of(table)}" for name, table in tables.items()]
        self.set(CONFIG=self.file("dispatcher.toml", "\n".join(lines)))

    @property
    def settings(self) -> Settings:
        """The settings as they would be read at the start."""
        return Settings.from_env(self.environ)


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio, as the server does."""
    return "asyncio"


@pytest.fixture
def premises() -> Iterator[Premises]:
    """Return a deployment of its own."""
    with a_folder() as folder:
        yield Premises(folder)


@dataclass
class Running:
    """A house at work, and somebody who speaks to it."""

    house: House
    http: httpx2.AsyncClient
    stop: anyio.Event
    cut_short: Callable[[], None]

    async def webhook(self, event: Mapping[str, Any]) -> httpx2.Response:
        """Send one event, signed by the reference library."""
        body, now = json.dumps(event), datetime.now(UTC)
        headers = {
            "webhook-id": event["id"],
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(SECRET).sign(event["id"], now, body),
            "content-type": "application/json",
        }
        return await self.http.post("/webhooks/idp", content=body, headers=headers)


@asynccontextmanager
async def a_running_house(premises: Premises) -> AsyncIterator[Running]:
    """Open the house, run it, and let it drain at the end."""
    with anyio.fail_after(PATIENCE):
        async with open_house(premises.settings) as house, anyio.create_task_group() as tasks:
            urls: list[str] = []
            stop = anyio.Event()
            tasks.start_soon(partial(house.run, stop, listening=urls.append))
            while not urls:  # noqa: ASYNC110 - the callback is not a coroutine's
                await anyio.sleep(0.001)
            async with httpx2.AsyncClient(base_url=urls[0]) as http:
                yield Running(house, http, stop, tasks.cancel_scope.cancel)
            stop.set()


async def until_asked(rp: RpServer, requests: int = 1) -> None:
    """Return when so many tokens have reached *rp*."""
    while len(rp.requests) < requests:  # noqa: ASYNC110 - it tells nobody
        await anyio.sleep(0.002)


async def test_a_house_built_from_its_settings_does_the_main_job(premises: Premises) -> None:
    """A webhook that is accepted becomes a token that verifies by the keys which are published."""
    async with RpServer(answers(200)) as rp:
        premises.declare(an_application(rp.uri()))

        async with a_running_house(premises) as running:
            answer = await running.webhook(
                {
                    "id": "e1",
                    "initiator": "rp-logout",
                    "sid": "s1",
                    "clients": [{"client_id": "shop"}],
                }
            )
            await until_asked(rp)
            jwks = (await running.http.get("/.well-known/jwks.json")).json()
            ready = await running.http.get("/readyz")

    token = rp.requests[0].body.decode().removeprefix("logout_token=")
    claims = jwt.decode(token, KeySet.import_key_set(jwks), algorithms=["ES256"]).claims
    assert (answer.status_code, ready.status_code) == (202, 200)
    assert (claims["iss"], claims["aud"], claims["sid"]) == ("https://op.example/", "shop", "s1")


@pytest.mark.parametrize("role", Role)
async def test_every_process_compares_its_clocks(premises: Premises, role: Role) -> None:
    """Whatever its role, a process shows how far its wall clock is from the steady one."""
    async with open_house(premises.settings) as house, anyio.create_task_group() as tasks:
        house.role = role
        house.clock.follow(house.clock.steady() - timedelta(hours=1), timedelta())
        tasks.start_soon(partial(house.run, anyio.Event(), listening=lambda _: None))
        with anyio.fail_after(PATIENCE):
            shown = house.telemetry.exposition
            while b"clock_drift_seconds 36" not in shown()[0]:  # noqa: ASYNC110 - it tells nobody
                await anyio.sleep(0.001)
        tasks.cancel_scope.cancel()


async def test_a_store_belongs_to_one_house(premises: Premises) -> None:
    """A second house on the same store does not open while the first one is."""
    async with open_house(premises.settings):
        with pytest.raises(InvalidSettings, match=r"DISPATCHER_STORE: .* in use"):
            async with open_house(premises.settings):
                pass


async def test_a_house_runs_again_on_the_same_folder(premises: Premises) -> None:
    """What one run accepted, made and was told is there in the next: keys, events, applications."""
    async with RpServer(answers(200)) as rp:
        premises.declare(an_application(rp.uri()))
        event = {
            "id": "e1",
            "initiator": "rp-logout",
            "sid": "s1",
            "clients": [{"client_id": "shop"}],
        }
        told, jwks = [], []
        for _ in range(2):
            async with a_running_house(premises) as running:
                told.append((await running.webhook(event)).json())
                await until_asked(rp)
                jwks.append((await running.http.get("/.well-known/jwks.json")).json())

    assert told[0] == told[1]
    assert jwks[0] == jwks[1]
    assert len(rp.requests) == 1


async def test_a_house_that_is_told_to_stop_says_so_before_it_closes(premises: Premises) -> None:
    """During the drain delay readiness answers 503 and names it, and intake goes on."""
    premises.set(DRAIN_DELAY="1m")
    premises.declare(an_application())

    async with a_running_house(premises) as running:
        running.stop.set()
        while not running.house.state.draining:  # noqa: ASYNC110 - it tells nobody
            await anyio.sleep(0.001)
        ready = await running.http.get("/readyz")
        answer = await running.webhook({"id": "e1", "initiator": "rp-logout", "sid": "s1"})
        running.cut_short()

    assert (ready.status_code, answer.status_code) == (503, 202)
    assert ready.json()["checks"]["draining"] == "the service is shutting down"


async def test_management_has_a_listener_of_its_own_where_it_is_set(premises: Premises) -> None:
    """Health and metrics are served there and no more in public; nothing else is served there."""
    port = free_port()
    premises.set(MANAGEMENT_LISTEN=f"127.0.0.1:{port}")
    management = f"http://127.0.0.1:{port}"
    operational = ["/livez", "/readyz", "/healthz", "/metrics"]

    async with a_running_house(premises) as running:
        public = [(await running.http.get(path)).status_code for path in operational]
        inside = [(await running.http.get(management + path)).status_code for path in operational]
        keys = [
            (await running.http.get(base + "/.well-known/jwks.json")).status_code
            for base in ("", management)
        ]

    assert (public, inside) == ([404] * 4, [200] * 4)
    assert keys == [200, 404]


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the system can not do it")
async def test_who_reads_no_answer_is_let_go(
    premises: Premises, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection whose peer asks and takes nothing ends, or a few of them would hold all room."""
    monkeypatch.setattr("dispatcher.listeners.UNREAD_SECONDS", 1)

    async with a_running_house(premises) as running:
        connections = running.house.servers[0].server_state.connections
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            deaf.setblocking(False)  # noqa: FBT003 - the standard library's own signature
            address = (running.http.base_url.host, running.http.base_url.port)
            await asyncio.get_running_loop().sock_connect(deaf, address)
            deaf.send(b"GET /docs HTTP/1.1\r\nhost: x\r\n\r\n" * 100)
            while not connections:  # noqa: ASYNC110 - it tells nobody
                await anyio.sleep(0.002)
            while connections:  # noqa: ASYNC110 - nor then
                await anyio.sleep(0.01)
        alive = await running.http.get("/livez")

    assert alive.status_code == 200


@pytest.mark.parametrize("listen", ["127.0.0.1", "[::]"])
async def test_a_trusted_proxy_is_believed_whoever_listens(premises: Premises, listen: str) -> None:
    """Whom a proxy speaks for is told by its header, also where IPv4 comes in over IPv6."""
    port = free_port()
    premises.set(LISTEN=f"{listen}:{port}", PUBLIC_URL="https://logout.example")
    premises.set(TRUSTED_PROXIES="127.0.0.0/8")

    async with a_running_house(premises) as running:

        async def guess(address: str) -> int:
            return (
                await running.http.post(
                    f"http://127.0.0.1:{port}/oauth/token",
                    data={"grant_type": "client_credentials"},
                    auth=("ops", "guessed"),
                    headers={"x-forwarded-for": address},
                )
            ).status_code

        while await guess("192.0.2.1") != 429:
            pass
        elsewhere = await guess("192.0.2.2")

    assert elsewhere == 401


async def test_the_extra_members_of_discovery_are_served(premises: Premises) -> None:
    """The members of the operator's file stand in the discovery document."""
    extra = premises.file("extra.json", '{"authorization_endpoint": "https://op.example/auth"}')
    premises.set(DISCOVERY_EXTRA=extra)

    async with a_running_house(premises) as running:
        document = (await running.http.get("/.well-known/openid-configuration")).json()

    assert document["authorization_endpoint"] == "https://op.example/auth"
    assert document["issuer"] == "https://op.example/"


async def test_a_master_key_is_changed_by_a_start_with_both(premises: Premises) -> None:
    """After one start with new and old key the new one alone opens the store, the old no more."""
    premises.declare(an_application())
    old, new = premises.environ["DISPATCHER_MASTER_KEY"], a_master_key()
    sources = []
    for keys in (old, f"{new},{old}", new):
        premises.set(MASTER_KEY=keys)
        async with open_house(premises.settings) as house:
            sources.append(list(house.store.sources))

    premises.set(MASTER_KEY=old)
    with pytest.raises(InvalidSettings, match="DISPATCHER_MASTER_KEY"):
        async with open_house(premises.settings):
            pass
    assert sources == [["idp"]] * 3


async def test_what_left_the_file_is_among_the_warnings(premises: Premises) -> None:
    """A house tells of applications and sources that its file no longer names, and keeps them."""
    premises.declare(an_application())
    async with open_house(premises.settings) as house:
        first = house.warnings
    premises.declare(sources=[])

    async with open_house(premises.settings) as house:
        second = house.warnings
        application = house.store.applications[ClientId("shop")]
        sources = list(house.store.sources)

    assert first == ()
    assert [line.split(" has left ")[0] for line in second] == ["source idp", "application shop"]
    assert (application.managed_by, sources) == (ManagedBy.API, ["idp"])


async def test_keys_from_a_folder_are_published_with_what_to_look_at(premises: Premises) -> None:
    """A house on the OP's own keys publishes those, and warns of files that it did not read."""
    keys = premises.folder / "keys"
    keys.mkdir()
    (keys / "readme.txt").write_text("not a key")
    (keys / "op.pem").write_bytes(SigningKey.generate("ES256", now=datetime.now(UTC)).to_pem())
    premises.set(KEYS=f"folder:{keys}")

    async with open_house(premises.settings) as house:
        published = house.signer.jwks()["keys"]

    assert isinstance(published, list)
    assert len(published) == 1
    assert any("readme.txt" in warning for warning in house.warnings)


def a_key_for_one_of_two(premises: Premises) -> None:
    """Enable two algorithms, of which the folder of keys has one."""
    keys = premises.folder / "keys"
    keys.mkdir()
    (keys / "op.pem").write_bytes(SigningKey.generate("ES256", now=datetime.now(UTC)).to_pem())
    premises.set(KEYS=f"folder:{keys}", ALGORITHMS="ES256,EdDSA")


async def test_only_what_there_is_a_key_for_can_be_registered(premises: Premises) -> None:
    """The API accepts the algorithms that there are keys for, not all that are enabled."""
    a_key_for_one_of_two(premises)
    codes = []

    async with a_running_house(premises) as running:
        bearer = await an_access_token(running.house, Scope.CREATE_CLIENTS)
        for alg in ("ES256", "EdDSA"):
            client = {"name": alg, "jwt_configuration": {"alg": alg}}
            answer = await running.http.post(
                "/api/v2/clients", json=client, headers={"authorization": f"Bearer {bearer}"}
            )
            codes.append(answer.status_code)

    assert codes == [201, 400]


async def an_access_token(house: House, *scopes: Scope) -> str:
    """Return a token with which the API may be called."""
    token, client_id = secrets.token_urlsafe(32), ClientId("ops")
    client = ManagementClient(client_id=client_id, secret_hash="none", scopes=frozenset(scopes))
    until = house.clock.now() + timedelta(hours=1)
    await house.store.put_management_client(client)
    access = Access(client_id=client_id, scopes=client.scopes, expires_at=until)
    await house.store.grant(hash_token(token), access)
    return token


async def test_an_application_whose_key_is_gone_is_among_the_warnings(premises: Premises) -> None:
    """What is in the store and can not be signed for is told at the start, and only that."""
    eddsa: dict[str, Any] = {"jwt_configuration": {"alg": "EdDSA"}}
    premises.set(ALGORITHMS="ES256,EdDSA")
    silent = {**an_application(client_id="silent", **eddsa), "oidc_logout": {}}
    premises.declare(an_application(), an_application(client_id="eddsa", **eddsa), silent)
    async with open_house(premises.settings) as house:
        before = house.warnings
    premises.set(ALGORITHMS="ES256")
    premises.declare(an_application())

    async with open_house(premises.settings) as house:
        warnings = [line for line in house.warnings if "no key" in line]

    assert before == ()
    assert len(warnings) == 1
    assert "application eddsa " in warnings[0]
    assert "EdDSA" in warnings[0]


def wrong_master_key(premises: Premises) -> str:
    """Start on a store that was made under another master key."""
    anyio.run(_opened, premises)
    premises.set(MASTER_KEY=a_master_key())
    return "DISPATCHER_MASTER_KEY"


async def _opened(premises: Premises) -> None:
    """Open the house, and close it."""
    async with open_house(premises.settings):
        pass


def malformed_master_key(premises: Premises) -> str:
    """Start with a master key that is too short."""
    premises.set(MASTER_KEY="c2hvcnQ")
    return "DISPATCHER_MASTER_KEY"


def no_keys_folder(premises: Premises) -> str:
    """Start on keys in a folder that is not there."""
    premises.set(KEYS=f"folder:{premises.folder / 'nowhere'}")
    return "DISPATCHER_KEYS"


def empty_keys_folder(premises: Premises) -> str:
    """Start on keys in a folder that holds none: none is made instead."""
    (premises.folder / "keys").mkdir()
    premises.set(KEYS=f"folder:{premises.folder / 'keys'}")
    return "DISPATCHER_KEYS"


def no_discovery_extra(premises: Premises) -> str:
    """Start with a file of extra members that is not there."""
    premises.set(DISCOVERY_EXTRA=premises.folder / "nowhere.json")
    return "DISPATCHER_DISCOVERY_EXTRA"


def broken_discovery_extra(premises: Premises) -> str:
    """Start with a file of extra members that is no JSON."""
    premises.set(DISCOVERY_EXTRA=premises.file("extra.json", "{"))
    return "DISPATCHER_DISCOVERY_EXTRA"


def discovery_extra_list(premises: Premises) -> str:
    """Start with a file of extra members that has none."""
    premises.set(DISCOVERY_EXTRA=premises.file("extra.json", "[]"))
    return "DISPATCHER_DISCOVERY_EXTRA"


def discovery_extra_without_meaning(premises: Premises) -> str:
    """Start with a file of extra members that JSON has no word for."""
    premises.set(DISCOVERY_EXTRA=premises.file("extra.json", '{"a": NaN}'))
    return "DISPATCHER_DISCOVERY_EXTRA"


def discovery_extra_too_large(premises: Premises) -> str:
    """Start with a file of extra members that holds a number beyond all that can be written."""
    premises.set(DISCOVERY_EXTRA=premises.file("extra.json", '{"a": 1e999}'))
    return "DISPATCHER_DISCOVERY_EXTRA"


def metadata_allowed(premises: Premises) -> str:
    """Start with an allow-list that nothing opens."""
    premises.set(EGRESS_ALLOW="169.254.0.0/16")
    return "DISPATCHER_EGRESS_ALLOW[0]"


def no_declarative_file(premises: Premises) -> str:
    """Start with a declarative file that is not there."""
    premises.set(CONFIG=premises.folder / "nowhere.toml")
    return "nowhere.toml"


def faulty_declarative_file(premises: Premises) -> str:
    """Start with an application that has no name."""
    nameless = an_application()
    del nameless["name"]
    premises.declare(nameless)
    return "dispatcher.toml: applications[0].name"


def no_ca_file(premises: Premises) -> str:
    """Start with an application whose CA file is not there."""
    where = str(premises.folder / "nowhere.pem")
    premises.declare(an_application(logout_delivery={"ca_file": where}))
    return "dispatcher.toml: applications.shop.logout_delivery.ca_file"


def no_key_for_an_application(premises: Premises) -> str:
    """Start with an application whose algorithm is enabled and has no key."""
    a_key_for_one_of_two(premises)
    premises.declare(an_application(jwt_configuration={"alg": "EdDSA"}))
    return "dispatcher.toml: applications[0].jwt_configuration.alg"


def malformed_webhook_secret(premises: Premises) -> str:
    """Start with a webhook secret that is no base64."""
    premises.declare(sources=[{"name": "idp", "secret": "whsec_notverysecret!"}])
    return "dispatcher.toml: sources.idp.secret"


def no_folder_for_the_store(premises: Premises) -> str:
    """Start on a store in a folder that is not there."""
    premises.set(STORE=f"sqlite:///{premises.folder / 'nowhere' / 'store.db'}")
    return "DISPATCHER_STORE"


BAD_STARTS: list[Callable[[Premises], str]] = [
    wrong_master_key,
    malformed_master_key,
    no_keys_folder,
    empty_keys_folder,
    no_discovery_extra,
    broken_discovery_extra,
    discovery_extra_list,
    discovery_extra_without_meaning,
    discovery_extra_too_large,
    metadata_allowed,
    no_declarative_file,
    faulty_declarative_file,
    no_ca_file,
    no_key_for_an_application,
    malformed_webhook_secret,
    no_folder_for_the_store,
]


@pytest.mark.parametrize("spoil", BAD_STARTS)
def test_a_start_that_can_not_succeed_names_what_to_mend(
    premises: Premises, spoil: Callable[[Premises], str]
) -> None:
    """What an operator has to mend is named, by variable or by file and member; nothing is left.

    No secret is quoted, and what was opened is closed: a start with the fault mended succeeds.
    """
    mended = dict(premises.environ)
    named = spoil(premises)

    with pytest.raises(InvalidSettings) as raised:
        anyio.run(_opened, premises)

    faults = [str(fault) for fault in raised.value.faults]
    assert [named in fault for fault in faults] == [True], faults
    assert premises.environ["DISPATCHER_MASTER_KEY"] not in faults[0]
    assert "notverysecret" not in faults[0]
    premises.environ = mended
    anyio.run(_opened, premises)


@pytest.mark.parametrize("variable", ["LISTEN", "MANAGEMENT_LISTEN"])
async def test_a_port_in_use_stops_the_start_with_its_variable(
    premises: Premises, variable: str
) -> None:
    """A house does not run where it can not listen, and lets go of what it could."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        premises.set(**{variable: f"127.0.0.1:{taken.getsockname()[1]}"})

        async with open_house(premises.settings) as house:
            with pytest.raises(InvalidSettings, match=rf"DISPATCHER_{variable}: .* in use"):
                await house.run(anyio.Event(), listening=lambda _: None)


def test_a_port_in_use_is_one_clear_line(premises: Premises) -> None:
    """The command ends with exit code 1 and one line: no traceback, no group of errors."""
    with socket.create_server(("127.0.0.1", 0)) as taken, Service(premises.folder, []) as service:
        service.port = taken.getsockname()[1]
        service.environment = {"DISPATCHER_ALGORITHMS": "ES256"}

        with pytest.raises(RuntimeError):
            service.start()

    assert service.process is not None
    assert service.process.returncode == 1
    assert service.log.read_text() == (
        f"error: DISPATCHER_LISTEN: 127.0.0.1:{service.port}: Address already in use\n"
    )


def test_the_service_tells_its_warnings_when_it_starts(premises: Premises) -> None:
    """What left the declarative file stands in the log of the service, not in a command's alone."""
    environment = {"DISPATCHER_ALGORITHMS": "ES256"}
    with Service(premises.folder, [an_application()], environment) as service:
        service.start()
        service.stop()
        service.config.write_text("", encoding="utf-8")
        service.start()
        service.stop()

    facts = [json.loads(line) for line in service.log.read_text().splitlines()]
    warnings = [fact["warning"] for fact in facts if fact["event"] == "service.warning"]
    assert [line.split(" has left ")[0] for line in warnings] == [
        "source idp", "management client ops", "application shop",
    ]  # fmt: skip


async def test_a_management_client_that_left_the_file_may_do_nothing(premises: Premises) -> None:
    """Who may call the API is what the file says at the start, and the log tells who went."""
    client = {"client_id": "ops", "client_secret": "not told", "scopes": ["read:clients"]}
    premises.declare(management_clients=[client])
    async with open_house(premises.settings) as house:
        token = await an_access_token(house, Scope.READ_CLIENTS)
        opened = await house.store.access(hash_token(token))
    premises.declare(management_clients=[])

    async with open_house(premises.settings) as house:
        warnings = [line for line in house.warnings if "ops" in line]
        kept = await house.store.management_client(ClientId("ops"))
        closed = await house.store.access(hash_token(token))

    assert opened is not None
    assert len(warnings) == 1
    assert (kept, closed) == (None, None)


def test_the_collector_passes_over_what_lives_as_long_as_the_service() -> None:
    """What is there when the service starts is gone through no more, and cycles more rarely."""
    usual, frozen = gc.get_threshold(), gc.get_freeze_count()
    try:
        calm_the_collector()
        calmed = gc.get_threshold()[0], gc.get_freeze_count()
    finally:
        gc.unfreeze()
        gc.set_threshold(*usual)

    assert calmed[0] > usual[0]
    assert calmed[1] > frozen
