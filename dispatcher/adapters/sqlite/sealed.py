"""What lies sealed in the store, and its opening when the store is opened.

Each sealed text is bound to its table, row and version, so that a row that somebody copied over
another no longer opens. What lies under an older master key is sealed anew at every start, so that
the older key can be taken away after one.
"""

from collections.abc import Iterator

import apsw

from dispatcher.adapters.sqlite.transactions import read
from dispatcher.domain.errors import Fault, InvalidSettings
from dispatcher.stored.books import Books
from dispatcher.stored.rows import application_of, source_of
from keys import KeysError, Seal

APPLICATION, SOURCE, META = "application", "source", "meta"
_CANARY_ROW = "canary"
_CANARY = b"this store was opened with the right master key"

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


def seal_text(seal: Seal, text: str, *, table: str, row: str, version: int) -> str:
    """Return *text* sealed for its place."""
    return seal.seal(text.encode("utf-8"), table=table, row=row, version=version)


def unseal_text(seal: Seal, sealed: str, *, table: str, row: str, version: int) -> str:
    """Return what was sealed for that place; raise InvalidSettings where the key does not fit."""
    try:
        return seal.unseal(sealed, table=table, row=row, version=version).decode("utf-8")
    except KeysError as error:
        message = f"does not open what is sealed in this store ({table} {row}): {error}"
        raise InvalidSettings([Fault("DISPATCHER_MASTER_KEY", message)]) from error


def check_canary(connection: apsw.Connection, seal: Seal) -> None:
    """Raise InvalidSettings where the store was sealed under another master key."""
    sealed = connection.execute("SELECT canary FROM meta").get
    if sealed is not None:
        unseal_text(seal, str(sealed), table=META, row=_CANARY_ROW, version=1)
    if sealed is None or seal.needs_reseal(str(sealed)):
        anew = seal.seal(_CANARY, table=META, row=_CANARY_ROW, version=1)
        connection.execute("UPDATE meta SET canary = ?", (anew,))


def recalled(connection: apsw.Connection, seal: Seal) -> Books:
    """Read the registry's snapshots."""
    books = Books()
    for client_id, document, record, sealed, version in read(connection, _APPLICATIONS):
        key = sealed and unseal_text(
            seal, sealed, table=APPLICATION, row=client_id, version=version
        )
        books = books.with_application(application_of(client_id, document, record, key))
    for name, record, sealed, version in read(connection, _SOURCES):
        secrets = unseal_text(seal, sealed, table=SOURCE, row=name, version=version)
        books = books.with_source(source_of(name, record, secrets))
    return books


def reseal(connection: apsw.Connection, seal: Seal) -> None:
    """Seal anew what lies under an older master key."""
    for table, row, sealed, version in _sealed(connection):
        if seal.needs_reseal(sealed):
            text = unseal_text(seal, sealed, table=table, row=row, version=version)
            anew = seal_text(seal, text, table=table, row=row, version=version)
            connection.execute(_RESEAL[table], (anew, row))


def _sealed(connection: apsw.Connection) -> Iterator[tuple[str, str, str, int]]:
    for client_id, _, _, sealed, version in read(connection, _APPLICATIONS):
        if sealed is not None:
            yield APPLICATION, client_id, sealed, version
    for name, _, sealed, version in read(connection, _SOURCES):
        yield SOURCE, name, sealed, version
