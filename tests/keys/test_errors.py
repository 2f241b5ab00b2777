"""What goes wrong in the vault has a code and a sentence."""

import keys.errors
from keys.errors import KeysError, RingContended


def test_codes_are_unique_and_in_the_tree() -> None:
    """Every error has a code of its own, and the tree at the head of the file names both."""
    tree = keys.errors.__doc__ or ""

    kinds: list[type[KeysError]] = [KeysError, *KeysError.__subclasses__()]

    assert len({kind.code for kind in kinds}) == len(kinds)
    assert all(kind.__name__ in tree for kind in kinds)
    assert all(kind.code in tree for kind in kinds[1:])


def test_docstring_is_the_default_message() -> None:
    """An error raised without words says what its docstring says."""
    error = RingContended()

    assert str(error) == RingContended.__doc__
    assert str(RingContended("otherwise")) == "otherwise"
