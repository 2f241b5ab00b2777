"""Secrets that are only compared lie hashed."""

from hashlib import sha256

import pytest

from keys import hash_secret, hash_token, verify_secret


def test_secret_verifies_only_itself() -> None:
    """A client secret verifies against its hash, another one does not, and two hashes differ."""
    hashed = hash_secret("correct horse")

    assert verify_secret("correct horse", hashed)
    assert not verify_secret("correct hors", hashed)
    assert hash_secret("correct horse") != hashed
    assert "correct" not in hashed


@pytest.mark.parametrize("hashed", ["", "scrypt$", "scrypt$A$B", "plain", "a$b$c$d", "scrypt$é$AA"])
def test_damaged_hash_verifies_nothing(hashed: str) -> None:
    """A hash that can not be read is no match, and no error."""
    assert not verify_secret("x", hashed)


def test_other_scheme_verifies_nothing() -> None:
    """A hash of another scheme is no match."""
    hashed = hash_secret("x").replace("scrypt", "other")

    assert not verify_secret("x", hashed)


def test_token_hash_is_plain_sha256() -> None:
    """A random token is found again by its SHA-256; any text can be hashed."""
    assert hash_token("abc") == sha256(b"abc").hexdigest()
    assert hash_token("\ud800") != hash_token("")
