"""Applications as they stand in a declarative file."""


def a_client(
    client_id: str,
    uri: str,
    *,
    algorithm: str | None = None,
    max_in_flight: int | None = None,
) -> dict[str, object]:
    """Return an application that is told of everything at *uri*."""
    document: dict[str, object] = {
        "client_id": client_id,
        "name": client_id,
        "oidc_logout": {
            "backchannel_logout_urls": [uri],
            "backchannel_logout_initiators": {"mode": "all"},
        },
    }
    if algorithm is not None:
        document["jwt_configuration"] = {"alg": algorithm}
    if max_in_flight is not None:
        document["logout_delivery"] = {"max_in_flight": max_in_flight}
    return document
