"""``/openapi.json`` and ``/docs``: the API described, for machines and for people."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from dispatcher.web.answers import json_answer
from dispatcher.web.doors import Doors
from dispatcher.web.openapi import STYLE, described, page_of

_CACHEABLE: Mapping[str, str] = {"cache-control": "public, max-age=300"}
_NOTHING_BUT_OURS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
}


class Docs:
    """Shows the document, which is written once."""

    def __init__(self, doors: Doors) -> None:
        self._document = described(doors.public_url)
        self._page = page_of(self._document)

    async def document(self, _: Request) -> Response:
        """Answer the OpenAPI document."""
        return json_answer(self._document, headers=_CACHEABLE)

    async def page(self, _: Request) -> Response:
        """Answer the document as a page."""
        headers = {**_CACHEABLE, **_NOTHING_BUT_OURS}
        return Response(self._page, headers=headers, media_type="text/html")

    async def style(self, _: Request) -> Response:
        """Answer how the page looks."""
        return Response(STYLE, headers=_CACHEABLE, media_type="text/css")
