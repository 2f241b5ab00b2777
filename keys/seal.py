"""Sealing: what is secret lies in the store only under a master key that the store never sees.

A sealed text is `v1.<key id>.<nonce>.<ciphertext>`, each part base64url without padding. It is
AES-256-GCM (NIST SP 800-38D) and bound to the table, row and version it was made for: copied to
another row, it no longer opens.
"""

import json
import os
from collections.abc import Sequence
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keys import base64url
from keys.errors import SealBroken, UnknownMasterKey, UnusableSecret

MASTER_KEY_BYTES = 32
_FORMAT = "v1"
_NONCE_BYTES = 12
_KEY_ID_CHARS = 8
_KEY_ID_LABEL = b"backchannel-logout-dispatcher master key id v1\0"


class Seal:
    """Seals under the first master key; opens what any of them sealed.

    Nonces are random: NIST SP 800-38D section 8.3 allows 2^32 sealings under one master key.
    """

    def __init__(self, master_keys: Sequence[bytes]) -> None:
        if not master_keys or any(len(key) != MASTER_KEY_BYTES for key in master_keys):
            raise UnusableSecret(f"A master key is {MASTER_KEY_BYTES} bytes, base64url.")
        self._ciphers = {_key_id(key): AESGCM(key) for key in master_keys}
        self._current = _key_id(master_keys[0])

    @classmethod
    def from_text(cls, text: str) -> "Seal":
        """Read `current` or `current,previous`, each base64url of 32 bytes.

        Raises UnusableSecret.
        """
        try:
            return cls([base64url.decode(part.strip().rstrip("=")) for part in text.split(",")])
        except ValueError:
            # `from None`: the cause would carry the text.
            raise UnusableSecret("A master key is not base64url.") from None

    def seal(self, plaintext: bytes, *, table: str, row: str, version: int) -> str:
        """Return `plaintext` sealed under the current master key, for this place alone."""
        nonce = os.urandom(_NONCE_BYTES)
        place = _associated_data(table, row, version)
        sealed = self._ciphers[self._current].encrypt(nonce, plaintext, place)
        parts = (_FORMAT, self._current, base64url.encode(nonce), base64url.encode(sealed))
        return ".".join(parts)

    def unseal(self, text: str, *, table: str, row: str, version: int) -> bytes:
        """Return what was sealed for this place. Raises UnknownMasterKey or SealBroken."""
        key_id, nonce, sealed = _parse(text)
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise UnknownMasterKey
        try:
            return cipher.decrypt(nonce, sealed, _associated_data(table, row, version))
        except InvalidTag:
            raise SealBroken from None

    def needs_reseal(self, text: str) -> bool:
        """Tell whether `text` was sealed under another master key than the current."""
        return _parse(text)[0] != self._current


def _key_id(master_key: bytes) -> str:
    return base64url.encode(sha256(_KEY_ID_LABEL + master_key).digest())[:_KEY_ID_CHARS]


def _associated_data(table: str, row: str, version: int) -> bytes:
    # JSON quotes its strings: ("a", "b,c") and ("a,b", "c") can not become the same bytes.
    return json.dumps([_FORMAT, table, row, version], separators=(",", ":")).encode()


def _parse(text: str) -> tuple[str, bytes, bytes]:
    """Return key id, nonce and ciphertext. Raises SealBroken if `text` has not this shape."""
    parts = text.split(".")
    if len(parts) != 4 or parts[0] != _FORMAT:  # noqa: PLR2004 - the four parts named above
        raise SealBroken
    try:
        nonce, sealed = base64url.decode(parts[2]), base64url.decode(parts[3])
    except ValueError:
        raise SealBroken from None
    if len(nonce) != _NONCE_BYTES:
        raise SealBroken
    return parts[1], nonce, sealed
