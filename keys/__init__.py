"""The vault: all that touches private keys, and nothing that knows what they are used for.

An auditor's question is "where can a private key be?". Here, in memory; sealed, in the store that
is given in; and, if the operator says so, in a folder of files that are only read. No key material
lies in this package or its repository.

Read `ring` for what there is, `rotation` for how it changes, `seal` for how it is stored, and
`vault` for the one object with state that the rest of the program meets. What others have signed is
judged by `webhook_signature`, `body_signature` and `security_event`, the last with `issuer_keys`.
"""

from keys.algorithms import ALGORITHMS
from keys.errors import (
    KeysAreImported,
    KeysError,
    KeySetUnavailable,
    KeyUnavailable,
    NextKeyTooNew,
    RingContended,
    RingDamaged,
    SealBroken,
    UnknownKey,
    UnknownMasterKey,
    UnusableKey,
    UnusableSecret,
)
from keys.folder import ImportedKeys, load_folder
from keys.issuer_keys import IssuerKeys
from keys.ring import KeyRing, Place
from keys.seal import Seal
from keys.secrets import hash_secret, hash_token, verify_secret
from keys.signing_key import SigningKey
from keys.store import KeyStore, SealedRing
from keys.vault import KeyInfo, Signed, Vault

__all__ = [
    "ALGORITHMS",
    "ImportedKeys",
    "IssuerKeys",
    "KeyInfo",
    "KeyRing",
    "KeySetUnavailable",
    "KeyStore",
    "KeyUnavailable",
    "KeysAreImported",
    "KeysError",
    "NextKeyTooNew",
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
