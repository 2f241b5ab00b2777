"""The API described: the document says what the code does, no more and no less."""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from dispatcher.domain import applications
from dispatcher.domain.sources import Scope
from dispatcher.web import client_pages, ledger, retries
from dispatcher.web.formats import native
from dispatcher.web.openapi import DOCUMENT, described, page_of
from dispatcher.web.routes import Resource, operational_routes, service_routes
from tests.web.builders import an_event
from tests.web.face import Face
from tests.web.test_waiting import ask, matched

PLAIN: dict[str, Any] = json.loads(json.dumps(described("https://dispatcher.example")))
SCHEMAS: dict[str, Any] = PLAIN["components"]["schemas"]


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Return each operation: its path, its method, and what is said of it."""
    for path, methods in PLAIN["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


OF_THE_API = [(path, method, one) for path, method, one in operations() if path[:5] == "/api/"]


def test_the_document_is_one_of_openapi() -> None:
    """The document is valid OpenAPI 3.1, by an implementation of the specification."""
    validate(PLAIN)

    assert PLAIN["openapi"].startswith("3.1.")


async def test_every_route_is_described_and_nothing_else(face: Face) -> None:
    """Each path and method that is served is in the document, and each in it is served."""
    served = {
        (re.sub(r":\w+}", "}", route.path), method)
        for route in [*service_routes(face.doors), *operational_routes(face.doors)]
        if isinstance(route.app, Resource)
        for method in set(route.app.methods) - {"HEAD"}
    }

    assert {(path, method) for path, method, _ in operations()} == served


def test_every_parameter_of_a_path_is_described() -> None:
    """The parameters in a path are those that are said to be in it."""
    for path, _, operation in operations():
        told = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}

        assert told == set(re.findall(r"{(\w+)}", path)), path


@pytest.mark.parametrize(
    ("path", "method", "operation"), OF_THE_API, ids=[f"{two} {one}" for one, two, _ in OF_THE_API]
)
async def test_the_scope_that_is_told_is_the_one_that_is_asked_for(
    face: Face, path: str, method: str, operation: dict[str, Any]
) -> None:
    """Without the scope in the document a call is refused, naming it."""
    ((scope,),) = (one["accessToken"] for one in operation["security"])
    await face.grant(*(one for one in Scope if one.value != scope))
    named = re.sub(r"{\w+}", "x", path).removeprefix("/api/v2/")

    answer = await face.api(method, named, {})

    assert answer.status_code == 403
    assert answer.json()["message"] == f"Insufficient scope, expected any of: {scope}"


def test_every_scope_is_told() -> None:
    """The document knows all scopes that a client may have."""
    flow = PLAIN["components"]["securitySchemes"]["accessToken"]["flows"]["clientCredentials"]

    assert flow["scopes"].keys() == set(Scope)


def members_of(schema: Mapping[str, Any]) -> set[str]:
    """Return the members that a schema of an object names."""
    return set(schema["properties"])


def test_what_is_sent_is_described_as_it_is_read() -> None:
    """Where a body may have no other members, these are exactly those that are read."""
    ended, joined = SCHEMAS["SessionEnded"], SCHEMAS["SessionJoined"]
    written = SCHEMAS["NewClient"]["properties"]["logout_delivery"]["anyOf"][0]
    shown = SCHEMAS["Client"]["properties"]["logout_delivery"]

    assert members_of(ended) == native._MEMBERS[native.EventType.ENDED]
    assert members_of(joined) == native._MEMBERS[native.EventType.JOINED]
    assert members_of(SCHEMAS["DeliveryFilter"]) == retries._FILTERS
    assert members_of(written) == applications._DELIVERY_MEMBERS - {*applications.FILE_ONLY}
    assert members_of(shown) == applications._DELIVERY_MEMBERS - {"client_key_pem"}


def query_of(path: str) -> set[str]:
    """Return the query parameters that are described for a GET."""
    operation = PLAIN["paths"][path]["get"]
    return {one["name"] for one in operation["parameters"] if one["in"] == "query"}


def test_what_is_asked_is_described_as_it_is_read() -> None:
    """Where a query may have no other parameters, these are exactly those that are read."""
    assert query_of("/api/v2/events") == ledger._EVENT_FILTERS
    assert query_of("/api/v2/deliveries") == ledger._DELIVERY_FILTERS
    assert query_of("/api/v2/lanes") == {"from", "take"}
    assert query_of("/api/v2/sources") == {"from", "take"}
    assert query_of("/api/v2/users/{sub}/sessions") == {"from", "take"}


def test_the_filters_of_clients_are_those_that_are_read() -> None:
    """Each parameter that a page of clients looks for is described."""
    read = set(re.findall(r"query\.\w+\(\"(\w+)\"", inspect.getsource(client_pages)))

    assert query_of("/api/v2/clients") == read


async def test_first_outcomes_are_as_described(face: Face) -> None:
    """The answer to a source that waited has the members of its schema, and no others."""
    async with matched(face):
        answer = await ask(face, an_event(clients=[]))

    schema = {"$ref": "#/components/schemas/FirstOutcomes", "components": PLAIN["components"]}
    assert answer.status_code == 200
    assert list(OAS31Validator(schema).iter_errors(answer.json())) == []


async def test_the_document_is_served(face: Face) -> None:
    """Anybody may have it, as JSON, with the service's own address in it."""
    answer = await face.http.get("/openapi.json")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == PLAIN
    assert answer.json()["servers"] == [{"url": "https://dispatcher.example"}]


class Page(HTMLParser):
    """What a page is made of: its tags, what it points to, its anchors, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.targets: set[str] = set()
        self.anchors: set[str] = set()
        self.styled: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.add(tag)
        for name, value in attrs:
            if name in {"href", "src"} and value is not None:
                self.targets.add(value)
            if name == "id" and value is not None:
                self.anchors.add(value)
            if name == "style" or name.startswith("on"):
                self.styled.append(name)

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data


async def test_the_page_shows_all_of_it_and_needs_nothing_else(face: Face) -> None:
    """The page names each operation and schema, has no script, and leads nowhere but here."""
    answer = await face.http.get("/docs")

    page = Page(answer.text)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert all(path in page.text and one["summary"] in page.text for path, _, one in operations())
    assert page.anchors == set(SCHEMAS)
    assert {"script", "iframe", "img", "style"} & page.tags == set()
    assert page.styled == []
    inside = {target for target in page.targets if target.startswith("#")}
    assert {target[1:] for target in inside} <= page.anchors
    assert page.targets - inside == {"docs.css", "openapi.json"}


async def test_the_page_allows_nothing_but_its_own_style(face: Face) -> None:
    """By its policy a browser loads nothing but the style sheet, which is there."""
    page, style = await face.http.get("/docs"), await face.http.get("/docs.css")

    assert page.headers["content-security-policy"] == (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    assert (style.status_code, style.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert "url(" not in style.text
    assert "@import" not in style.text


def test_the_page_shows_text_as_text() -> None:
    """Whatever a description holds, none of it becomes a tag."""
    info = {"title": "<b>", "version": "&", "description": "<script>"}
    odd = {"<i>": {"get": {"summary": "<u>", "responses": {"200": {"description": "<s>"}}}}}

    page = Page(page_of({**DOCUMENT, "info": info, "paths": odd}))

    assert {"b", "script", "i", "u", "s"} & page.tags == {"b"}  # a method's name stands in a <b>
    assert all(text in page.text for text in ("<b> &", "<script>", "<i>", "<u>", "<s>"))
