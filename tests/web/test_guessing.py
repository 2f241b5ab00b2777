"""Guessing at ``/oauth/token``: who guesses is told to wait, and nobody else is."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import anyio
import httpx2
import pytest

from dispatcher.adapters.key_sets import HttpKeySets
from dispatcher.adapters.vault import VaultVerifier
from dispatcher.domain.errors import Unavailable
from dispatcher.domain.events import ClientId
from dispatcher.domain.sources import ManagementClient, Scope
from dispatcher.web import build
from keys import hash_secret
from tests.web.face import Face

HERE, ELSEWHERE = "192.0.2.1", "198.51.100.7"
SECRET = "right"


@pytest.fixture
async def oauth(face: Face) -> Face:
    """Let there be two management clients."""
    for name in ("ops", "auditor"):
        client = ManagementClient(
            client_id=ClientId(name), secret_hash=hash_secret(SECRET), scopes=frozenset(Scope)
        )
        await face.store.put_management_client(client)
    return face


class Town:
    """Clients at several addresses, who speak to one and the same service."""

    def __init__(self, face: Face) -> None:
        self._app = build(face.doors)

    @asynccontextmanager
    async def _at(self, address: str) -> AsyncIterator[httpx2.AsyncClient]:
        transport = httpx2.ASGITransport(app=self._app, client=(address, 4711))
        async with httpx2.AsyncClient(transport=transport, base_url="http://a") as client:
            yield client

    async def ask(
        self, address: str = HERE, *, client_id: str = "ops", secret: str = "wrong"
    ) -> httpx2.Response:
        """Ask for a token."""
        grant = {"grant_type": "client_credentials"}
        async with self._at(address) as client:
            credentials = {"client_id": client_id, "client_secret": secret}
            return await client.post("/oauth/token", data=grant | credentials)

    async def revoke(self, address: str = HERE) -> httpx2.Response:
        """Ask for a token to be revoked, with a wrong secret."""
        proof = base64.b64encode(b"ops:wrong").decode()
        async with self._at(address) as client:
            headers = {"authorization": f"Basic {proof}"}
            return await client.post("/oauth/revoke", data={"token": "t"}, headers=headers)

    async def guess(self, address: str = HERE, *, times: int = 10, client_id: str = "ops") -> None:
        """Guess wrong, so often."""
        for _ in range(times):
            await self.ask(address, client_id=client_id)


async def test_who_guesses_is_told_to_wait(oauth: Face) -> None:
    """After ten wrong secrets the next is answered 429 with Retry-After, whatever it is."""
    town = Town(oauth)
    await town.guess(times=10)

    answers = [await town.ask(secret=secret) for secret in ("wrong", SECRET)]

    assert [answer.status_code for answer in answers] == [429, 429]
    assert answers[0].headers["retry-after"] == "6"
    assert answers[0].json()["error"] == "too_many_attempts"
    assert answers[0].headers["cache-control"] == "no-store"


async def test_the_right_secret_from_elsewhere_is_let_in(oauth: Face) -> None:
    """Nobody can lock a client out by guessing at it from an address of his own."""
    town = Town(oauth)
    await town.guess(times=30)

    answer = await town.ask(ELSEWHERE, secret=SECRET)

    assert answer.status_code == 200


async def test_a_proven_neighbour_is_let_in(oauth: Face) -> None:
    """Behind one proxy a client that proved itself goes on while another one's name is guessed."""
    town = Town(oauth)
    await town.ask(client_id="auditor", secret=SECRET)
    for number in range(30):
        await town.ask(client_id=f"nobody-{number}")

    neighbour = await town.ask(client_id="auditor", secret=SECRET)
    stranger = await town.ask(client_id="ops", secret=SECRET)

    assert (neighbour.status_code, stranger.status_code) == (200, 429)


async def test_waiting_helps(oauth: Face) -> None:
    """After the time that Retry-After says, the right secret is let in."""
    town = Town(oauth)
    await town.guess(times=10)
    oauth.clock.advance(timedelta(seconds=6))

    answer = await town.ask(secret=SECRET)

    assert answer.status_code == 200


async def test_right_secrets_are_not_counted(oauth: Face) -> None:
    """A client that asks for a token for each call it makes is never told to wait."""
    town = Town(oauth)

    statuses = {(await town.ask(secret=SECRET)).status_code for _ in range(12)}

    assert statuses == {200}


async def test_guesses_at_once_are_no_way_around(oauth: Face) -> None:
    """Of wrong secrets that come together no more are judged than one after another."""
    town = Town(oauth)
    statuses: list[int] = []

    async def guess() -> None:
        statuses.append((await town.ask()).status_code)

    async with anyio.create_task_group() as tasks:
        for _ in range(25):
            tasks.start_soon(guess)

    assert (statuses.count(401), statuses.count(429)) == (10, 15)


async def test_a_proven_client_may_ask_many_times_at_once(oauth: Face) -> None:
    """A fleet behind one address is not taken for a guesser when it starts."""
    town = Town(oauth)
    await town.ask(secret=SECRET)
    statuses: list[int] = []

    async def ask() -> None:
        statuses.append((await town.ask(secret=SECRET)).status_code)

    async with anyio.create_task_group() as tasks:
        for _ in range(25):
            tasks.start_soon(ask)

    assert statuses == [200] * 25


async def test_revoking_is_no_way_around(oauth: Face) -> None:
    """A secret is guessed as little at ``/oauth/revoke``."""
    town = Town(oauth)
    answers = [await town.revoke() for _ in range(11)]

    assert [answer.status_code for answer in answers] == [401] * 10 + [429]
    assert (await town.ask(secret=SECRET)).status_code == 429


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("a-socket", "a-socket", True),
        ("a-socket", "another", False),
    ],
)
async def test_one_party_is_one_address(
    oauth: Face,
    one: str,
    other: str,
    same: bool,  # noqa: FBT001 - a parameter of the test's table
) -> None:
    """An IPv6 network counts as one, since who has one of its addresses has them all."""
    town = Town(oauth)
    await town.guess(one, times=10)

    answer = await town.ask(other, secret=SECRET)

    assert answer.status_code == (429 if same else 200)


async def test_a_fault_of_ours_is_nobodys_guess(oauth: Face) -> None:
    """While the store does not answer nobody is charged with a wrong secret."""
    town = Town(oauth)
    await town.ask(secret=SECRET)
    await oauth.close_store()

    answers = [await town.ask(secret=SECRET) for _ in range(12)]

    assert {answer.status_code for answer in answers} == {503}


async def test_a_busy_verifier_is_nobodys_guess(oauth: Face) -> None:
    """Nor while more secrets are being judged than we judge at once."""

    class Busy(VaultVerifier):
        """A verifier that has too much to do."""

        async def client_secret(self, *_: object) -> bool:
            """Say so."""
            raise Unavailable

    doors = replace(oauth.doors, verifier=Busy(oauth.clock, HttpKeySets(user_agent="tests")))
    town = Town(replace(oauth, doors=doors))

    answers = [await town.ask(secret=SECRET) for _ in range(12)]

    assert {answer.status_code for answer in answers} == {503}
