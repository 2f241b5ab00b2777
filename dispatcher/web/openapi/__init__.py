"""The API, described: one OpenAPI 3.1 document, and a page that shows it.

What is closed in the domain (states, scopes, reasons) is taken from there, so that the document can
not say otherwise. Tests compare it with the routes and with what is answered.
"""

from dispatcher.web.openapi.document import DOCUMENT, described
from dispatcher.web.openapi.page import STYLE, page_of

__all__ = ["DOCUMENT", "STYLE", "described", "page_of"]
