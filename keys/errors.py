"""What can go wrong in the vault.

KeysError                   code
├── KeySetUnavailable       key_set_unavailable
├── KeyUnavailable          key_unavailable
├── KeysAreImported         keys_are_imported
├── NextKeyTooNew           next_key_too_new
├── RingContended           ring_contended
├── RingDamaged             ring_damaged
├── SealBroken              seal_broken
├── UnknownKey              unknown_key
├── UnknownMasterKey        unknown_master_key
├── UnusableKey             unusable_key
└── UnusableSecret          unusable_secret

Each docstring is the default message. No message ever holds key material, sealed or plain.
"""

from typing import ClassVar


class KeysError(Exception):
    """The vault can not do this."""

    code: ClassVar[str] = "keys_error"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)


class KeySetUnavailable(KeysError):
    """Somebody else's public keys can not be had now."""

    code = "key_set_unavailable"


class KeyUnavailable(KeysError):
    """There is no current key for this algorithm."""

    code = "key_unavailable"


class KeysAreImported(KeysError):
    """The keys come from files: replace the files and start again to change them."""

    code = "keys_are_imported"


class NextKeyTooNew(KeysError):
    """Not everybody can know the next key yet: rotate some minutes later, or revoke the current."""

    code = "next_key_too_new"


class RingContended(KeysError):
    """Others keep changing the key ring at the same time; try again."""

    code = "ring_contended"


class RingDamaged(KeysError):
    """The stored key ring can not be read."""

    code = "ring_damaged"


class SealBroken(KeysError):
    """The sealed text was changed, cut, or moved from the place it was sealed for."""

    code = "seal_broken"


class UnknownKey(KeysError):
    """No key has this kid."""

    code = "unknown_key"


class UnknownMasterKey(KeysError):
    """This was sealed under a master key that is not at hand."""

    code = "unknown_master_key"


class UnusableKey(KeysError):
    """This is not a key that can sign here."""

    code = "unusable_key"


class UnusableSecret(KeysError):
    """This is not a well-formed secret."""

    code = "unusable_secret"
