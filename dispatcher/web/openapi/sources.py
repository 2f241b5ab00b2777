"""The paths of the management API at which sources are read and written."""

from collections.abc import Mapping

from dispatcher.domain.sources import Scope
from dispatcher.web.openapi.operations import Operation, answer, api, body, cursor, in_path
from dispatcher.web.openapi.shapes import ref

_NAME = in_path("name")

SOURCES: Mapping[str, Mapping[str, Operation]] = {
    "/api/v2/sources": {
        "get": api(
            "List who may send events, by name",
            Scope.READ_SOURCES,
            tag="sources",
            answers={200: answer("A page of sources.", ref("Sources"))},
            refusals=[400],
            parameters=cursor(),
        ),
        "post": api(
            "Create a source; one that can sign and is given no proof gets a secret",
            Scope.UPDATE_SOURCES,
            tag="sources",
            answers={201: answer("The source, with its secret where that was made here.",
                                 ref("SourceWithSecret"))},
            refusals=[409],
            request=body(ref("NewSource")),
        ),
    },
    "/api/v2/sources/{name}": {
        "get": api(
            "Show a source, without its secrets",
            Scope.READ_SOURCES,
            tag="sources",
            answers={200: answer("The source.", ref("Source"))},
            refusals=[404],
            parameters=[_NAME],
        ),
        "patch": api(
            "Replace each member that is given, each kind of secret whole; null removes it",
            Scope.UPDATE_SOURCES,
            tag="sources",
            answers={200: answer("The source.", ref("Source"))},
            refusals=[404, 409],
            parameters=[_NAME],
            request=body(ref("SourcePatch")),
        ),
        "delete": api(
            "Delete a source",
            Scope.UPDATE_SOURCES,
            tag="sources",
            answers={204: answer("It is not there (any more).")},
            refusals=[409],
            parameters=[_NAME],
        ),
    },
}  # fmt: skip
