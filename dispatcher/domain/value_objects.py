"""Value objects: what is made for each event, each delivery and each attempt.

Nobody changes one. With a frozen dataclass it is the interpreter that sees to that: each attribute
of each new object is set by a call, past the method that refuses everybody else, and those calls
are some hundredths of what a token costs. Here the type checker alone sees to it, over all of the
code, and a value object is as cheap to make as any other. It compares by value, and has a hash.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from dataclasses import dataclass as value_object
else:
    T = TypeVar("T")

    def value_object(*, frozen: Literal[True], **options: Any) -> Callable[[type[T]], type[T]]:
        """Make a class a dataclass that is *frozen* to the type checker alone."""
        return dataclass(unsafe_hash=frozen, **options)


__all__ = ["value_object"]
