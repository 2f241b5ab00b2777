"""``POST /webhooks/{source}``: who sends this, what does it tell, is it on disk: only then 2xx."""

from collections.abc import Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response

from dispatcher.domain.errors import DispatcherError, Forbidden
from dispatcher.domain.events import Intake, LogoutEvent, Receipt
from dispatcher.domain.sources import PassedOver, Source, SourceFormat
from dispatcher.pipeline.accept import accept, accept_each
from dispatcher.web.answers import NO_STORE, json_answer
from dispatcher.web.bodies import read_body
from dispatcher.web.doors import Doors
from dispatcher.web.formats import OF_OUR_WORDS, READERS, Told, Webhook, security_event
from dispatcher.web.gates import SourceGate
from dispatcher.web.waiting import FirstOutcomes

_CONSENT: Mapping[str, str] = {
    **NO_STORE,
    "allow": "OPTIONS, POST",
    "webhook-allowed-origin": "*",
    "webhook-allowed-rate": "*",
}


class Ingest:
    """Takes webhooks in."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._known = frozenset(doors.known_initiators)
        self._first_outcomes = FirstOutcomes(doors)
        self._gate = SourceGate(registry=doors.registry, verifier=doors.verifier, clock=doors.clock)

    async def receive(self, request: Request) -> Response:
        """Accept what a webhook tells of, and count what is turned away."""
        name = request.path_params["source"]
        headers: Mapping[bytes, bytes] = dict(request.scope["headers"])
        try:
            return await self._receive(name, headers, request)
        except DispatcherError as error:
            self._doors.telemetry.turned_away(name, error.code)
            refusal = security_event.refusal(error) if security_event.is_pushed(headers) else None
            if refusal is None:
                raise
            return refusal

    async def consent(self, _: Request) -> Response:
        """Agree to be sent events, which a sender may ask for before (CloudEvents Web Hooks 4).

        It is the same for every source and for none, and lets nobody in.
        """
        return Response(status_code=200, headers=_CONSENT)

    async def _receive(
        self, name: str, headers: Mapping[bytes, bytes], request: Request
    ) -> Response:
        body = await read_body(request)
        pushed = security_event.is_pushed(headers)
        source = await self._gate.admit(name, headers, body, pushed=pushed)
        webhook = Webhook(source, headers, body, self._doors.clock.now(), self._doors.issuer)
        told = READERS[source.format](webhook)
        if source.format in OF_OUR_WORDS:
            return await self._take_as_asked(told, source, request)
        return await self._take_what_is_of_use(told, source)

    async def _take_as_asked(self, told: Told, source: Source, request: Request) -> Response:
        """Store all that a source told in our words or nothing, and answer one by one."""
        _refuse_initiators(told, source)
        receipts = await self._accept(told.intakes)
        self._count_passed_over(source, told.items)
        remaining = iter(receipts)
        answers = [
            _passed_over(item)
            if isinstance(item, PassedOver)
            else self._answer(item, next(remaining))
            for item in told.items
        ]
        if told.listed:
            return json_answer(answers, status=202)
        # A join has no outcomes: nothing is known under its id.
        heard = isinstance(told.items[0], LogoutEvent) and await self._first_outcomes.answer(
            request, receipts[0]
        )
        return heard or json_answer(answers[0], status=202)

    async def _take_what_is_of_use(self, told: Told, source: Source) -> Response:
        """Store what can be stored of what a source told in its own words.

        Answered by 202, or by 204 where nothing was stored: whatever it is, it is not sent again.
        """
        items = [_allowed(item, source) for item in told.items]
        intakes = [item for item in items if not isinstance(item, PassedOver)]
        self._count_passed_over(source, items)
        if source.format is SourceFormat.SET:
            await self._accept(intakes)
            return security_event.accepted()
        queue, telemetry = self._doors.queue, self._doors.telemetry
        receipts = await accept_each(intakes, queue=queue, telemetry=telemetry)
        self._count_passed_over(
            source, [PassedOver.CONTRADICTS for receipt in receipts if receipt is None]
        )
        answers = [
            self._answer(intake, receipt)
            for intake, receipt in zip(intakes, receipts, strict=True)
            if receipt is not None
        ]
        if not answers:
            return Response(status_code=204, headers=NO_STORE)
        return json_answer(answers, status=202)

    async def _accept(self, intakes: Sequence[Intake]) -> Sequence[Receipt]:
        if not intakes:
            return ()
        doors = self._doors
        return await accept(intakes, queue=doors.queue, telemetry=doors.telemetry)

    def _count_passed_over(self, source: Source, items: Sequence[Intake | PassedOver]) -> None:
        for item in items:
            if isinstance(item, PassedOver):
                self._doors.telemetry.passed_over(source.name, item)

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


def _passed_over(reason: PassedOver) -> dict[str, object]:
    return {"status": "passed_over", "reason": reason}


def _allowed(item: Intake | PassedOver, source: Source) -> Intake | PassedOver:
    """Return *item*, or that its initiator is one that this source may not send."""
    if not isinstance(item, LogoutEvent) or _may_send(source, item):
        return item
    return PassedOver.NOT_ALLOWED


def _may_send(source: Source, event: LogoutEvent) -> bool:
    return source.initiators is None or event.initiator in source.initiators


def _refuse_initiators(told: Told, source: Source) -> None:
    for index, item in enumerate(told.items):
        if isinstance(item, LogoutEvent) and not _may_send(source, item):
            where = f"[{index}].initiator" if told.listed else "initiator"
            raise Forbidden(f"{where}: this source may not send {item.initiator}.")
