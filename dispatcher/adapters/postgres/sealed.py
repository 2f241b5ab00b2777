"""What lies sealed in the store, when it is opened.

What lies under an older master key is sealed anew at every start, so that the older key can be
taken away once all replicas have been started with the new one.
"""

from dispatcher.adapters.postgres.transactions import Transaction
from dispatcher.stored.sealed import APPLICATION, SOURCE, canary, sealed_anew
from keys import Seal

_CANARY = "SELECT canary FROM meta FOR UPDATE"
_KEEP_CANARY = "UPDATE meta SET canary = $1"
_SEALED = {
    APPLICATION: """
        SELECT client_id, sealed_key, version FROM application WHERE sealed_key IS NOT NULL
        ORDER BY client_id FOR UPDATE
        """,
    SOURCE: "SELECT name, sealed, version FROM source ORDER BY name FOR UPDATE",
}
_RESEAL = {
    APPLICATION: "UPDATE application SET sealed_key = $1 WHERE client_id = $2",
    SOURCE: "UPDATE source SET sealed = $1 WHERE name = $2",
}


async def check_seal(tx: Transaction, seal: Seal) -> None:
    """Seal anew what needs it; raise InvalidSettings where the master key is another."""
    anew = canary(seal, await tx.value(_CANARY))
    if anew is not None:
        tx.write(_KEEP_CANARY, anew)
    for table, sql in _SEALED.items():
        for row, sealed, version in await tx.rows(sql):
            if seal.needs_reseal(sealed):
                text = sealed_anew(seal, sealed, table=table, row=row, version=version)
                tx.write(_RESEAL[table], text, row)
