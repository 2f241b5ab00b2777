"""The vault: all that touches private keys, and nothing that knows what they are used for.

An auditor's question is "where can a private key be?". Here, in memory; sealed, in the store that
is given in; and, if the operator says so, in a folder of files that are only read. No key material
lies in this package or its repository.

Read `ring` for what there is, `rotation` for how it changes, `seal` for how it is stored, and
`vault` for the one object with state that the rest of the program meets.
"""

from keys.algorithms import ALGORITHMS
from keys.errors import (
    KeysAreImported,
    KeysError,
    KeyUnavailable,
    RingContended,
    RingDamaged,
    SealBroken,
    UnknownKey,
    UnknownMasterKey,
    UnusableKey,
    UnusableSecret,
)
from keys.folder import ImportedKeys, load_folder
from keys.ring import KeyRing, Place
from keys.seal import Seal
from keys.secrets import hash_secret, hash_token, verify_secret
from keys.signing_key import SigningKey
from keys.store import KeyStore, SealedRing
from keys.vault import KeyInfo, Signed, Vault

__all__ = [
    "ALGORITHMS",
    "ImportedKeys",
    "KeyInfo",
    "KeyRing",
    "KeyStore",
    "KeyUnavailable",
    "KeysAreImported",
    "KeysError",
    "Place",
    "RingContended",
    "RingDamaged",
    "Seal",
    "SealBroken",
    "SealedRing",
    "Signed",
    "SigningKey",
    "UnknownKey",
    "UnknownMasterKey",
    "UnusableKey",
    "UnusableSecret",
    "Vault",
    "hash_secret",
    "hash_token",
    "load_folder",
    "verify_secret",
]
