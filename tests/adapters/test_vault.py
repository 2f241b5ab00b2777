"""The vault's door: cryptography is done in ``keys``, and what comes of it is in our words."""

import hashlib
import hmac
import os
import threading
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from dispatcher.adapters.key_sets import HttpKeySets
from dispatcher.adapters.vault import (
    MOST_WAITING,
    SLOW_AT_ONCE,
    VaultSigner,
    VaultVerifier,
    faults_of_source,
)
from dispatcher.domain.errors import IssuerUnavailable, Unavailable
from dispatcher.domain.events import ClientId, SourceName
from dispatcher.domain.sources import (
    Issuer,
    ManagementClient,
    Proof,
    Scope,
    Source,
    SourceFormat,
)
from keys import Seal, SigningKey, Vault
from keys.security_event import SetVerdict
from keys.webhook_signature import Verdict
from tests.keys.conftest import Shelf, read_token
from tests.kit.clock import NOON, FakeClock
from tests.kit.rp_server import answers
from tests.kit.transmitter import AUDIENCE, CAEP, ISSUER, Transmitter, a_key, a_set, signed

SECRET = "whsec_" + "QUJD" * 8
OTHER = "whsec_" + "REVG" * 8
BODY = b'{"initiator": "rp-logout"}'


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio: the signing threads answer to its loop."""
    return "asyncio"


@pytest.fixture
async def vault() -> AsyncIterator[Vault]:
    """Return a vault with one key, made for this test."""
    opened = await Vault.open(
        store=Shelf(), seal=Seal([os.urandom(32)]), algorithms=("ES256",), now=NOON
    )
    yield opened
    opened.close()


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands at noon."""
    return FakeClock()


@pytest.fixture
def verifier(clock: FakeClock) -> VaultVerifier:
    """Return a verifier on that clock."""
    return VaultVerifier(clock, HttpKeySets(user_agent="tests"))


def a_source(*secrets: str, tokens: tuple[str, ...] = ()) -> Source:
    """Build a source with so many webhook secrets and bearer tokens."""
    return Source(name=SourceName("idp"), secrets=secrets, bearer_tokens=tokens)


def a_client(secret_hash: str) -> ManagementClient:
    """Build a management client whose secret has that hash."""
    scopes = frozenset({Scope.READ_CLIENTS})
    return ManagementClient(client_id=ClientId("ops"), secret_hash=secret_hash, scopes=scopes)


def judge(
    verifier: VaultVerifier,
    source: Source,
    *,
    secret: str = SECRET,
    at: datetime = NOON,
    body: bytes = BODY,
) -> Proof:
    """Sign a webhook with the standard's own library at that time, and judge it."""
    signature = Webhook(secret).sign("msg_1", at, BODY.decode())
    timestamp = str(int(at.timestamp()))
    return verifier.webhook(
        source, webhook_id="msg_1", timestamp=timestamp, signature=signature, body=body
    )


async def test_a_token_is_signed_by_a_published_key(vault: Vault) -> None:
    """What is signed verifies by the published keys, and its kid is told."""
    signer = VaultSigner(vault)

    signed = await signer.sign({"sub": "alice"}, alg="ES256", typ="logout+jwt")

    read = read_token(signed.token, signer.jwks(), "ES256")
    assert read.headers() == {"alg": "ES256", "kid": signed.kid, "typ": "logout+jwt"}
    assert list(signer.algorithms) == ["ES256"]


async def test_no_key_is_a_fault_of_ours(vault: Vault) -> None:
    """An algorithm without a key is Unavailable: the same logout will be delivered later."""
    signer = VaultSigner(vault)

    with pytest.raises(Unavailable, match="RS256"):
        await signer.sign({}, alg="RS256", typ=None)


async def test_a_closed_vault_is_a_fault_of_ours(vault: Vault) -> None:
    """Whoever signs while the service ends gets Unavailable, no error of the vault's."""
    signer = VaultSigner(vault)
    vault.close()

    with pytest.raises(Unavailable):
        await signer.sign({}, alg="ES256", typ=None)


async def test_sound_keys_pass_their_check(vault: Vault) -> None:
    """Keys that verify what they sign raise nothing."""
    await VaultSigner(vault).self_check()


async def test_a_damaged_key_is_a_fault_of_ours(vault: Vault) -> None:
    """A key whose signature does not verify is Unavailable when it is checked."""
    other = SigningKey.generate("ES256", now=NOON)

    class Forger(SigningKey):
        """A key whose public half is another one's."""

        def verifies(self, token: str) -> bool:
            """Verify with the other key."""
            return other.verifies(token)

    key = vault._signers["ES256"]
    vault._signers["ES256"] = Forger(
        kid=key.kid, alg=key.alg, private_key=key.private_key, created_at=NOON
    )

    with pytest.raises(Unavailable, match="does not verify"):
        await VaultSigner(vault).self_check()


def test_each_verdict_is_a_proof() -> None:
    """Whatever the vault says of a signature or a token, there is a word for it here."""
    verdicts = {*map(str, Verdict), *map(str, SetVerdict)}

    assert verdicts == set(map(str, Proof))


@pytest.mark.parametrize(
    ("late", "proof"), [(-301, Proof.STALE), (-300, Proof.OK), (300, Proof.OK), (301, Proof.STALE)]
)
def test_a_timestamp_may_be_five_minutes_off(
    verifier: VaultVerifier, late: int, proof: Proof
) -> None:
    """A sound webhook counts up to 300 seconds before and after its time."""
    judged = judge(verifier, a_source(SECRET), at=NOON - timedelta(seconds=late))

    assert judged is proof


def test_the_wall_clock_judges(verifier: VaultVerifier, clock: FakeClock) -> None:
    """A timestamp is somebody else's, so it is compared with the wall clock."""
    clock.set_wall_ahead(timedelta(hours=1))

    judged = judge(verifier, a_source(SECRET), at=NOON + timedelta(hours=1))

    assert judged is Proof.OK


def test_any_secret_of_a_source_counts(verifier: VaultVerifier) -> None:
    """While a secret is being replaced, the old and the new one prove the same."""
    source = a_source(OTHER, SECRET)

    assert judge(verifier, source) is Proof.OK
    assert judge(verifier, source, secret=OTHER) is Proof.OK


@pytest.mark.parametrize("source", [a_source(OTHER), a_source(), a_source(tokens=("t",))])
def test_a_strangers_signature_is_a_mismatch(verifier: VaultVerifier, source: Source) -> None:
    """A signature by none of the source's secrets proves nothing, nor if it has none."""
    assert judge(verifier, source) is Proof.MISMATCH


def test_a_changed_body_is_a_mismatch(verifier: VaultVerifier) -> None:
    """A body that is not the one that was signed proves nothing."""
    assert judge(verifier, a_source(SECRET), body=BODY + b" ") is Proof.MISMATCH


def test_a_secret_that_is_none_verifies_nothing(verifier: VaultVerifier) -> None:
    """A stored secret that can not be read raises nothing; the others still count."""
    assert judge(verifier, a_source("whsec_!")) is Proof.MISMATCH
    assert judge(verifier, a_source("whsec_!", SECRET)) is Proof.OK


@given(st.text(), st.text(), st.text(), st.binary())
def test_any_headers_are_judged(
    webhook_id: str, timestamp: str, signature: str, body: bytes
) -> None:
    """Whatever the headers say, judging them raises nothing."""
    judged = VaultVerifier(FakeClock(), HttpKeySets(user_agent="tests")).webhook(
        a_source(SECRET),
        webhook_id=webhook_id,
        timestamp=timestamp,
        signature=signature,
        body=body,
    )

    assert judged in {Proof.MALFORMED, Proof.MISMATCH}


@pytest.mark.parametrize(
    ("token", "known"),
    [("one", True), ("two", True), ("tw", False), ("two ", False), ("Two", False), ("", False),
     ("é", False), ("\ud800", False)],
)  # fmt: skip
def test_a_bearer_token_is_one_of_the_sources(
    verifier: VaultVerifier, token: str, *, known: bool
) -> None:
    """A bearer token counts if it is, to the letter, one of the source's; any text is judged."""
    assert verifier.bearer(a_source(tokens=("one", "two")), token) is known
    assert not verifier.bearer(a_source(SECRET), token)


HEADER = Source(name=SourceName("idp"), headers=("X-Key: one", "Other: two words"))


@pytest.mark.parametrize(
    ("sent", "known"),
    [
        ({b"x-key": b"one"}, True),
        ({b"other": b"two words"}, True),
        ({b"x-key": b"two words"}, False),
        ({b"x-key": b"One"}, False),
        ({b"x-key": b"one "}, False),
        ({b"x-key": b""}, False),
        ({b"x-key": b"\xff"}, False),
        ({}, False),
    ],
)
def test_a_secret_header_is_one_of_the_sources(
    verifier: VaultVerifier, sent: dict[bytes, bytes], *, known: bool
) -> None:
    """A header counts if its value is, to the letter, that of the source's header of its name."""
    assert verifier.header(HEADER, sent) is known
    assert not verifier.header(a_source(SECRET), sent)


def test_a_body_is_signed_with_a_secret_of_the_source(verifier: VaultVerifier) -> None:
    """The signature of a body counts if it was made with one of the source's own secrets."""
    source = Source(name=SourceName("kc"), hmac_secrets=("new", "old"))
    signature = hmac.new(b"old", BODY, "sha256").hexdigest()

    assert verifier.body_signature(source, signature=signature, body=BODY)
    assert not verifier.body_signature(a_source(SECRET), signature=signature, body=BODY)


def an_issuer(uri: str) -> Source:
    """Build a source of security event tokens whose keys are at *uri*."""
    return Source(
        name=SourceName("ssf"),
        format=SourceFormat.SET,
        issuer=Issuer(issuer=ISSUER, jwks_uri=uri, expected_aud=AUDIENCE),
    )


async def test_a_security_event_is_judged_by_fetched_keys(verifier: VaultVerifier) -> None:
    """A token is judged by what is published at the source's jwks_uri, which is fetched once."""
    async with Transmitter() as transmitter:
        source, [key] = an_issuer(transmitter.uri), transmitter.keys
        events = {
            Proof.OK: signed(a_set(f"{CAEP}x"), key),
            Proof.MISMATCH: signed(a_set(f"{CAEP}x"), a_key()),
            Proof.ISSUER: signed(a_set(f"{CAEP}x", iss="other"), key),
            Proof.AUDIENCE: signed(a_set(f"{CAEP}x", aud="other"), key),
            Proof.MALFORMED: "e30",
        }

        judged = {
            proof: await verifier.security_event(source, token.encode())
            for proof, token in events.items()
        }

        assert judged == {proof: proof for proof in events}
        assert transmitter.fetches == 1


async def test_keys_that_can_not_be_had_are_a_fault_of_ours(verifier: VaultVerifier) -> None:
    """Where the issuer does not give its keys nobody is refused: we can not judge."""
    async with Transmitter() as transmitter:
        transmitter.script = answers(500)

        with pytest.raises(IssuerUnavailable, match="answered 500"):
            await verifier.security_event(
                an_issuer(transmitter.uri), signed(a_set("x"), transmitter.keys[0]).encode()
            )


async def test_without_an_issuer_no_token_is_good(verifier: VaultVerifier) -> None:
    """A source that has no issuer is proved by no token, and nothing is fetched for it."""
    token = signed(a_set(f"{CAEP}x"), a_key()).encode()

    assert await verifier.security_event(a_source(SECRET), token) is Proof.MISMATCH
    assert await verifier.security_event(a_source(SECRET), b"e30") is Proof.MALFORMED


async def test_a_client_secret_proves_its_client(verifier: VaultVerifier) -> None:
    """A management client is known by its secret, of which only a hash is kept."""
    client = a_client(await verifier.secret_hash("correct horse"))

    assert await verifier.client_secret(client, "correct horse")
    assert not await verifier.client_secret(client, "correct hors")
    assert "correct" not in client.secret_hash


async def test_a_damaged_hash_proves_nothing(verifier: VaultVerifier) -> None:
    """A hash that can not be read makes nobody a client, and raises nothing."""
    assert not await verifier.client_secret(a_client("KANARI"), "KANARI")


async def test_client_secrets_are_judged_two_at_once(
    verifier: VaultVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many guess at once, two secrets are judged at a time, and never on the loop."""
    client = a_client(await verifier.secret_hash("right"))
    begun, goes_on = threading.Semaphore(0), threading.Event()
    threads: list[int] = []
    scrypt = hashlib.scrypt

    def held(password: bytes, *, salt: bytes, n: int, r: int, p: int) -> bytes:
        """Wait for the test to go on, as a slow machine would make us wait."""
        threads.append(threading.get_ident())
        begun.release()
        assert goes_on.wait(30)
        return scrypt(password, salt=salt, n=n, r=r, p=p)

    monkeypatch.setattr(hashlib, "scrypt", held)
    answers: list[bool] = []

    async def guess(secret: str) -> None:
        """Try one secret."""
        answers.append(await verifier.client_secret(client, secret))

    async with anyio.create_task_group() as tasks:
        for secret in ("right", "a", "b", "c", "d", "e"):
            tasks.start_soon(guess, secret)
        for _ in range(SLOW_AT_ONCE):
            assert await anyio.to_thread.run_sync(begun.acquire, True, 30)  # noqa: FBT003 - its own signature
        waiting = verifier._slow.statistics().tasks_waiting
        at_once = len(threads)
        goes_on.set()

    assert (at_once, waiting) == (SLOW_AT_ONCE, 6 - SLOW_AT_ONCE)
    assert sorted(answers) == [False] * 5 + [True]
    assert threading.get_ident() not in threads


async def test_whoever_comes_when_too_many_wait_is_told_to_come_again(
    verifier: VaultVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a flood of secrets so many are judged as may wait; the others are Unavailable at once."""
    client = a_client(await verifier.secret_hash("right"))
    goes_on, scrypt = threading.Event(), hashlib.scrypt

    def held(password: bytes, *, salt: bytes, n: int, r: int, p: int) -> bytes:
        """Wait for the test to go on."""
        goes_on.wait(5)
        return scrypt(password, salt=salt, n=n, r=r, p=p)

    answers: list[bool] = []
    turned_away: list[Unavailable] = []

    async def guess() -> None:
        """Try a secret, and let the others go on once every other one has been turned away."""
        try:
            answers.append(await verifier.client_secret(client, "wrong"))
        except Unavailable as unavailable:
            turned_away.append(unavailable)
            if len(turned_away) == 10:
                with pytest.raises(Unavailable):
                    await verifier.secret_hash("as slow")
                goes_on.set()

    with monkeypatch.context() as patched:
        patched.setattr(hashlib, "scrypt", held)
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                for _ in range(SLOW_AT_ONCE + MOST_WAITING + 10):
                    tasks.start_soon(guess)

    assert (len(answers), len(turned_away)) == (SLOW_AT_ONCE + MOST_WAITING, 10)
    assert await verifier.client_secret(client, "right")


def test_access_tokens_are_random_and_hashed(verifier: VaultVerifier) -> None:
    """An access token has 256 random bits, is never the same, and is kept as its hash alone."""
    tokens = {verifier.new_access_token() for _ in range(100)}

    assert len(tokens) == 100
    assert all(len(token) == 43 for token in tokens)
    assert len({verifier.token_hash(token) for token in tokens}) == 100
    assert not any(token in verifier.token_hash(token) for token in tokens)


def test_sound_secrets_have_no_fault() -> None:
    """Secrets of 24 to 64 bytes are as the standard wants them."""
    assert faults_of_source(a_source(SECRET, OTHER)) == []
    assert faults_of_source(a_source(tokens=("any",))) == []


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        ("KANARI", "A webhook secret starts with whsec_."),
        ("whsec_KANARI!", "What follows whsec_ in a webhook secret is base64."),
        ("whsec_KANARI", "A webhook secret has 24 to 64 bytes; this one has 4."),
    ],
)
def test_a_faulty_secret_is_told_by_its_source(secret: str, message: str) -> None:
    """A webhook secret that is none is a fault of its source, for each one."""
    faults = faults_of_source(a_source(SECRET, secret, secret))

    assert [str(fault) for fault in faults] == [f"secret: {message}"] * 2


@given(st.text(min_size=8) | st.text(min_size=8).map("whsec_".__add__))
def test_a_faulty_secret_is_never_quoted(secret: str) -> None:
    """Whatever stands where a secret should, the fault does not repeat it."""
    told = "".join(str(fault) for fault in faults_of_source(a_source(secret)))

    assert secret.removeprefix("whsec_") not in told
