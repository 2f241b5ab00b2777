"""Ids that nobody has seen before."""

from itertools import islice
from uuid import RFC_4122, UUID

from dispatcher.adapters.dice import random_ids


def test_no_id_comes_twice() -> None:
    """Each id is another, however many are drawn and by whom."""
    drawn = [*islice(random_ids(), 2000), *islice(random_ids(), 2000)]

    assert len(set(drawn)) == len(drawn)


def test_ids_are_random_uuids() -> None:
    """An id is a UUID of version 4 (RFC 9562 section 5.4), in the form that every reader knows."""
    drawn = [(text, UUID(text)) for text in islice(random_ids(), 1000)]

    assert all(str(one) == text for text, one in drawn)
    assert {(one.version, one.variant) for _, one in drawn} == {(4, RFC_4122)}
    assert {one.hex[16] for _, one in drawn} == set("89ab")
