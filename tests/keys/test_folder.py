"""The OP's own keys come from a folder."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from joserfc.jwk import OKPKey

from keys import SigningKey, UnusableKey, load_folder


def write(path: Path, data: bytes, mode: int = 0o600) -> Path:
    """Write a file with a mode."""
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_keys_come_in_the_order_of_their_files(tmp_path: Path, made: dict[str, SigningKey]) -> None:
    """Every key file is read, by name; an imported kid is kept."""
    jwk = OKPKey.import_key(made["EdDSA"].to_pem().decode()).as_dict(private=True)
    path = write(tmp_path / "b.JWK", json.dumps({**jwk, "kid": "mine"}).encode())
    write(tmp_path / "a.pem", made["ES256"].to_pem())
    (tmp_path / "folder.pem").mkdir()
    write(tmp_path / ".hidden.pem", b"nothing")

    found = load_folder(tmp_path)

    assert [(key.kid, key.alg) for key in found.keys] == [
        (made["ES256"].kid, "ES256"),
        ("mine", "EdDSA"),
    ]
    assert found.warnings == ()
    assert found.keys[1].created_at == datetime.fromtimestamp(path.stat().st_mtime, UTC)


def test_open_and_foreign_files_are_reported(tmp_path: Path, made: dict[str, SigningKey]) -> None:
    """A file that everybody can read, and one that is no key file, are reported by path."""
    opened = write(tmp_path / "a.pem", made["ES256"].to_pem(), 0o644)
    foreign = write(tmp_path / "tls.crt", b"x")

    found = load_folder(tmp_path)

    assert len(found.warnings) == 2
    assert str(opened) in found.warnings[0]
    assert str(foreign) in found.warnings[1]


def test_missing_or_empty_folder_is_refused(tmp_path: Path) -> None:
    """A folder that is not there, is a file, or holds no key is refused by its path."""
    nowhere, file = tmp_path / "nowhere", write(tmp_path / "file", b"")

    for folder in (nowhere, file, tmp_path):
        with pytest.raises(UnusableKey, match=str(folder)):
            load_folder(folder)


def test_faulty_files_are_refused(tmp_path: Path) -> None:
    """A file that holds no usable key, or can not be read, is refused by its path."""
    path = write(tmp_path / "bad.pem", b"nothing")
    with pytest.raises(UnusableKey, match=f"{path}: neither"):
        load_folder(tmp_path)

    path.unlink()
    path.symlink_to(tmp_path / "nowhere")

    with pytest.raises(UnusableKey, match=f"{path}: No such file"):
        load_folder(tmp_path)


def test_same_key_twice_is_refused(tmp_path: Path, made: dict[str, SigningKey]) -> None:
    """Two keys with one kid are refused: an application could not tell them apart."""
    write(tmp_path / "a.pem", made["ES256"].to_pem())
    write(tmp_path / "b.pem", made["ES256"].to_pem())

    with pytest.raises(UnusableKey, match=made["ES256"].kid):
        load_folder(tmp_path)
