"""The sender against real servers: what it sends, and what it makes of what comes back."""

import asyncio
import gzip
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from urllib.parse import parse_qs

import pytest

from dispatcher.adapters.egress import HttpSender, Resolver
from dispatcher.adapters.egress.answer import HEAD_BYTES
from dispatcher.domain.deliveries import (
    Acknowledged,
    Cause,
    Outcome,
    Refused,
    Unreachable,
    Withheld,
)
from tests.adapters.egress.conftest import PATIENT, TOKEN, Factory, application, post
from tests.kit.rp_server import (
    Peer,
    RpServer,
    Script,
    answers,
    hangs,
    in_turn,
    resets,
    response,
    says,
    then_closes,
)

MANY = 50_000_000


async def told(sender: HttpSender, script: Script) -> Outcome:
    """Return what one POST to a server with that *script* comes to."""
    async with RpServer(script) as rp:
        return await post(sender, rp.uri())


def cause(outcome: Outcome) -> Cause:
    """Return what stood in the way."""
    assert isinstance(outcome, Unreachable | Withheld)
    assert TOKEN not in outcome.detail
    return outcome.cause


async def test_the_request(sender: HttpSender) -> None:
    """Back-Channel Logout 2.5: one form-encoded POST with the token, and nothing that asks more."""
    async with RpServer(answers(200)) as rp:
        await post(sender, rp.uri("/logout/%2e?tenant=a%20b&&x"))

        (request,) = rp.requests
        assert request.line == "POST /logout/%2e?tenant=a%20b&&x HTTP/1.1"
        assert dict(request.fields) == {
            "Host": f"127.0.0.1:{rp.port}",
            "User-Agent": "dispatcher-test/1",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Content-Type": "application/x-www-form-urlencoded",
            "Content-Length": str(len("logout_token=" + TOKEN)),
        }
        assert len(request.fields) == 6
        assert request.body == b"logout_token=" + TOKEN.encode()
        assert parse_qs(request.body.decode()) == {"logout_token": [TOKEN]}


async def test_an_empty_path_is_the_root(sender: HttpSender) -> None:
    """A URI without a path is asked for ``/``."""
    async with RpServer(answers(200)) as rp:
        await post(sender, rp.uri(""))

        assert rp.requests[0].line == "POST / HTTP/1.1"


async def test_ipv6_literal(sender: HttpSender) -> None:
    """An IPv6 literal is dialled, and stands in brackets in Host."""
    async with RpServer(answers(200), host="::1") as rp:
        outcome = await post(sender, rp.uri())

        assert outcome == Acknowledged(status=200)
        assert rp.requests[0].values("host") == [f"[::1]:{rp.port}"]


async def test_cookies_are_not_kept(sender: HttpSender) -> None:
    """What a server sets, the next request does not bring back."""
    async with RpServer(answers(200, set_cookie="a=b; Path=/")) as rp:
        await post(sender, rp.uri())
        await post(sender, rp.uri())

        assert [request.values("cookie") for request in rp.requests] == [[], []]


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        (answers(200), Acknowledged(status=200)),
        (answers(204), Acknowledged(status=204)),
        (answers(202, b"ok"), Acknowledged(status=202, flagged=True, excerpt=b"ok")),
        (answers(400, b'{"error":"x"}'), Refused(status=400, excerpt=b'{"error":"x"}')),
        (answers(404), Refused(status=404)),
        (answers(501), Refused(status=501)),
        (answers(500), Unreachable(cause=Cause.STATUS, status=500)),
        (answers(200, b'{"error":"x"}'), Acknowledged(status=200, excerpt=b'{"error":"x"}')),
    ],
)
async def test_answers_mean_their_status(
    sender: HttpSender, script: Script, outcome: Outcome
) -> None:
    """The status decides; the body is kept for people and never steers."""
    assert await told(sender, script) == outcome


async def test_retry_after_is_passed_on(sender: HttpSender) -> None:
    """When a server says when to come back, the outcome says so; its date is against our clock."""
    outcome = await told(sender, answers(503, retry_after="Sun, 22 Nov 2026 10:02:00 GMT"))

    assert isinstance(outcome, Unreachable)
    assert outcome.retry_after is not None
    assert outcome.retry_after.total_seconds() == 120


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (then_closes(b"<html>hello</html>"), Cause.PROTOCOL),
        (then_closes(b"HTTP/0.9 200 OK\r\n\r\n"), Cause.PROTOCOL),
        (says(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"), Cause.PROTOCOL),
        (says(b"HTTP/1.1 200 OK\r\nx: " + b"a" * HEAD_BYTES), Cause.PROTOCOL),
        (says(b"HTTP/1.1 103 Early\r\n\r\n" * 2000), Cause.PROTOCOL),
        (then_closes(b"HTTP/1.1 103 Early\r\n\r\n"), Cause.PROTOCOL),
        (then_closes(b""), Cause.CONNECT),
        (resets, Cause.CONNECT),
    ],
)
async def test_what_is_no_answer(sender: HttpSender, script: Script, expected: Cause) -> None:
    """What is not HTTP, has no end, or ends too early, is no answer at all."""
    assert cause(await told(sender, script)) is expected


async def test_hanging_up_at_every_byte(sender: HttpSender) -> None:
    """Wherever a server hangs up, it has answered once its header block is complete, not before."""
    whole = response(200, b'{"a":1}', cache_control="no-store")
    head = whole.index(b"\r\n\r\n") + 4
    async with RpServer(in_turn(*(then_closes(whole[:n]) for n in range(len(whole) + 1)))) as rp:
        outcomes = [await post(sender, rp.uri()) for _ in range(len(whole) + 1)]

        assert cause(outcomes[0]) is Cause.CONNECT
        assert {cause(outcome) for outcome in outcomes[1:head]} == {Cause.PROTOCOL}
        assert outcomes[head:] == [
            Acknowledged(status=200, excerpt=whole[head:n]) for n in range(head, len(whole) + 1)
        ]
        assert len(rp.requests) == len(outcomes)


async def test_a_huge_body_is_not_read(sender: HttpSender) -> None:
    """Of 50 MB no more is taken than what the sockets hold; the status stands."""
    sent = 0

    async def pours(peer: Peer) -> None:
        """Send a body of 50 MB, as fast as it is taken."""
        nonlocal sent
        await peer.say(f"HTTP/1.1 200 OK\r\ncontent-length: {MANY}\r\n\r\n".encode())
        while sent < MANY:
            await peer.say(b"x" * 50_000)
            sent += 50_000

    outcome = await told(sender, pours)

    assert outcome == Acknowledged(status=200, excerpt=b"x" * 1024)
    assert sent < MANY // 4


async def test_a_gzip_bomb_stays_packed(sender: HttpSender) -> None:
    """A compressed body is kept as it came."""
    bomb = gzip.compress(b"\x00" * 10_000_000)

    outcome = await told(sender, answers(200, bomb, content_encoding="gzip"))

    assert outcome == Acknowledged(status=200, excerpt=bomb[:1024])


async def test_connections_are_kept(sender: HttpSender) -> None:
    """One POST after another goes over one connection."""
    async with RpServer(answers(400, b"a body")) as rp:
        for _ in range(20):
            await post(sender, rp.uri())

        assert (len(rp.requests), rp.connections) == (20, 1)


@pytest.mark.parametrize(
    "script",
    [
        answers(200, connection="close"),
        says(b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n"),
        says(response(200, b"x" * 20_000)),
        says(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nno chunk\r\n"),
        says(response(200) + response(200)),
        says(response(200) + b"surplus"),
    ],
)
async def test_spoilt_connections_are_not_kept(sender: HttpSender, script: Script) -> None:
    """What has not ended cleanly, within the cap and with leave to stay, is used once."""
    async with RpServer(script) as rp:
        outcomes = [await post(sender, rp.uri()) for _ in range(3)]

        assert {type(outcome) for outcome in outcomes} == {Acknowledged}
        assert rp.connections == 3


async def test_unasked_for_bytes_end_a_kept_connection(sender: HttpSender) -> None:
    """What arrives between two POSTs is the answer to neither."""
    late = asyncio.Event()

    async def answers_twice(peer: Peer) -> None:
        """Answer the first connection once more, unasked."""
        await peer.say(response(200))
        if peer.number == 0:
            await asyncio.sleep(0.05)
            await peer.say(response(500))
            late.set()

    async with RpServer(answers_twice) as rp:
        first = await post(sender, rp.uri())
        await late.wait()
        await asyncio.sleep(0.05)
        second = await post(sender, rp.uri())

        assert (first, second) == (Acknowledged(status=200), Acknowledged(status=200))
        assert rp.connections == 2


@pytest.mark.parametrize("end", [Peer.close, Peer.reset])
async def test_a_stale_connection_is_told_as_such(
    sender: HttpSender, end: Callable[[Peer], None]
) -> None:
    """Where a kept connection ends without a byte, that is said, and none but fresh ones follow."""

    async def kept_ones_are_stale(peer: Peer) -> None:
        """Answer the first request of each connection alone."""
        seen[peer.number] = seen.get(peer.number, 0) + 1
        if seen[peer.number] == 1:
            await peer.say(response(200))
        else:
            end(peer)

    seen: dict[int, int] = {}
    async with RpServer(kept_ones_are_stale) as rp:
        await asyncio.gather(*(post(sender, rp.uri()) for _ in range(4)))
        kept = rp.connections

        stale, outcome = await post(sender, rp.uri()), await post(sender, rp.uri())

        assert cause(stale) is Cause.STALE
        assert outcome == Acknowledged(status=200)
        assert rp.connections == kept + 1
        assert len(rp.requests) == 4 + 2


async def test_a_fresh_connection_that_dies_is_not_tried_again(sender: HttpSender) -> None:
    """A server that hangs up on a fresh connection is asked once."""
    async with RpServer(then_closes(b"")) as rp:
        outcome = await post(sender, rp.uri())

        assert cause(outcome) is Cause.CONNECT
        assert len(rp.requests) == 1


async def test_an_answer_that_began_is_not_asked_for_again(sender: HttpSender) -> None:
    """A kept connection that ends after the first byte of its answer is no stale one."""
    async with RpServer(in_turn(answers(200), then_closes(b"HTTP/1.1 2"), answers(200))) as rp:
        await post(sender, rp.uri())

        outcome = await post(sender, rp.uri())

        assert cause(outcome) is Cause.PROTOCOL
        assert len(rp.requests) == 2


async def test_no_more_at_once_than_the_application_takes(sender: HttpSender) -> None:
    """An application never has more POSTs in flight than its ``max_in_flight``."""

    async def slowly(peer: Peer) -> None:
        """Answer after a moment."""
        await asyncio.sleep(0.01)
        await peer.say(response(200))

    async with RpServer(slowly) as rp:
        shop = application(max_in_flight=3)

        outcomes = await asyncio.gather(*(post(sender, rp.uri(), shop) for _ in range(30)))

        assert set(outcomes) == {Acknowledged(status=200)}
        assert (rp.busiest, rp.connections) == (3, 3)


async def test_applications_do_not_share_connections(sender: HttpSender) -> None:
    """Two applications at one origin have a connection each."""
    async with RpServer(answers(200)) as rp:
        for client_id in ("shop", "wiki", "shop", "wiki"):
            await post(sender, rp.uri(), application(client_id))

        assert [request.connection for request in rp.requests] == [0, 1, 0, 1]


async def test_a_changed_application_starts_anew(sender: HttpSender) -> None:
    """What was connected under an application's old record is not used under its new one."""
    async with RpServer(answers(200)) as rp:
        old, same = application(), application()
        new = application(allow_addresses=("127.0.0.1/32",))

        rekeyed = replace(new, client_key_pem="another key")
        for record in (old, same, new, replace(new, name="Other"), rekeyed):
            await post(sender, rp.uri(), record)

        assert [request.connection for request in rp.requests] == [0, 0, 1, 1, 2]


async def test_nobody_listens(sender: HttpSender) -> None:
    """A refused connection is named as such."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    outcome = await post(sender, f"http://127.0.0.1:{port}/")

    assert outcome == Unreachable(cause=Cause.CONNECT, detail="Connection refused")


async def test_no_such_name(sender: HttpSender) -> None:
    """A name that does not resolve is named as such."""
    outcome = await post(sender, "http://rp.nowhere/")

    assert outcome == Unreachable(cause=Cause.DNS, detail="Name or service not known")


async def test_faults_of_ours_are_never_charged(make_sender: Factory) -> None:
    """An error in our own code keeps the token back and is named by its type, no more."""

    def broken(_: str) -> Sequence[str]:
        """Fail as no name server does."""
        raise ZeroDivisionError(TOKEN)

    sender = make_sender(resolver=Resolver(broken))

    outcome = await post(sender, "http://rp.test/")
    unsendable = await sender.send(application(), "http://rp.test/", "tökén", timeout=PATIENT)

    assert outcome == Withheld(cause=Cause.INTERNAL, detail="ZeroDivisionError")
    assert unsendable == Withheld(cause=Cause.INTERNAL, detail="UnicodeEncodeError")


async def test_a_bad_allow_list_is_our_fault(sender: HttpSender) -> None:
    """An application whose record can not be used costs no attempt, and says which member."""
    outcome = await post(sender, "http://rp.test/", application(allow_addresses=("nonsense",)))

    assert cause(outcome) is Cause.INTERNAL
    assert isinstance(outcome, Withheld)
    assert outcome.detail.startswith("logout_delivery.allow_addresses[0]: ")


async def test_nothing_is_sent_after_closing(make_sender: Factory) -> None:
    """A sender that is closed has closed what it kept, keeps nothing more and sends nothing."""
    sender = make_sender()
    async with RpServer(in_turn(answers(200), hangs)) as rp:
        await post(sender, rp.uri())
        await sender.close()
        await asyncio.sleep(0.05)

        outcome = await post(sender, rp.uri())

        assert outcome == Withheld(cause=Cause.INTERNAL, detail="the sender is closed")
        assert len(rp.requests) == 1
