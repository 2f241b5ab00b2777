"""``POST /webhooks/{source}``: who sends this, is it an event, is it on disk: only then 202."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from dispatcher.domain.errors import DispatcherError, Forbidden, InvalidEvent
from dispatcher.domain.events import Intake, LogoutEvent, Receipt
from dispatcher.domain.sources import Source
from dispatcher.pipeline.accept import accept
from dispatcher.web.answers import json_answer
from dispatcher.web.bodies import decode, read_body, require_json
from dispatcher.web.doors import Doors
from dispatcher.web.formats import native
from dispatcher.web.gates import SourceGate
from dispatcher.web.waiting import FirstOutcomes


class Ingest:
    """Takes webhooks in."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._known = frozenset(doors.known_initiators)
        self._first_outcomes = FirstOutcomes(doors)
        self._gate = SourceGate(registry=doors.registry, verifier=doors.verifier, clock=doors.clock)

    async def receive(self, request: Request) -> Response:
        """Accept one event or an array of them, and count what is turned away."""
        name = request.path_params["source"]
        try:
            return await self._receive(name, request)
        except DispatcherError as error:
            self._doors.telemetry.turned_away(name, error.code)
            raise

    async def _receive(self, name: str, request: Request) -> Response:
        body = await read_body(request)
        headers: Mapping[bytes, bytes] = dict(request.scope["headers"])
        source = self._gate.admit(name, headers, body)
        require_json(headers)
        document = decode(body, error=InvalidEvent)
        batch = self._read(document, source, headers)

        receipts = await accept(batch, queue=self._doors.queue, telemetry=self._doors.telemetry)

        answers = [self._answer(*pair) for pair in zip(batch, receipts, strict=True)]
        if isinstance(document, list):
            return json_answer(answers, status=202)
        # A join has no outcomes: nothing is known under its id.
        heard = isinstance(batch[0], LogoutEvent) and await self._first_outcomes.answer(
            request, receipts[0]
        )
        return heard or json_answer(answers[0], status=202)

    def _read(
        self, document: object, source: Source, headers: Mapping[bytes, bytes]
    ) -> tuple[Intake, ...]:
        webhook_id = headers.get(b"webhook-id")
        batch = native.parse(
            document,
            source=source,
            webhook_id=None if webhook_id is None else webhook_id.decode("latin-1"),
            received_at=self._doors.clock.now(),
        )
        if source.initiators is not None:
            _refuse_initiators(batch, source.initiators)
        return batch

    def _answer(self, intake: Intake, receipt: Receipt) -> dict[str, object]:
        if not isinstance(intake, LogoutEvent):
            return {"id": receipt.id, "event_id": receipt.event_id, "status": "recorded"}
        answer: dict[str, object] = {
            "id": receipt.id,
            "event_id": receipt.event_id,
            "status": "accepted",
            "href": f"/api/v2/events/{receipt.event_id}",
        }
        if intake.initiator not in self._known:
            answer["warnings"] = ["unknown_initiator"]
        return answer


def _refuse_initiators(batch: tuple[Intake, ...], allowed: frozenset[str]) -> None:
    for index, intake in enumerate(batch):
        if isinstance(intake, LogoutEvent) and intake.initiator not in allowed:
            where = f"[{index}].initiator" if len(batch) > 1 else "initiator"
            raise Forbidden(f"{where}: this source may not send {intake.initiator}.")
