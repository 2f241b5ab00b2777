"""The door ``Registry``: applications, sources, and who may call the management API.

Each transaction learns at its beginning which version of the registry is current, and reads it anew
where another replica has changed it; an idle replica looks into the store at least once a second.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

from dispatcher.adapters.postgres.breakers import forget
from dispatcher.adapters.postgres.doors import Door
from dispatcher.adapters.postgres.engine import Engine
from dispatcher.adapters.postgres.lanes import hold_lanes
from dispatcher.adapters.postgres.transactions import (
    MOVING,
    READING,
    WRITING,
    Command,
    Terms,
    Transaction,
)
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

T = TypeVar("T")

_VERSION_OF_APPLICATION = "SELECT version FROM application WHERE client_id = $1"
_CREATE = """
INSERT INTO application (client_id, version, document, record, max_in_flight, sealed_key)
VALUES ($1, $2, $3, $4, $5, $6)
"""
_REPLACE = """
UPDATE application SET version = $2, document = $3, record = $4, max_in_flight = $5, sealed_key = $6
WHERE client_id = $1
"""
_REPOINT = """
UPDATE delivery SET uri = $1 WHERE number IN (
    SELECT DISTINCT ON (event, coalesce(sid, '')) number FROM delivery AS owed
    WHERE client_id = $2 AND settled_at IS NULL AND uri = ANY($3::text[])
        AND NOT EXISTS (
            SELECT 1 FROM delivery AS told
            WHERE told.event = owed.event AND told.client_id = $2 AND told.uri = $1
                AND coalesce(told.sid, '') = coalesce(owed.sid, ''))
    ORDER BY event, coalesce(sid, ''), number)
"""
_VERSION_OF_SOURCE = "SELECT version FROM source WHERE name = $1"
_PUT_SOURCE = """
INSERT INTO source (name, record, sealed, version) VALUES ($1, $2, $3, $4)
ON CONFLICT (name) DO UPDATE SET
    record = excluded.record, sealed = excluded.sealed, version = excluded.version
"""
_PUT_CLIENT = """
INSERT INTO management_client (client_id, secret_hash, scopes) VALUES ($1, $2, $3)
ON CONFLICT (client_id) DO UPDATE SET secret_hash = excluded.secret_hash, scopes = excluded.scopes
"""
_CLIENT = "SELECT client_id, secret_hash, scopes FROM management_client WHERE client_id = $1"
_SCOPES = "SELECT scopes FROM management_client WHERE client_id = $1 FOR UPDATE"
_OTHER_CLIENTS = """
SELECT client_id FROM management_client WHERE NOT client_id = ANY($1::text[]) ORDER BY client_id
"""
_FORGET_TOKENS = "DELETE FROM access_token WHERE client_id = $1"
_FORGET_CLIENTS = "DELETE FROM management_client WHERE client_id = ANY($1::text[])"
_FORGET_EXPIRED = "DELETE FROM access_token WHERE expires_at <= $1"
_GRANT = """
INSERT INTO access_token (hash, client_id, scopes, expires_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (hash) DO UPDATE SET client_id = excluded.client_id, scopes = excluded.scopes,
    expires_at = excluded.expires_at
"""
_ACCESS = """
SELECT client_id, token.scopes, expires_at, client.scopes
FROM access_token AS token JOIN management_client AS client USING (client_id)
WHERE hash = $1 AND expires_at > $2
"""


class PostgresRegistry(Door):
    """Applications, sources and management clients; snapshots are what was committed last.

    What changes them waits here for its turn in this process: it would wait in the server too, but
    with a connection each, of which there are few, and no longer than for any lock.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._turn = asyncio.Lock()

    @property
    def applications(self) -> Applications:
        """All applications, by client_id, oldest first; an immutable snapshot."""
        return self._engine.shelf.books.applications

    @property
    def sources(self) -> Mapping[SourceName, Source]:
        """All sources by name; an immutable snapshot."""
        return self._engine.shelf.books.sources

    async def create_application(self, application: Application) -> None:
        """Add *application*; raise Conflict where its client_id is taken."""
        await self._changed(lambda tx: _create_application(tx, application, self._engine.seal))

    async def replace_application(self, application: Application) -> None:
        """Replace the record of the same client_id; raise NotFound where there is none."""
        await self.change_application(application.client_id, lambda _: application)

    async def change_application(
        self, client_id: ClientId, change: Callable[[Application], Application]
    ) -> Application:
        """Replace a record by what *change* makes of it as it is now; raise NotFound likewise."""
        return await self._changed(
            lambda tx: _change_application(tx, client_id, change, self._engine.seal), terms=MOVING
        )

    async def delete_application(
        self, client_id: ClientId, check: Callable[[Application], object] = unchecked
    ) -> None:
        """Remove an application that *check* lets go; an unknown one is no error."""
        await self._changed(lambda tx: _delete_application(tx, client_id, check))

    async def create_source(self, source: Source) -> None:
        """Add *source*, its secrets sealed; raise Conflict where its name is taken."""
        await self._changed(lambda tx: _create_source(tx, source, self._engine.seal))

    async def put_source(self, source: Source) -> None:
        """Create or replace *source*; its secrets are sealed."""
        await self._changed(lambda tx: _put_source(tx, source, self._engine.seal))

    async def change_source(self, name: SourceName, change: Callable[[Source], Source]) -> Source:
        """Replace a source by what *change* makes of it as it is now; raise NotFound."""
        return await self._changed(lambda tx: _change_source(tx, name, change, self._engine.seal))

    async def delete_source(
        self, name: SourceName, check: Callable[[Source], object] = unchecked
    ) -> None:
        """Forget a source that *check* lets go; an unknown one is no error."""
        await self._changed(lambda tx: _delete_source(tx, name, check))

    async def put_management_client(self, client: ManagementClient) -> None:
        """Create or replace *client*; where its scopes are others, its access tokens are forgotten.

        Another hash takes no token away: one and the same secret is hashed anew at each start, and
        nothing here tells it from another secret. Its tokens live until they expire.
        """
        await self._engine.run(lambda tx: _put_client(tx, client))

    async def keep_management_clients(self, names: Collection[ClientId]) -> Sequence[ClientId]:
        """Forget every management client not named; return them. Their tokens open nothing more."""
        return await self._engine.run(lambda tx: _keep_clients(tx, names))

    async def management_client(self, client_id: ClientId) -> ManagementClient | None:
        """Return the management client of that name."""
        return await self._engine.run(lambda tx: _client(tx, client_id), terms=READING)

    async def grant(self, token_hash: str, access: Access) -> None:
        """Remember what the access token of that hash allows; forget those that have expired."""
        await self._engine.run(lambda tx: _grant(tx, token_hash, access, self._wall()))

    async def access(self, token_hash: str) -> Access | None:
        """Return what the access token of that hash allows, and its client may still do."""
        now = self._wall()
        return await self._engine.run(lambda tx: _access(tx, token_hash, now), terms=READING)

    async def revoke(self, token_hash: str) -> None:
        """Forget an access token; an unknown one is no error."""
        sql = "DELETE FROM access_token WHERE hash = $1"
        await self._engine.run(lambda tx: tx.count(sql, token_hash))

    async def _changed(self, command: Command[T], *, terms: Terms = WRITING) -> T:
        async with self._turn:
            return await self._engine.run(command, terms=terms)

    def _wall(self) -> int:
        return micros(self._engine.clock.now())


async def _create_application(tx: Transaction, application: Application, seal: Seal) -> None:
    await tx.change_registry()
    if await tx.value(_VERSION_OF_APPLICATION, application.client_id) is not None:
        raise Conflict(f"The client_id {application.client_id} is taken.")
    _write_application(tx, _CREATE, application, 1, seal)


async def _change_application(
    tx: Transaction, client_id: ClientId, change: Callable[[Application], Application], seal: Seal
) -> Application:
    await tx.change_registry()
    version = await tx.value(_VERSION_OF_APPLICATION, client_id)
    if version is None:
        raise NotFound(f"There is no application {client_id}.")
    before = tx.books.applications[client_id]
    application = change(before)
    _write_application(tx, _REPLACE, application, version + 1, seal)
    await _repoint(tx, before.urls, application)
    tx.stir()
    return application


def _write_application(
    tx: Transaction, sql: str, application: Application, version: int, seal: Seal
) -> None:
    client_id, key = application.client_id, application.client_key_pem
    document, record = packed(application.document), record_of_application(application)
    sealed = key and seal_text(seal, key, table=APPLICATION, row=client_id, version=version)
    cap = application.delivery.max_in_flight
    tx.write(sql, client_id, version, document, record, cap, sealed)
    # Read back, so that what is published can not be changed from outside.
    tx.books = tx.books.with_application(application_of(client_id, document, record, key))


async def _repoint(tx: Transaction, before: Sequence[str], application: Application) -> None:
    """Send what is owed to a URI that was taken away to the one that came in the same write."""
    added = [uri for uri in application.urls if uri not in before]
    removed = [uri for uri in before if uri not in application.urls]
    if added and removed:
        await hold_lanes(tx, [application.client_id])
        tx.write(_REPOINT, added[0], application.client_id, removed)


async def _delete_application(
    tx: Transaction, client_id: ClientId, check: Callable[[Application], object]
) -> None:
    await tx.change_registry()
    if (application := tx.books.applications.get(client_id)) is not None:
        check(application)
    tx.write("DELETE FROM application WHERE client_id = $1", client_id)
    await forget(tx, client_id)
    tx.books = tx.books.without_application(client_id)


async def _delete_source(
    tx: Transaction, name: SourceName, check: Callable[[Source], object]
) -> None:
    await tx.change_registry()
    if (source := tx.books.sources.get(name)) is not None:
        check(source)
    tx.write("DELETE FROM source WHERE name = $1", name)
    tx.books = tx.books.without_source(name)


async def _create_source(tx: Transaction, source: Source, seal: Seal) -> None:
    await tx.change_registry()
    if source.name in tx.books.sources:
        raise Conflict(f"There is a source {source.name} already.")
    await _write_source(tx, source, seal)


async def _put_source(tx: Transaction, source: Source, seal: Seal) -> None:
    await tx.change_registry()
    await _write_source(tx, source, seal)


async def _change_source(
    tx: Transaction, name: SourceName, change: Callable[[Source], Source], seal: Seal
) -> Source:
    await tx.change_registry()
    if name not in tx.books.sources:
        raise NotFound(f"There is no source {name}.")
    source = change(tx.books.sources[name])
    await _write_source(tx, source, seal)
    return source


async def _write_source(tx: Transaction, source: Source, seal: Seal) -> None:
    name, version = source.name, (await tx.value(_VERSION_OF_SOURCE, source.name) or 0) + 1
    record, secrets = record_of_source(source), secrets_of_source(source)
    sealed = seal_text(seal, secrets, table=SOURCE, row=name, version=version)
    tx.write(_PUT_SOURCE, name, record, sealed, version)
    tx.books = tx.books.with_source(source_of(name, record, secrets))


async def _put_client(tx: Transaction, client: ManagementClient) -> None:
    scopes = row_of_scopes(client.scopes)
    if await tx.value(_SCOPES, client.client_id) != scopes:
        # Else a client or scope that was taken away and comes back would let the old tokens in.
        tx.write(_FORGET_TOKENS, client.client_id)
    tx.write(_PUT_CLIENT, client.client_id, client.secret_hash, scopes)


async def _keep_clients(tx: Transaction, names: Collection[ClientId]) -> list[ClientId]:
    gone = [ClientId(name) for (name,) in await tx.rows(_OTHER_CLIENTS, [*names])]
    tx.write(_FORGET_CLIENTS, gone)
    return gone


async def _client(tx: Transaction, client_id: ClientId) -> ManagementClient | None:
    for name, secret_hash, scopes in await tx.rows(_CLIENT, client_id):
        return ManagementClient(
            client_id=ClientId(name), secret_hash=secret_hash, scopes=scopes_of(scopes)
        )
    return None


async def _grant(tx: Transaction, token_hash: str, access: Access, now: int) -> None:
    tx.write(_FORGET_EXPIRED, now)
    scopes, expires_at = row_of_scopes(access.scopes), micros(access.expires_at)
    tx.write(_GRANT, token_hash, access.client_id, scopes, expires_at)


async def _access(tx: Transaction, token_hash: str, now: int) -> Access | None:
    for client_id, granted, expires_at, allowed in await tx.rows(_ACCESS, token_hash, now):
        return Access(
            client_id=ClientId(client_id),
            # A token that was granted while its client's record changed may have been told too
            # much.
            scopes=scopes_of(granted) & scopes_of(allowed),
            expires_at=moment(expires_at),
        )
    return None
