"""Query parameters, read with the same manners as a body: every fault is named."""

from collections import Counter

from starlette.requests import Request

from dispatcher.domain.errors import Fault
from dispatcher.domain.reading import Reader
from dispatcher.web.problems import InvalidQuery

_TRUTH = {"true": True, "false": False}
_MOST_DIGITS = 9


class Query(Reader):
    """The parameters of one request; call ``done`` when all have been read."""

    def __init__(self, request: Request) -> None:
        pairs = request.query_params.multi_items()
        super().__init__(dict(pairs), faults=[])
        for name, count in Counter(name for name, _ in pairs).items():
            if count > 1:
                self.fault(name, "is given more than once")

    def number(self, name: str, *, least: int, most: int, default: int) -> int:
        """Read a whole number from *least* to *most*."""
        text = self.text(name, ok=_is_digits, rule="a whole number")
        if text is None:
            return default
        if not least <= int(text) <= most:
            self.fault(name, f"must be from {least} to {most}")
        return int(text)

    def flag(self, name: str) -> bool | None:
        """Read ``true`` or ``false``; None where it is absent."""
        return self.choice(name, _TRUTH.__getitem__, list(_TRUTH))

    def names(self, name: str) -> frozenset[str] | None:
        """Read a list that is separated by commas; None where it is absent."""
        text = self.text(name)
        return None if text is None else frozenset(part.strip() for part in text.split(","))

    def done(self) -> None:
        """Raise InvalidQuery with every fault that was found."""
        if self.faults:
            raise InvalidQuery([Fault(fault.field, fault.message) for fault in self.faults])


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
