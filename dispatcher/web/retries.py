"""``/api/v2/deliveries/{id}/retry`` and ``/api/v2/deliveries/retry``: once more, by a person."""

from typing import assert_never

from starlette.requests import Request
from starlette.responses import Response

from dispatcher.domain.deliveries import DeliveryId, DeliveryState, Retrial
from dispatcher.domain.errors import Conflict, Fault, NotFound
from dispatcher.domain.events import IDENTIFIER_RULE, ClientId, EventId, is_identifier
from dispatcher.domain.ledger import DeliveryFilter
from dispatcher.domain.reading import Reader
from dispatcher.pipeline.retry import retry_all
from dispatcher.web.answers import json_answer
from dispatcher.web.bodies import read_document
from dispatcher.web.doors import Doors
from dispatcher.web.problems import InvalidBody

_FILTERS = frozenset({"client_id", "event_id", "state", "since", "until"})
_STATES = [DeliveryState.FAILED, DeliveryState.CANCELLED]


class Retries:
    """Owes deliveries once more."""

    def __init__(self, doors: Doors) -> None:
        self._queue = doors.queue
        self._ledger = doors.ledger

    async def one(self, request: Request) -> Response:
        """Retry one delivery."""
        (retrial,) = await self._queue.retry([DeliveryId(request.path_params["delivery_id"])])

        _refuse(retrial)
        return json_answer({"retried": 1}, status=202)

    async def all_of(self, request: Request) -> Response:
        """Retry all that a filter names; say of how many that was not to be."""
        wanted = _filter(await read_document(request))

        counts = await retry_all(wanted, queue=self._queue, ledger=self._ledger)

        refused = counts[Retrial.ENDS_EXCEPTED]
        answer = {"retried": counts[Retrial.RETRIED]} | ({"refused": refused} if refused else {})
        return json_answer(answer, status=202)


def _refuse(retrial: Retrial) -> None:
    match retrial:
        case Retrial.RETRIED:
            return
        case Retrial.UNKNOWN:
            raise NotFound("The delivery does not exist")
        case Retrial.NOT_OVER:
            raise Conflict("Only a delivery that failed or was cancelled can be retried.")
        case Retrial.ENDS_EXCEPTED:
            raise Conflict(
                "The delivery has no sid, and its event has except_sids: a token without sid would"
                " end the excepted sessions too. End the others by an event for each sid."
            )
        case _:
            assert_never(retrial)


def _filter(document: dict[str, object]) -> DeliveryFilter:
    faults: list[Fault] = []
    root = Reader(document, faults=faults)
    root.refuse_others(_FILTERS)
    if not document:
        # A slip must not send everything again that ever failed: {"state": "failed"} does.
        root.fault("", "names nothing: give at least one member, such as state")
    client_id, event_id = (_identifier(root, name) for name in ("client_id", "event_id"))
    wanted = DeliveryFilter(
        client_id=None if client_id is None else ClientId(client_id),
        event_id=None if event_id is None else EventId(event_id),
        state=root.choice("state", DeliveryState, _STATES) or DeliveryState.FAILED,
        since=root.moment("since"),
        until=root.moment("until"),
    )
    _refuse_nulls(root)
    if faults:
        raise InvalidBody(faults)
    return wanted


def _refuse_nulls(root: Reader) -> None:
    # A variable that is unset in a script must not widen what is sent again.
    for name, value in root.document.items():
        if value is None:
            root.fault(name, "is null: leave it out where it is not meant")


def _identifier(root: Reader, name: str) -> str | None:
    return root.text(name, ok=is_identifier, rule=IDENTIFIER_RULE)
