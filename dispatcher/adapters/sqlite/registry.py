"""The door ``Registry``: applications, sources, and who may call the management API."""

from collections.abc import Callable, Collection, Mapping, Sequence

from dispatcher.adapters.sqlite.breakers import forget
from dispatcher.adapters.sqlite.engine import Door
from dispatcher.adapters.sqlite.readers import Reading
from dispatcher.adapters.sqlite.transactions import Transaction
from dispatcher.domain.applications import Application
from dispatcher.domain.errors import Conflict, NotFound
from dispatcher.domain.events import ClientId, SourceName
from dispatcher.domain.matching import Applications
from dispatcher.domain.sources import Access, ManagementClient, Source
from dispatcher.ports import unchecked
from dispatcher.stored.rows import (
    application_of,
    record_of_application,
    record_of_source,
    row_of_scopes,
    scopes_of,
    secrets_of_source,
    source_of,
)
from dispatcher.stored.sealed import APPLICATION, SOURCE, seal_text
from dispatcher.stored.values import micros, moment, packed
from keys import Seal

_VERSION_OF_APPLICATION = "SELECT version FROM application WHERE client_id = ?"
_CREATE = """
INSERT INTO application (client_id, version, document, record, max_in_flight, sealed_key)
VALUES (?, ?, ?, ?, ?, ?)
"""
_REPLACE = """
UPDATE application SET version = ?2, document = ?3, record = ?4, max_in_flight = ?5, sealed_key = ?6
WHERE client_id = ?1
"""
_REPOINT = """
UPDATE OR IGNORE delivery SET uri = ?1
WHERE client_id = ?2 AND settled_at IS NULL AND uri IN (SELECT value FROM json_each(?3))
"""
_VERSION_OF_SOURCE = "SELECT version FROM source WHERE name = ?"
_PUT_SOURCE = "INSERT OR REPLACE INTO source (name, record, sealed, version) VALUES (?, ?, ?, ?)"
_PUT_CLIENT = """
INSERT OR REPLACE INTO management_client (client_id, secret_hash, scopes) VALUES (?, ?, ?)
"""
_CLIENT = """
SELECT json_array(client_id, secret_hash, scopes) FROM management_client WHERE client_id = ?
"""
_SCOPES = "SELECT json_quote(scopes) FROM management_client WHERE client_id = ?"
_OTHER_CLIENTS = """
SELECT json_group_array(client_id ORDER BY client_id) FROM management_client
WHERE client_id NOT IN (SELECT value FROM json_each(?))
"""
_FORGET_TOKENS = "DELETE FROM access_token WHERE client_id = ?"
_FORGET_EXPIRED = "DELETE FROM access_token WHERE expires_at <= ?"
_GRANT = """
INSERT OR REPLACE INTO access_token (hash, client_id, scopes, expires_at) VALUES (?, ?, ?, ?)
"""
_ACCESS = """
SELECT json_array(client_id, token.scopes, expires_at, client.scopes)
FROM access_token AS token CROSS JOIN management_client AS client USING (client_id)
WHERE hash = ? AND expires_at > ?
"""


class SqliteRegistry(Door):
    """Applications, sources and management clients; snapshots are what was committed last."""

    @property
    def applications(self) -> Applications:
        """All applications, by client_id, oldest first; an immutable snapshot."""
        return self._engine.scribe.books.applications

    @property
    def sources(self) -> Mapping[SourceName, Source]:
        """All sources by name; an immutable snapshot."""
        return self._engine.scribe.books.sources

    async def create_application(self, application: Application) -> None:
        """Add *application*; raise Conflict where its client_id is taken."""
        await self._run(lambda tx: _create_application(tx, application, self._engine.seal))

    async def replace_application(self, application: Application) -> None:
        """Replace the record of the same client_id; raise NotFound where there is none."""
        await self.change_application(application.client_id, lambda _: application)

    async def change_application(
        self, client_id: ClientId, change: Callable[[Application], Application]
    ) -> Application:
        """Replace a record by what *change* makes of it as it is now; raise NotFound likewise."""
        return await self._engine.writer.run(
            lambda tx: _change_application(tx, client_id, change, self._engine.seal)
        )

    async def delete_application(
        self, client_id: ClientId, check: Callable[[Application], object] = unchecked
    ) -> None:
        """Remove an application that *check* lets go; an unknown one is no error."""
        await self._run(lambda tx: _delete_application(tx, client_id, check))

    async def create_source(self, source: Source) -> None:
        """Add *source*, its secrets sealed; raise Conflict where its name is taken."""
        await self._run(lambda tx: _create_source(tx, source, self._engine.seal))

    async def put_source(self, source: Source) -> None:
        """Create or replace *source*; its secrets are sealed."""
        await self._run(lambda tx: _put_source(tx, source, self._engine.seal))

    async def change_source(self, name: SourceName, change: Callable[[Source], Source]) -> Source:
        """Replace a source by what *change* makes of it as it is now; raise NotFound."""
        return await self._engine.writer.run(
            lambda tx: _change_source(tx, name, change, self._engine.seal)
        )

    async def delete_source(
        self, name: SourceName, check: Callable[[Source], object] = unchecked
    ) -> None:
        """Forget a source that *check* lets go; an unknown one is no error."""
        await self._run(lambda tx: _delete_source(tx, name, check))

    async def put_management_client(self, client: ManagementClient) -> None:
        """Create or replace *client*; where its scopes are others, its access tokens are forgotten.

        Another hash takes no token away: one and the same secret is hashed anew at each start, and
        nothing here tells it from another secret. Its tokens live until they expire.
        """
        await self._run(lambda tx: _put_client(tx, client))

    async def keep_management_clients(self, names: Collection[ClientId]) -> Sequence[ClientId]:
        """Forget every management client not named; return them. Their tokens open nothing more."""
        return await self._engine.writer.run(lambda tx: _keep_clients(tx, names))

    async def management_client(self, client_id: ClientId) -> ManagementClient | None:
        """Return the management client of that name."""
        return await self._engine.readers.run(lambda reading: _client(reading, client_id))

    async def grant(self, token_hash: str, access: Access) -> None:
        """Remember what the access token of that hash allows; forget those that have expired."""
        await self._run(lambda tx: _grant(tx, token_hash, access, self._wall()))

    async def access(self, token_hash: str) -> Access | None:
        """Return what the access token of that hash allows, and its client may still do."""
        now = self._wall()
        return await self._engine.readers.run(lambda reading: _access(reading, token_hash, now))

    async def revoke(self, token_hash: str) -> None:
        """Forget an access token; an unknown one is no error."""
        sql = "DELETE FROM access_token WHERE hash = ?"
        await self._run(lambda tx: tx.write(sql, token_hash))

    async def _run(self, command: Callable[[Transaction], None]) -> None:
        await self._engine.writer.run(command)

    def _wall(self) -> int:
        return micros(self._engine.clock.now())


def _create_application(tx: Transaction, application: Application, seal: Seal) -> None:
    if tx.read(_VERSION_OF_APPLICATION, application.client_id) is not None:
        raise Conflict(f"The client_id {application.client_id} is taken.")
    _write_application(tx, _CREATE, application, 1, seal)


def _change_application(
    tx: Transaction, client_id: ClientId, change: Callable[[Application], Application], seal: Seal
) -> Application:
    version = tx.read(_VERSION_OF_APPLICATION, client_id)
    if version is None:
        raise NotFound(f"There is no application {client_id}.")
    before = tx.books.applications[client_id]
    application = change(before)
    _write_application(tx, _REPLACE, application, version + 1, seal)
    _repoint(tx, before.urls, application)
    tx.stir()
    return application


def _write_application(
    tx: Transaction, sql: str, application: Application, version: int, seal: Seal
) -> None:
    client_id, key = application.client_id, application.client_key_pem
    document, record = packed(application.document), record_of_application(application)
    sealed = key and seal_text(seal, key, table=APPLICATION, row=client_id, version=version)
    tx.write(sql, client_id, version, document, record, application.delivery.max_in_flight, sealed)
    # Read back, so that what is published can not be changed from outside.
    tx.books = tx.books.with_application(application_of(client_id, document, record, key))


def _repoint(tx: Transaction, before: Sequence[str], application: Application) -> None:
    """Send what is owed to a URI that was taken away to the one that came in the same write."""
    added = [uri for uri in application.urls if uri not in before]
    removed = [uri for uri in before if uri not in application.urls]
    if added and removed:
        tx.write(_REPOINT, added[0], application.client_id, packed(removed))


def _delete_application(
    tx: Transaction, client_id: ClientId, check: Callable[[Application], object]
) -> None:
    if (application := tx.books.applications.get(client_id)) is not None:
        check(application)
    tx.write("DELETE FROM application WHERE client_id = ?", client_id)
    forget(tx, client_id)
    tx.books = tx.books.without_application(client_id)


def _delete_source(tx: Transaction, name: SourceName, check: Callable[[Source], object]) -> None:
    if (source := tx.books.sources.get(name)) is not None:
        check(source)
    tx.write("DELETE FROM source WHERE name = ?", name)
    tx.books = tx.books.without_source(name)


def _create_source(tx: Transaction, source: Source, seal: Seal) -> None:
    if source.name in tx.books.sources:
        raise Conflict(f"There is a source {source.name} already.")
    _put_source(tx, source, seal)


def _change_source(
    tx: Transaction, name: SourceName, change: Callable[[Source], Source], seal: Seal
) -> Source:
    if name not in tx.books.sources:
        raise NotFound(f"There is no source {name}.")
    source = change(tx.books.sources[name])
    _put_source(tx, source, seal)
    return source


def _put_source(tx: Transaction, source: Source, seal: Seal) -> None:
    name, version = source.name, (tx.read(_VERSION_OF_SOURCE, source.name) or 0) + 1
    record, secrets = record_of_source(source), secrets_of_source(source)
    sealed = seal_text(seal, secrets, table=SOURCE, row=name, version=version)
    tx.write(_PUT_SOURCE, name, record, sealed, version)
    tx.books = tx.books.with_source(source_of(name, record, secrets))


def _put_client(tx: Transaction, client: ManagementClient) -> None:
    scopes = row_of_scopes(client.scopes)
    if tx.read(_SCOPES, client.client_id) != scopes:
        # Else a client or scope that was taken away and comes back would let the old tokens in.
        tx.write(_FORGET_TOKENS, client.client_id)
    tx.write(_PUT_CLIENT, client.client_id, client.secret_hash, scopes)


def _keep_clients(tx: Transaction, names: Collection[ClientId]) -> list[ClientId]:
    gone = [ClientId(name) for name in tx.read(_OTHER_CLIENTS, packed([*names]))]
    for name in gone:
        tx.write("DELETE FROM management_client WHERE client_id = ?", name)
    return gone


def _client(reading: Reading, client_id: ClientId) -> ManagementClient | None:
    row = reading.read(_CLIENT, client_id)
    if row is None:
        return None
    return ManagementClient(
        client_id=ClientId(row[0]), secret_hash=row[1], scopes=scopes_of(row[2])
    )


def _grant(tx: Transaction, token_hash: str, access: Access, now: int) -> None:
    tx.write(_FORGET_EXPIRED, now)
    scopes, expires_at = row_of_scopes(access.scopes), micros(access.expires_at)
    tx.write(_GRANT, token_hash, access.client_id, scopes, expires_at)


def _access(reading: Reading, token_hash: str, now: int) -> Access | None:
    row = reading.read(_ACCESS, token_hash, now)
    if row is None:
        return None
    client_id, granted, expires_at, allowed = row
    return Access(
        client_id=ClientId(client_id),
        # A token that was granted while its client's record changed may have been told too much.
        scopes=scopes_of(granted) & scopes_of(allowed),
        expires_at=moment(expires_at),
    )
