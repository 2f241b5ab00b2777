"""An issuer's keys are fetched when they are needed, and never as often as a stranger likes."""

from collections.abc import Callable
from datetime import timedelta

import anyio
import pytest

from keys import IssuerKeys, KeySetUnavailable
from keys.issuer_keys import FRESH, PAUSE, STALE
from tests.kit.clock import FakeClock
from tests.kit.transmitter import AnyKey, a_key, jwks_of

MOMENT = timedelta(microseconds=1)
OLD, NEW = a_key(kid="old"), a_key(kid="new")


class Issuer:
    """An issuer of so many keys, who counts how often it is asked."""

    def __init__(self, clock: FakeClock, *keys: AnyKey) -> None:
        self.keys = keys
        self.fetches = 0
        self.answers: Callable[[], bytes] = lambda: jwks_of(*self.keys)
        self.known = IssuerKeys(self._fetch, clock.steady)

    async def _fetch(self) -> bytes:
        self.fetches += 1
        await anyio.lowlevel.checkpoint()
        return self.answers()

    def is_down(self) -> None:
        """Answer no more."""

        def refuse() -> bytes:
            raise KeySetUnavailable("down")

        self.answers = refuse

    async def has(self, kid: str | None) -> bool:
        """Whether a key called *kid* is found."""
        return bool(await self.known.find(kid, "ES256"))


@pytest.fixture
def issuer(clock: FakeClock) -> Issuer:
    """Return an issuer with one key."""
    return Issuer(clock, OLD)


async def test_keys_are_fetched_once(issuer: Issuer, clock: FakeClock) -> None:
    """A set is fetched when it is first needed, and used until it is no longer fresh."""
    assert issuer.fetches == 0

    assert await issuer.has("old")
    clock.advance(FRESH - MOMENT)
    assert await issuer.has("old")
    assert issuer.fetches == 1

    clock.advance(MOMENT)
    assert await issuer.has("old")
    assert issuer.fetches == 2


async def test_a_key_that_was_withdrawn_dies(issuer: Issuer, clock: FakeClock) -> None:
    """A key that the issuer publishes no more verifies nothing once the set is looked at anew."""
    await issuer.has("old")
    issuer.keys = (NEW,)
    clock.advance(FRESH)

    assert not await issuer.has("old")


async def test_an_unknown_kid_is_looked_for(issuer: Issuer, clock: FakeClock) -> None:
    """A key that was published since the last look is found at once."""
    await issuer.has("old")
    issuer.keys = (OLD, NEW)
    clock.advance(PAUSE)

    assert await issuer.has("new")
    assert issuer.fetches == 2


async def test_forged_kids_do_not_hammer_the_issuer(issuer: Issuer, clock: FakeClock) -> None:
    """However many kids are made up, the issuer is asked once a pause; known kids go on."""
    for forged in range(100):
        clock.advance(PAUSE / 50)
        try:
            assert not await issuer.has(f"forged-{forged}")
        except KeySetUnavailable:
            assert await issuer.has("old")

    assert issuer.fetches <= 3


async def test_nobody_is_refused_who_may_be_right(issuer: Issuer, clock: FakeClock) -> None:
    """In the pause after a look an unknown kid is a fault of ours, not a forgery: it may be new."""
    await issuer.has("old")
    issuer.keys = (OLD, NEW)

    with pytest.raises(KeySetUnavailable):
        await issuer.has("new")
    clock.advance(PAUSE)

    assert await issuer.has("new")


async def test_who_looked_in_vain_is_refused(issuer: Issuer, clock: FakeClock) -> None:
    """A kid that a look was made for, and that is not there, is no key of the issuer's."""
    await issuer.has("old")
    clock.advance(PAUSE)

    assert not await issuer.has("forged")
    assert issuer.fetches == 2


async def test_a_guess_at_the_next_kid_refuses_nobody(issuer: Issuer, clock: FakeClock) -> None:
    """Whoever looks for a key in vain before it is published does not make it a forgery after."""
    await issuer.has("old")
    clock.advance(PAUSE)
    assert not await issuer.has("new")

    issuer.keys = (OLD, NEW)
    with pytest.raises(KeySetUnavailable):
        await issuer.has("new")


async def test_many_who_ask_at_once_are_one_fetch(issuer: Issuer) -> None:
    """Of those who need the keys at the same time one fetches, and all get them."""
    found: list[bool] = []

    async def ask() -> None:
        found.append(await issuer.has("old"))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(ask)

    assert (found, issuer.fetches) == ([True] * 20, 1)


async def test_a_failure_is_remembered_for_a_pause(issuer: Issuer, clock: FakeClock) -> None:
    """An issuer that does not answer is not asked again by each who would like to know."""
    issuer.is_down()

    for _ in range(3):
        with pytest.raises(KeySetUnavailable):
            await issuer.has("old")
    assert issuer.fetches == 1

    clock.advance(PAUSE)
    with pytest.raises(KeySetUnavailable):
        await issuer.has("old")
    assert issuer.fetches == 2


async def test_older_keys_bridge_an_outage(issuer: Issuer, clock: FakeClock) -> None:
    """While the issuer is down its keys are used on, but not for ever; others are a fault of ours.

    Else an event would be lost, or a key that was withdrawn would live on.
    """
    await issuer.has("old")
    issuer.is_down()

    clock.advance(STALE - MOMENT)
    assert await issuer.has("old")
    with pytest.raises(KeySetUnavailable):
        await issuer.has("new")

    clock.advance(MOMENT)
    with pytest.raises(KeySetUnavailable):
        await issuer.has("old")


async def test_whoever_is_cancelled_leaves_the_look_to_the_next(
    issuer: Issuer, clock: FakeClock
) -> None:
    """A fetch whose request was given up holds nobody else up for longer than a pause."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        await issuer.has("old")

    clock.advance(PAUSE)
    assert await issuer.has("old")


async def test_without_a_kid_every_key_may_fit(clock: FakeClock) -> None:
    """A token that names no key is tried with all that its algorithm fits."""
    issuer = Issuer(clock, OLD, NEW, a_key("EdDSA", "other"))

    found = await issuer.known.find(None, "ES256")

    assert [key.kid for key in found] == ["old", "new"]


async def test_a_kid_fits_its_own_algorithm_alone(issuer: Issuer) -> None:
    """A key never verifies another algorithm than its own (RFC 8725 section 3.1)."""
    assert not await issuer.known.find("old", "RS256")


@pytest.mark.parametrize("document", [b"", b"{}", b'{"keys": []}', b"<html/>", b'{"keys": [{}]}'])
async def test_what_is_no_key_set_is_a_fault_of_ours(
    issuer: Issuer, clock: FakeClock, document: bytes
) -> None:
    """A set that can not be read replaces none: a broken page makes no event a forgery."""
    await issuer.has("old")
    issuer.answers = lambda: document

    clock.advance(FRESH)
    assert await issuer.has("old")
    clock.advance(STALE)
    with pytest.raises(KeySetUnavailable):
        await issuer.has("old")
