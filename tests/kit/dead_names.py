"""The service behind a name server that is silent about some names.

``python -m tests.kit.dead_names serve``: a look-up of a name under ``.dead.test`` blocks its thread
for as long as the system's own would (two tries of 5 s), and fails. Once the file that the variable
``DEAD_NAMES_HEALED`` names is there, such a name is loopback, and whoever still waits gets that.

The silence is put where the service meets the system, in ``socket.getaddrinfo``: a real silent name
server would need a file of the machine (``/etc/resolv.conf``) to be another for this process, which
only root can arrange.
"""

import os
import socket
import time
from pathlib import Path
from typing import Any

from dispatcher.__main__ import main

SUFFIX = ".dead.test"
HEALED = "DEAD_NAMES_HEALED"
SILENT_SECONDS = 10.0
_LOOK_SECONDS = 0.05

_system_getaddrinfo = socket.getaddrinfo


def _getaddrinfo(host: str, *arguments: Any, **more: Any) -> Any:
    if not host.endswith(SUFFIX):
        return _system_getaddrinfo(host, *arguments, **more)
    healed, deadline = Path(os.environ[HEALED]), time.monotonic() + SILENT_SECONDS
    while not healed.exists():
        if time.monotonic() > deadline:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        time.sleep(_LOOK_SECONDS)
    return _system_getaddrinfo("127.0.0.1", *arguments, **more)


if __name__ == "__main__":
    socket.getaddrinfo = _getaddrinfo  # type: ignore[assignment]  # the system, made silent
    main()
