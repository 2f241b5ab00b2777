"""What lies sealed in a store, and its opening.

Each sealed text is bound to its table, row and version, so that a row that somebody copied over
another no longer opens.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from dispatcher.domain.errors import Fault, InvalidSettings
from dispatcher.stored.books import Books
from dispatcher.stored.rows import application_of, source_of
from keys import KeysError, Seal

APPLICATION, SOURCE, META = "application", "source", "meta"
_CANARY_ROW = "canary"
_CANARY = b"this store was opened with the right master key"


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


def sealed_anew(seal: Seal, sealed: str, *, table: str, row: str, version: int) -> str:
    """Return what was *sealed* for that place under an older master key, under today's."""
    text = unseal_text(seal, sealed, table=table, row=row, version=version)
    return seal_text(seal, text, table=table, row=row, version=version)


def canary(seal: Seal, known: str | None) -> str | None:
    """Return the canary that is to be kept in place of the one *known*; None where that may stay.

    Raises InvalidSettings where the store was sealed under another master key.
    """
    if known is not None:
        unseal_text(seal, known, table=META, row=_CANARY_ROW, version=1)
        if not seal.needs_reseal(known):
            return None
    return seal.seal(_CANARY, table=META, row=_CANARY_ROW, version=1)


def opened_books(
    seal: Seal, *, applications: Iterable[Sequence[Any]], sources: Iterable[Sequence[Any]]
) -> Books:
    """Return the registry that was stored.

    *applications* are rows of client_id, document, record, sealed key and version, *sources* of
    name, record, sealed secrets and version.
    """
    books = Books()
    for client_id, document, record, sealed, version in applications:
        key = sealed and unseal_text(
            seal, sealed, table=APPLICATION, row=client_id, version=version
        )
        books = books.with_application(application_of(client_id, document, record, key))
    for name, record, sealed, version in sources:
        secrets = unseal_text(seal, sealed, table=SOURCE, row=name, version=version)
        books = books.with_source(source_of(name, record, secrets))
    return books
