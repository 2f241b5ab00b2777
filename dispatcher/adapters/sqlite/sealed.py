"""What lies sealed in the store, and its opening when the store is opened.

What lies under an older master key is sealed anew at every start, so that the older key can be
taken away after one.
"""

from collections.abc import Iterator

import apsw

from dispatcher.adapters.sqlite.transactions import read
from dispatcher.stored.books import Books
from dispatcher.stored.sealed import APPLICATION, SOURCE, canary, opened_books, sealed_anew
from keys import Seal

_APPLICATIONS = """
SELECT json_group_array(json_array(client_id, document, record, sealed_key, version)
    ORDER BY position) FROM application
"""
_SOURCES = """
SELECT json_group_array(json_array(name, record, sealed, version) ORDER BY name) FROM source
"""
_RESEAL = {
    APPLICATION: "UPDATE application SET sealed_key = ? WHERE client_id = ?",
    SOURCE: "UPDATE source SET sealed = ? WHERE name = ?",
}


def check_canary(connection: apsw.Connection, seal: Seal) -> None:
    """Raise InvalidSettings where the store was sealed under another master key."""
    known = connection.execute("SELECT canary FROM meta").get
    anew = canary(seal, None if known is None else str(known))
    if anew is not None:
        connection.execute("UPDATE meta SET canary = ?", (anew,))


def recalled(connection: apsw.Connection, seal: Seal) -> Books:
    """Read the registry's snapshots."""
    return opened_books(
        seal, applications=read(connection, _APPLICATIONS), sources=read(connection, _SOURCES)
    )


def reseal(connection: apsw.Connection, seal: Seal) -> None:
    """Seal anew what lies under an older master key."""
    for table, row, sealed, version in _sealed(connection):
        if seal.needs_reseal(sealed):
            anew = sealed_anew(seal, sealed, table=table, row=row, version=version)
            connection.execute(_RESEAL[table], (anew, row))


def _sealed(connection: apsw.Connection) -> Iterator[tuple[str, str, str, int]]:
    for client_id, _, _, sealed, version in read(connection, _APPLICATIONS):
        if sealed is not None:
            yield APPLICATION, client_id, sealed, version
    for name, _, sealed, version in read(connection, _SOURCES):
        yield SOURCE, name, sealed, version
