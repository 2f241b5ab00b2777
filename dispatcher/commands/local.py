"""A data folder for trying the service on one's own machine: key, secrets and settings made there.

Nothing of it is for production: there the operator gives the master key and the declarative file.
"""

import base64
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from dispatcher.domain.errors import Fault, InvalidSettings
from dispatcher.domain.sources import Scope

_DECLARED = """\
# Made for this folder at its first start; every secret in it is random. Change it as you like.

[[sources]]
name = "idp"
secret = "{secret}"

[[management_clients]]
client_id = "ops"
client_secret = "{client_secret}"
scopes = [
{scopes}
]
"""


def local_environment(folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return *environ* with what it lacks set for *folder*, making the files at the first time.

    Raises InvalidSettings where the folder can not be used.
    """
    try:
        master_key, declared = _made(folder)
    except OSError as error:
        fault = Fault("--local", f"{folder} can not be used: {error.strerror}")
        raise InvalidSettings([fault]) from None
    defaults = {
        "DISPATCHER_ISSUER": "http://127.0.0.1:8080/",
        "DISPATCHER_STORE": f"sqlite:///{folder / 'dispatcher.db'}",
        "DISPATCHER_MASTER_KEY_FILE": str(master_key),
        "DISPATCHER_CONFIG": str(declared),
        "DISPATCHER_EGRESS_ALLOW": "127.0.0.0/8",
        "DISPATCHER_EGRESS_ALLOW_HTTP": "true",
    }
    given = {name: text for name, text in environ.items() if text.strip()}
    if "DISPATCHER_MASTER_KEY" in given:
        del defaults["DISPATCHER_MASTER_KEY_FILE"]
    if "DISPATCHER_STORE_FILE" in given:
        del defaults["DISPATCHER_STORE"]
    return {**defaults, **given}


def _made(folder: Path) -> tuple[Path, Path]:
    """Return the files of the master key and of what is declared, for this user alone."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    master_key, declared = folder / "master.key", folder / "dispatcher.toml"
    _once(master_key, base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("="))
    _once(
        declared,
        _DECLARED.format(
            secret="whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
            client_secret=secrets.token_urlsafe(32),
            scopes="\n".join(f'  "{scope}",' for scope in Scope),
        ),
    )
    return master_key, declared


def _once(path: Path, text: str) -> None:
    """Write *path*, readable by its owner alone, unless it is there already."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
