"""The OP's own keys, read from a folder of PEM and JWK files."""

import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from keys.errors import UnusableKey
from keys.jwk import parse_keys
from keys.signing_key import SigningKey

SUFFIXES = frozenset({".pem", ".key", ".jwk", ".jwks", ".json"})
"""How the name of a key file ends."""


@dataclass(frozen=True, slots=True)
class ImportedKeys:
    """What a folder held."""

    keys: tuple[SigningKey, ...]
    """In the order of the file names: the first of an algorithm signs, all are published."""
    warnings: tuple[str, ...]
    """What a person should look at; each names its path."""


def load_folder(folder: Path) -> ImportedKeys:
    """Read every key file of `folder`, by name. Blocks: for the start of the service.

    Raises UnusableKey, naming the path: no such folder, a file that can not be read or holds no
    usable key, a kid that occurs twice, no key at all.
    """
    keys: list[SigningKey] = []
    warnings: list[str] = []
    for path in _files(folder):
        if path.suffix.lower() not in SUFFIXES:
            warnings.append(f"{path}: not read, its name does not end like a key file")
            continue
        keys += _load(path)
        if path.stat().st_mode & stat.S_IROTH:
            warnings.append(f"{path}: everybody on this machine can read it; use mode 0600")
    if not keys:
        raise UnusableKey(f"{folder}: there is no signing key in it")
    _refuse_twins(folder, keys)
    return ImportedKeys(tuple(keys), tuple(warnings))


def _files(folder: Path) -> list[Path]:
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise UnusableKey(f"{folder}: {error.strerror}") from error
    # Kubernetes mounts a Secret with a `..data` folder beside the files.
    return [path for path in paths if not path.name.startswith(".") and not path.is_dir()]


def _load(path: Path) -> list[SigningKey]:
    try:
        data, written = path.read_bytes(), path.stat().st_mtime
    except OSError as error:
        raise UnusableKey(f"{path}: {error.strerror}") from error
    try:
        found = parse_keys(data)
    except UnusableKey as error:
        raise UnusableKey(f"{path}: {error}") from None
    created_at = datetime.fromtimestamp(written, UTC)
    return [
        SigningKey(kid=key.kid, alg=key.alg, private_key=key.private_key, created_at=created_at)
        for key in found
    ]


def _refuse_twins(folder: Path, keys: list[SigningKey]) -> None:
    seen: set[str] = set()
    for key in keys:
        if key.kid in seen:
            raise UnusableKey(f"{folder}: two keys have the kid {key.kid!r}")
        seen.add(key.kid)
