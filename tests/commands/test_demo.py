"""``dispatcher demo``: its sample applications keep the rules, and it tells good from bad."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import anyio
import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, Key, KeySet, RSAKey
from rich.console import Console

from dispatcher.commands.demo import show
from dispatcher.commands.demo import stage as on_stage
from dispatcher.commands.demo.play import Check, Facts, Row, concluded, performed
from dispatcher.commands.demo.rp import LOGOUT_EVENT, Registration, SampleRp, published_keys
from dispatcher.commands.demo.scenario import (
    SCENARIO,
    Fate,
    SampleApplication,
    SampleEvent,
    SampleSession,
    Scenario,
)
from dispatcher.commands.demo.source import Source, signed
from dispatcher.commands.demo.stage import staged
from dispatcher.commands.demo.table import WIDTH, outcome_table, verdict
from dispatcher.domain.applications import Mode
from keys.webhook_signature import Verdict, verify

ISSUER = "https://op.example"
RSA = RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig", "alg": "RS256"})
EC = ECKey.generate_key("P-256", {"kid": "ec", "use": "sig", "alg": "ES256"})
STRANGER = RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig", "alg": "RS256"})
NEXT = RSAKey.generate_key(2048, {"kid": "next", "use": "sig", "alg": "RS256"})
GOOD_HEADER = {"alg": "RS256", "kid": "rsa", "typ": "logout+jwt"}
SESSIONS = {"alice-phone": "alice", "alice-laptop": "alice", "bob-phone": "bob"}
AFTER_ALICE = {"bob-phone": "bob"}
DEMO = [sys.executable, "-m", "dispatcher", "demo"]


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio: uvicorn serves the sample applications."""
    return "asyncio"


class Published:
    """A JWK Set that can be changed, and how often it was fetched."""

    def __init__(self, *keys: RSAKey | ECKey) -> None:
        self.keys: list[Key] = list(keys)
        self.fetched = 0

    async def __call__(self) -> Mapping[str, Any]:
        """Return the set as it is now."""
        self.fetched += 1
        return {**KeySet(self.keys).as_dict(private=False)}


def an_rp(published: Published | None = None, *, stumbles: int = 0) -> SampleRp:
    """Build a sample application with three sessions."""
    return SampleRp(
        Registration(client_id="shop", issuer=ISSUER, algorithm="RS256", token_type="logout+jwt"),
        sessions=SESSIONS,
        fetch_keys=published or Published(RSA, EC),
        stumbles=stumbles,
    )


def claims(**changes: object) -> dict[str, object]:
    """Return a good token's claims with *changes*; None leaves a claim out."""
    now = int(time.time())
    good: dict[str, object] = {
        "iss": ISSUER,
        "aud": "shop",
        "iat": now,
        "exp": now + 120,
        "jti": "jti-1",
        "events": {LOGOUT_EVENT: {}},
        "sub": "alice",
        "sid": "alice-phone",
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


def a_token(
    header: Mapping[str, str] = GOOD_HEADER, key: RSAKey | ECKey = RSA, **changes: object
) -> str:
    """Sign a good logout token, but for what is given."""
    return jwt.encode(dict(header), claims(**changes), key, default_type=None)


def unsigned() -> str:
    """Return a token with ``alg`` none."""
    parts = ({"alg": "none", "kid": "rsa", "typ": "logout+jwt"}, claims())
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()) for part in parts)
    return ".".join(part.decode().rstrip("=") for part in encoded) + "."


async def post(rp: SampleRp, token: str, **others: str) -> httpx2.Response:
    """POST a logout token to *rp*, with *others* beside it in the form."""
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=rp.app), base_url="http://rp"
    ) as client:
        return await client.post("/backchannel-logout", data={"logout_token": token, **others})


BAD: dict[str, Callable[[], str]] = {
    "alg none": unsigned,
    "no event": lambda: a_token(events={}),
    "no events claim": lambda: a_token(events=None),
    "with nonce": lambda: a_token(nonce="n"),
    "wrong alg": lambda: a_token({**GOOD_HEADER, "alg": "ES256", "kid": "ec"}, EC),
    "wrong aud": lambda: a_token(aud="wiki"),
    "wrong event": lambda: a_token(events={LOGOUT_EVENT.replace("http:", "https:"): {}}),
    "event is no empty object": lambda: a_token(events={LOGOUT_EVENT: {"a": 1}}),
    "two events": lambda: a_token(events={LOGOUT_EVENT: {}, "urn:other": {}}),
    "wrong issuer": lambda: a_token(iss=f"{ISSUER}/"),
    "bad signature": lambda: a_token(key=STRANGER),
    "unknown kid": lambda: a_token({**GOOD_HEADER, "kid": "other"}),
    "no kid": lambda: a_token({"alg": "RS256", "typ": "logout+jwt"}),
    "wrong typ": lambda: a_token({**GOOD_HEADER, "typ": "JWT"}),
    "no typ": lambda: a_token({"alg": "RS256", "kid": "rsa"}),
    "expired": lambda: a_token(iat=int(time.time()) - 100, exp=int(time.time()) - 10),
    "no exp": lambda: a_token(exp=None),
    "too old": lambda: a_token(iat=int(time.time()) - 600),
    "from the future": lambda: a_token(iat=int(time.time()) + 60),
    "no iat": lambda: a_token(iat=None),
    "no jti": lambda: a_token(jti=None),
    "no iss": lambda: a_token(iss=None),
    "no aud": lambda: a_token(aud=None),
    "neither sub nor sid": lambda: a_token(sub=None, sid=None),
    "sid is a number": lambda: a_token(sid=7),
    "no token": lambda: "",
    "no JWT": lambda: "a.b.c",
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_token_is_refused(name: str) -> None:
    """A token that breaks one rule of section 2.6 gets 400 and ends no session."""
    rp = an_rp()

    answer = await post(rp, BAD[name]())

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert answer.headers["cache-control"] == "no-store"
    assert (rp.sessions, rp.heard, len(rp.refused)) == (SESSIONS, [], 1)


async def test_replayed_jti_is_refused() -> None:
    """A jti is good for one token only."""
    rp = an_rp()
    await post(rp, a_token())

    answer = await post(rp, a_token(sid="alice-laptop"))

    assert answer.status_code == 400
    assert "alice-laptop" in rp.sessions


@pytest.mark.parametrize(
    ("named", "left"),
    [
        ({"sub": "alice", "sid": "alice-phone"}, {"alice-laptop": "alice", "bob-phone": "bob"}),
        ({"sub": None, "sid": "alice-phone"}, {"alice-laptop": "alice", "bob-phone": "bob"}),
        ({"sub": "alice", "sid": None}, AFTER_ALICE),
        ({"sub": "bob", "sid": "alice-phone"}, SESSIONS),
        ({"sub": "carol", "sid": "carol-phone"}, SESSIONS),
    ],
)
async def test_good_token_ends_what_it_names(named: dict[str, Any], left: dict[str, str]) -> None:
    """With sid that session ends, by sub alone all of the user's; nothing to end is a success."""
    rp = an_rp()

    answer = await post(rp, a_token(**named))

    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert (rp.sessions, len(rp.heard)) == (left, 1)


async def test_unknown_claims_and_parameters_are_ignored() -> None:
    """What is not known is ignored, in the token and beside it in the form."""
    token = a_token(ignored_claim="claim", sid=None, toe=int(time.time()), aud=["shop", "other"])

    answer = await post(an_rp(), token, ignored_parameter="parameter")

    assert answer.status_code == 200


async def test_new_key_is_looked_up() -> None:
    """A key that is not known yet is fetched once, and the keys are kept after that."""
    published = Published(RSA)
    rp = an_rp(published)
    await post(rp, a_token())
    published.keys.append(NEXT)

    answers = [
        await post(rp, a_token({**GOOD_HEADER, "kid": "next"}, NEXT, jti=jti)) for jti in "ab"
    ]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert published.fetched == 2


async def test_no_keys_is_a_passing_fault() -> None:
    """While the keys can not be fetched the answer is 503, so that the token comes again."""

    async def unreachable() -> Mapping[str, Any]:
        """Fail as a server that is down."""
        raise httpx2.ConnectError("refused")

    rp = an_rp()
    rp._fetch_keys = unreachable

    answer = await post(rp, a_token())

    assert (answer.status_code, rp.sessions) == (503, SESSIONS)


async def test_stumbling_application_recovers() -> None:
    """An application that stumbles twice answers 503 twice, and then as any other."""
    rp = an_rp(stumbles=2)

    answers = [await post(rp, a_token()) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [503, 503, 200]


async def test_sessions_are_shown() -> None:
    """An application shows the sessions that it holds."""
    transport = httpx2.ASGITransport(app=an_rp().app)

    async with httpx2.AsyncClient(transport=transport, base_url="http://rp") as client:
        answer = await client.get("/sessions")

    assert answer.json() == {"client_id": "shop", "sessions": SESSIONS}


@pytest.mark.parametrize("issuer", [ISSUER, "https://other.example"])
async def test_keys_are_found_by_discovery(issuer: str) -> None:
    """The JWK Set is where the issuer's own discovery document says, and no other's."""
    documents = {
        "/.well-known/openid-configuration": {"issuer": issuer, "jwks_uri": f"{ISSUER}/keys"},
        "/keys": {"keys": [RSA.as_dict(private=False)]},
    }

    def answer(request: httpx2.Request) -> httpx2.Response:
        """Answer with the document at that path."""
        return httpx2.Response(200, json=documents[request.url.path])

    async def fetch() -> Mapping[str, Any]:
        """Fetch the keys as a sample application does."""
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client:
            return await published_keys(client, ISSUER)

    rp = an_rp()
    rp._fetch_keys = fetch

    assert (await post(rp, a_token())).status_code == (200 if issuer == ISSUER else 400)


def judged(secret: bytes, headers: Mapping[str, str], body: bytes) -> Verdict:
    """Judge signed headers as the service does."""
    return verify(
        [secret],
        webhook_id=headers["webhook-id"],
        timestamp=headers["webhook-timestamp"],
        signature=headers["webhook-signature"],
        body=body,
        now=datetime.now(UTC),
        tolerance=timedelta(seconds=60),
    )


def test_source_signs_as_the_service_reads() -> None:
    """A source's signature is what the service asks for; a stranger's is not."""
    source, stranger = Source("idp", "http://op"), Source("idp", "http://op")

    headers = signed(source.secret, "evt-1", b"{}")

    assert judged(source.secret, headers, b"{}") is Verdict.OK
    assert judged(stranger.secret, headers, b"{}") is Verdict.MISMATCH
    assert repr(source.secret) not in repr(source)


@pytest.mark.skipif(not (shutil.which("bash") and shutil.which("openssl")), reason="needs openssl")
def test_shell_lines_sign_too() -> None:
    """The lines that are shown for a shell send the body with a good signature."""
    source = Source("idp", "http://op/webhooks/idp")
    body = '{"initiator": "idp-logout", "sub": "frank"}'
    told = "curl() { printf '%s\\n' \"$@\"; }\n" + source.shell(body)

    said = subprocess.run(["bash", "-c", told], capture_output=True, text=True, check=True).stdout

    lines = said.splitlines()
    headers = dict(line.split(": ", 1) for line in lines if line.startswith("webhook-"))
    assert judged(source.secret, headers, body.encode()) is Verdict.OK
    assert lines[-1] == body


def test_scenario_shows_every_kind_of_event() -> None:
    """Both scopes, named clients, an unknown initiator, a recovery: each is played once or more."""
    events = SCENARIO.events

    assert {event.sid is None for event in events} == {True, False}
    assert any(event.clients for event in events)
    assert any(not event.known for event in events)
    assert any(one.stumbles for one in SCENARIO.applications)
    assert {one.mode for one in SCENARIO.applications} == {*Mode}
    assert {one.algorithm for one in SCENARIO.applications} == {"RS256", "ES256"}
    assert {one.token_type for one in SCENARIO.applications} == {"logout+jwt", "JWT"}


def small(*, logged_out: tuple[str, ...]) -> Scenario:
    """Build a scenario with one event, which in truth logs out the portal alone."""
    return Scenario(
        applications=(
            SampleApplication(client_id="portal", mode=Mode.ALL),
            SampleApplication(client_id="wiki", mode=Mode.CUSTOM, algorithm="ES256"),
        ),
        sessions=(
            SampleSession("bob", "phone", ("portal", "wiki")),
            SampleSession("frank", "phone", ("portal",)),
        ),
        events=(
            SampleEvent(
                id="evt-1",
                initiator="session-revoked",
                user="bob",
                device="phone",
                logged_out=logged_out,
                not_subscribed=("wiki",),
            ),
        ),
        forged=SampleEvent(id="evt-2", initiator="idp-logout", user="frank"),
    )


def a_screen(width: int = WIDTH) -> tuple[Console, StringIO]:
    """Build a screen, and the text that will be on it."""
    text = StringIO()
    return Console(file=text, width=width), text


def test_demo_shows_all_and_exits_0() -> None:
    """The demo ends well by itself, whatever the environment, and names every part of it."""
    environ = {**os.environ, "DISPATCHER_ISSUER": "nonsense", "HTTP_PROXY": "http://127.0.0.1:1"}
    environ["COLUMNS"] = "40"

    ended = subprocess.run(
        DEMO, capture_output=True, text=True, check=False, timeout=60, env=environ
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert all(one.client_id in ended.stdout for one in SCENARIO.applications)
    assert all(event.initiator in ended.stdout for event in SCENARIO.events)
    assert "✗" not in ended.stdout
    assert "\x1b" not in ended.stdout, "colours are for terminals"
    assert "…" not in ended.stdout, "nothing is cut off"
    assert max(map(len, ended.stdout.splitlines())) <= WIDTH


async def test_broken_expectation_is_told() -> None:
    """Where an application should have been logged out and was not, the demo says so and fails."""
    screen, text = a_screen()

    assert not await show(small(logged_out=("portal", "wiki")), screen)

    assert "✗ what happened      1 of 2 rows are as expected" in text.getvalue()
    assert "✗ sessions left" in text.getvalue()
    assert "✓ end" in text.getvalue()
    assert "NOT all is as it should be" in text.getvalue()


def all_kinds() -> Scenario:
    """Build a scenario for every check: besides the small one's, an unknown initiator and a 503."""
    plain = small(logged_out=("portal",))
    galaxy = SampleEvent(
        id="evt-3",
        initiator="galaxy-collapsed",
        user="erin",
        clients=("portal",),
        known=False,
        logged_out=("portal",),
    )
    portal = replace(plain.applications[0], stumbles=1)
    return replace(
        plain,
        applications=(portal, *plain.applications[1:]),
        sessions=(*plain.sessions, SampleSession("erin", "phone", ("portal",), told=False)),
        events=(*plain.events, galaxy),
    )


def held(facts: Facts, **portal: str) -> Facts:
    """Return *facts* with these sessions left to the portal."""
    left = {sid.replace("_", "-"): user for sid, user in portal.items()}
    return replace(facts, after={**facts.after, "portal": left})


def unsettled(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an event's record with its deliveries still under way."""
    deliveries = [{**one, "state": "pending"} for one in record["deliveries"]]
    return {**record, "deliveries": deliveries}


BROKEN_FACTS: dict[str, tuple[Callable[[Facts], Facts], set[str]]] = {
    "nothing": (lambda facts: facts, set()),
    "a session too many is left": (
        lambda facts: held(facts, frank_phone="frank", bob_phone="bob"),
        {"what happened", "sessions left"},
    ),
    "a session too few is left": (held, {"sessions left", "wrong signature"}),
    "a delivery is not settled": (
        lambda facts: replace(facts, records=[unsettled(one) for one in facts.records]),
        {"what happened"},
    ),
    "a repeat is another event": (
        lambda facts: replace(facts, repeated=replace(facts.repeated, event_id="other")),
        {"repeated id"},
    ),
    "a forged event is accepted": (
        lambda facts: replace(facts, forged_status=202),
        {"wrong signature"},
    ),
    "a forged event is recorded": (
        lambda facts: replace(facts, forged_records=[{}]),
        {"wrong signature"},
    ),
    "nobody was warned": (
        lambda facts: replace(facts, told=[replace(one, warnings=()) for one in facts.told]),
        {"unknown initiator"},
    ),
}
BROKEN_PORTALS: dict[str, tuple[Callable[[SampleRp], object], set[str]]] = {
    "every token came twice": (
        lambda rp: rp.heard.extend(rp.heard),
        {"what happened", "repeated id"},
    ),
    "no token came": (
        lambda rp: rp.heard.clear(),
        {"what happened", "tokens", "repeated id", "recovery"},
    ),
    "a token was refused": (lambda rp: rp.refused.append("bad"), {"tokens"}),
    "nobody stumbled": (lambda rp: setattr(rp, "stumbled", 0), {"recovery"}),
}


async def test_each_check_fails_where_its_thing_is_broken() -> None:
    """Whatever is broken, the checks for it fail, and no other."""
    scenario = all_kinds()
    async with staged(scenario) as stage:
        facts = await performed(stage, scenario)
    portal = stage.applications["portal"].rp
    heard = [*portal.heard]

    def failed(facts: Facts) -> set[str]:
        """Return the names of the checks that fail."""
        return {check.name for check in concluded(stage, scenario, facts)[1] if not check.ok}

    for what, (seen_as, wanted) in BROKEN_FACTS.items():
        assert (what, failed(seen_as(facts))) == (what, wanted)
    for what, (break_it, wanted) in BROKEN_PORTALS.items():
        portal.heard, portal.refused, portal.stumbled = [*heard], [], 1
        break_it(portal)
        assert (what, failed(facts)) == (what, wanted)


async def test_demo_stays_until_it_is_told_to_end() -> None:
    """With ``--stay`` the applications can be asked until the end, which is a good one."""
    screen, text = a_screen()
    stop, ends = anyio.Event(), list[bool]()

    async def stay() -> None:
        """Note how the demo ends."""
        ends.append(await show(small(logged_out=("portal",)), screen, stop=stop))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stay)
        with anyio.fail_after(30):
            while "curl -i" not in text.getvalue():  # noqa: ASYNC110 - a screen has no event
                await anyio.sleep(0.05)
        (url,) = (
            word
            for word in text.getvalue().split()
            if word.endswith("/.well-known/openid-configuration")
        )
        async with httpx2.AsyncClient(trust_env=False) as client:
            assert (await client.get(url)).status_code == 200
        assert ends == []
        stop.set()

    assert ends == [True]


async def test_service_that_can_not_start_is_quoted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the service ends at its start, the demo fails with the service's own words."""
    environment = on_stage.environment
    monkeypatch.setattr(
        on_stage,
        "environment",
        lambda *given: environment(*given) | {"DISPATCHER_LISTEN": "nowhere"},
    )
    screen, text = a_screen()

    assert not await show(small(logged_out=("portal",)), screen)

    assert "DISPATCHER_LISTEN" in capsys.readouterr().err
    assert "NOT all is as it should be" in text.getvalue()


def test_signal_ends_the_service_too() -> None:
    """A demo that is interrupted takes the service with it, and fails."""
    with subprocess.Popen(DEMO, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if "The service runs at" in line)
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert process.wait(30) == 1

    url = line.split()[4].rstrip(",")
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(url, trust_env=False)


@pytest.mark.parametrize("width", [80, WIDTH])
def test_row_that_went_wrong_stands_out(width: int) -> None:
    """A row that is not as expected is marked, and so is the end, on a narrow screen too."""
    (application, _), (event,) = small(logged_out=()).applications, small(logged_out=()).events
    row = Row(
        event=event,
        application=application,
        before=("bob-phone",),
        after=("bob-phone",),
        fate=Fate.STILL_LOGGED_IN,
        attempts=1,
        told_after=timedelta(milliseconds=6543),
        as_expected=False,
    )
    screen, text = a_screen(width)

    screen.print(outcome_table([row], width=width))
    screen.print(verdict([Check("one", "is so", ok=True), Check("two", "is not", ok=False)]))

    for shown in ("session-revoked", "✗ STILL LOGGED", "portal", "6,543"):
        assert shown in text.getvalue()
    assert "NOT all" in text.getvalue()
