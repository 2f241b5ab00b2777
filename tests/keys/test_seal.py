"""What is sealed opens in its own place, unchanged, or not at all."""

import os

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from keys import KeysError, Seal, SealBroken, UnknownMasterKey, UnusableSecret, base64url

SEAL = Seal([bytes(range(32))])
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ "
places = st.tuples(st.text(), st.text(), st.integers(0, 9))


def put(plaintext: bytes, place: tuple[str, str, int]) -> str:
    """Seal for a place."""
    table, row, version = place
    return SEAL.seal(plaintext, table=table, row=row, version=version)


def take(text: str, place: tuple[str, str, int]) -> bytes:
    """Unseal in a place."""
    table, row, version = place
    return SEAL.unseal(text, table=table, row=row, version=version)


@given(st.binary(), places)
def test_round_trip(plaintext: bytes, place: tuple[str, str, int]) -> None:
    """What was sealed for a place opens there."""
    assert take(put(plaintext, place), place) == plaintext


@given(st.binary(), places, places)
def test_another_place_does_not_open(
    plaintext: bytes, place: tuple[str, str, int], other: tuple[str, str, int]
) -> None:
    """In another table, row or version a sealed text is broken."""
    assume(place != other)

    with pytest.raises(SealBroken):
        take(put(plaintext, place), other)


@pytest.mark.parametrize("other", [("ab", "c", 1), ("a,b", "c", 1), ('a","b', "c", 1)])
def test_place_is_unambiguous(other: tuple[str, str, int]) -> None:
    """Names that only differ in where one ends and the next begins are different places."""
    text = put(b"x", ("a", "bc", 1))

    with pytest.raises(SealBroken):
        take(text, other)
    with pytest.raises(SealBroken):
        take(text, ("a", "b,c", 1))


@given(st.binary(max_size=40), st.data())
def test_any_changed_character_is_noticed(plaintext: bytes, data: st.DataObject) -> None:
    """A sealed text with one character changed never opens, wherever it is."""
    text = put(plaintext, ("t", "r", 1))
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from(ALPHABET).filter(lambda c: c != text[at]))

    with pytest.raises((SealBroken, UnknownMasterKey)):
        take(text[:at] + other + text[at + 1 :], ("t", "r", 1))


def test_last_character_has_one_spelling() -> None:
    """The spare bits of the last character are part of the text: none of its twins opens."""
    text = put(b"", ("t", "r", 1))
    twins = [text[:-1] + char for char in ALPHABET if char != text[-1]]

    for twin in twins:
        with pytest.raises(SealBroken):
            take(twin, ("t", "r", 1))


@given(st.text())
def test_any_text_is_refused_as_ours(text: str) -> None:
    """Whatever text is given, the error is one of the vault's own."""
    with pytest.raises(KeysError):
        take(text, ("t", "r", 1))


def test_short_nonce_is_refused() -> None:
    """A nonce of another length is a broken seal, not a fault of the library."""
    form, key_id, _, sealed = put(b"x", ("t", "r", 1)).split(".")
    short = base64url.encode(b"short")

    with pytest.raises(SealBroken):
        take(f"{form}.{key_id}.{short}.{sealed}", ("t", "r", 1))


def test_ciphertexts_can_not_change_rows() -> None:
    """Two rows whose sealed texts were swapped open neither."""
    one, two = ("clients", "1", 1), ("clients", "2", 1)
    first, second = put(b"first", one), put(b"second", two)

    with pytest.raises(SealBroken):
        take(first, two)
    with pytest.raises(SealBroken):
        take(second, one)


def test_previous_master_key_still_opens() -> None:
    """While the master key is changed, the previous one opens and the current one seals."""
    old, new = os.urandom(32), os.urandom(32)
    text = Seal([old]).seal(b"x", table="t", row="r", version=1)
    both = Seal.from_text(f"{base64url.encode(new)},{base64url.encode(old)}=")

    again = both.seal(
        both.unseal(text, table="t", row="r", version=1), table="t", row="r", version=1
    )

    assert both.needs_reseal(text)
    assert not both.needs_reseal(again)
    assert Seal([new]).unseal(again, table="t", row="r", version=1) == b"x"
    with pytest.raises(UnknownMasterKey):
        Seal([new]).unseal(text, table="t", row="r", version=1)


def test_key_id_tells_nothing_of_the_key() -> None:
    """The text has four parts, and its key id is no part or plain hash of the master key."""
    form, key_id, nonce, _ = put(b"", ("t", "r", 1)).split(".")

    assert (form, len(key_id), len(base64url.decode(nonce))) == ("v1", 8, 12)
    assert put(b"", ("t", "r", 1)).split(".")[1:3] != [key_id, nonce]
    assert base64url.encode(bytes(range(32)))[:8] != key_id


@pytest.mark.parametrize("text", ["", "short", "ä" * 43, "A" * 43 + ",", "A" * 42 + "B", "A" * 44])
def test_faulty_master_keys_are_refused(text: str) -> None:
    """A master key that is not 32 bytes of base64url is refused, without quoting it."""
    with pytest.raises(UnusableSecret, match="A master key is") as caught:
        Seal.from_text(text)

    assert not text or text not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("keys", [[], [bytes(16)], [bytes(32), bytes(24)]])
def test_seal_needs_whole_keys(keys: list[bytes]) -> None:
    """A seal without master keys, or with one that is too short, can not be made."""
    with pytest.raises(UnusableSecret):
        Seal(keys)
