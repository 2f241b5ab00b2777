"""Reading an answer: every way that it can be cut, every kind of thing that is no answer."""

import gzip
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.adapters.egress.answer import BODY_BYTES, HEAD_BYTES, Answer
from dispatcher.domain.deliveries import EXCERPT_BYTES
from tests.kit.rp_server import response

EARLY = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def read(*pieces: bytes) -> Answer:
    """Feed *pieces* to an answer, until it wants no more."""
    answer = Answer()
    for piece in pieces:
        if answer.feed(piece):
            break
    return answer


def told(answer: Answer) -> tuple[object, ...]:
    """Return all that an answer tells."""
    return answer.status, answer.fault, answer.retry_after, answer.excerpt, answer.reusable


@pytest.mark.parametrize(
    ("data", "status", "excerpt", "reusable"),
    [
        (response(200), 200, b"", True),
        (response(400, b'{"error":"x"}'), 400, b'{"error":"x"}', True),
        (response(204), 204, b"", True),
        (response(200, connection="close"), 200, b"", False),
        (CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", 200, b"abc", True),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx", 200, b"x", False),
        (b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", 200, b"", True),
        (b"HTTP/1.1 200 OK\ncontent-length: 0\n\n", 200, b"", True),
        (EARLY * 3 + response(200), 200, b"", True),
        (b"HTTP/1.1 100 Go\r\nconnection: close\r\n\r\n" + response(200), 200, b"", True),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, b"until the end", False),
    ],
)
def test_answers(data: bytes, status: int, excerpt: bytes, *, reusable: bool) -> None:
    """An answer has a status, the beginning of a body, and may leave its connection usable."""
    answer = read(data)

    assert (answer.status, answer.fault) == (status, "")
    assert (answer.excerpt, answer.reusable) == (excerpt, reusable)


@pytest.mark.parametrize(
    "data",
    [
        b"<html>it works</html>",
        b"200 OK\r\n\r\n",
        b"HTTP/0.9 200 OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"RTSP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 600 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * HEAD_BYTES + b"\r\n\r\n",
        EARLY * 2000 + response(200),
        b"\x00" * 100,
    ],
)
def test_what_is_no_answer(data: bytes) -> None:
    """What is not HTTP/1, switches protocols, or has no end to its header, has no status."""
    answer = read(data)

    assert answer.status == 0
    assert answer.fault
    assert not answer.reusable


def test_header_block_up_to_the_cap() -> None:
    """A header block of exactly 16 KiB is read, one byte more is not."""
    bare = b"HTTP/1.1 200 OK\r\nx: \r\ncontent-length: 0\r\n\r\n"
    for excess, status in ((0, 200), (1, 0)):
        filler = b"a" * (HEAD_BYTES - len(bare) + excess)

        answer = read(bare.replace(b"x: ", b"x: " + filler))

        assert answer.status == status


@pytest.mark.parametrize(
    "rest",
    [
        b"content-length: 99999999\r\n\r\n" + b"x" * 1_000_000,
        b"\r\n" + b"x" * 1_000_000,
        b"transfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 100_000,
        b"transfer-encoding: chunked\r\n\r\n0\r\n" + b"trailer: x\r\n" * 100_000,
        b"transfer-encoding: chunked\r\n\r\n" + b"1;" + b"x" * 100_000,
        b"transfer-encoding: chunked\r\n\r\nthis is no chunk\r\n",
    ],
)
def test_endless_or_broken_body_changes_nothing(rest: bytes) -> None:
    """A body without end, or broken, leaves the status as it is, and the connection unusable."""
    answer = Answer()

    over = answer.feed(b"HTTP/1.1 200 OK\r\n" + rest)

    assert over
    assert (answer.status, answer.fault, answer.reusable) == (200, "", False)
    assert len(answer.excerpt) <= EXCERPT_BYTES


def test_no_more_than_the_cap_is_read() -> None:
    """After 16 KiB of body the answer wants no more; 1 KiB of them is kept."""
    answer = read(b"HTTP/1.1 200 OK\r\ncontent-length: 50000000\r\n\r\n")
    wanted = 0
    while not answer.feed(b"x" * 1000):
        wanted += 1000

    assert BODY_BYTES - 1000 <= wanted <= BODY_BYTES
    assert answer.excerpt == b"x" * EXCERPT_BYTES


def test_body_of_exactly_the_cap() -> None:
    """A body of exactly 16 KiB that ends there leaves its connection usable."""
    answer = read(response(200, b"x" * BODY_BYTES))

    assert (answer.status, answer.reusable) == (200, True)


@pytest.mark.parametrize("surplus", [b"x", response(200), b"HTTP/1.1 500 No\r\nretry-after: 9"])
def test_surplus_bytes_spoil_the_connection(surplus: bytes) -> None:
    """What comes after the end of an answer is ignored, and its connection is used no more."""
    answer = read(response(429, retry_after="5") + surplus)

    assert (answer.status, answer.retry_after, answer.reusable) == (429, b"5", False)


def test_surplus_bytes_after_the_cap_do_too() -> None:
    """So is what comes after a body of exactly 16 KiB."""
    head, body = response(200, b"x" * BODY_BYTES).split(b"\r\n\r\n")

    answer = read(head + b"\r\n\r\n", body + b"surplus")

    assert (answer.status, answer.reusable) == (200, False)


def test_gzip_is_not_decoded() -> None:
    """A compressed body stays compressed, since it was not asked for and may be a bomb."""
    bomb = gzip.compress(b"\x00" * 10_000_000)

    answer = read(response(200, bomb, content_encoding="gzip"))

    assert answer.status == 200
    assert answer.excerpt == bomb[:EXCERPT_BYTES]


def test_retry_after_of_the_last_header_block_counts() -> None:
    """A Retry-After counts in the final header block: not in a 1xx, not in a trailer."""
    early = b"HTTP/1.1 103 Early\r\nretry-after: 1\r\n\r\n"

    assert read(early + response(503)).retry_after == b""
    assert read(early + response(503, retry_after="2")).retry_after == b"2"
    trailer = CHUNKED.replace(b"200", b"503") + b"0\r\nretry-after: 3\r\n\r\n"
    assert read(trailer).retry_after == b""


@given(
    st.sampled_from(
        [
            EARLY + response(503, b"later", retry_after="7"),
            CHUNKED + b"3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nt: u\r\n\r\n",
            b"HTTP/1.1 101 No\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcdef",
        ]
    ),
    st.data(),
)
def test_pieces_make_no_difference(data: bytes, draw: st.DataObject) -> None:
    """However an answer is cut into pieces, it says the same."""
    cuts = draw.draw(st.lists(st.integers(0, len(data))))
    edges = [0, *sorted(cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(edges)]

    answer, whole = Answer(), read(data)
    for piece in pieces:
        answer.feed(piece)

    assert told(answer)[:4] == told(whole)[:4]
    assert answer.reusable <= whole.reusable or b"abcdef" in data


@given(st.lists(st.binary(max_size=200)))
def test_noise_raises_nothing(pieces: list[bytes]) -> None:
    """Whatever arrives, reading it raises nothing, and noise is no status."""
    answer = read(*pieces)

    assert answer.status == 0
    assert bool(answer.fault) or b"HTTP/".startswith(b"".join(pieces)[:5])
