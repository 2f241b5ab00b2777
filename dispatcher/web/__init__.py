"""The face: HTTP in, HTTP out, no decisions.

Read ``routes`` first: it lists every URL of the service. Each handler has three paragraphs: it
parses, calls a door or the work, and renders. What is wrong is raised as an error of
``domain.errors``; ``problems`` alone knows which status and which shape that becomes.
"""

from dispatcher.web.doors import Doors
from dispatcher.web.routes import build, build_management

__all__ = ["Doors", "build", "build_management"]
