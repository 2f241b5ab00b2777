"""RFC 8935, push of security event tokens, against a service that runs as it is deployed."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx2
import pytest
from anyio import to_thread

from tests.kit.rp_server import answers
from tests.kit.service import Service
from tests.kit.transmitter import AUDIENCE, CAEP, ISSUER, SSF, Transmitter, a_key, a_set, signed
from tests.spec.stage import an_application, unique
from tests.spec.wire import RecordingRp

REVOKED = f"{CAEP}session-revoked"


class Stream:
    """A stream of security events from a transmitter to a running service."""

    def __init__(self, service: Service, transmitter: Transmitter, rp: RecordingRp) -> None:
        self.service = service
        self.transmitter = transmitter
        self.rp = rp
        self.http = httpx2.AsyncClient()

    async def push(self, claims: dict[str, Any], **header: Any) -> httpx2.Response:
        """Push an event as section 2.1 says."""
        token = signed(claims, self.transmitter.keys[0], **header)
        return await self.post(token.encode())

    async def post(self, body: bytes, source: str = "ssf") -> httpx2.Response:
        """Push any body."""
        return await self.http.post(
            f"{self.service.url}/webhooks/{source}",
            content=body,
            headers={"content-type": "application/secevent+jwt", "accept": "application/json"},
        )

    async def told(self, about: str) -> str:
        """Wait until the application is told of that user, and return the event's token."""
        [capture] = await to_thread.run_sync(self.rp.receives, about)
        return capture.token

    async def aclose(self) -> None:
        """Hang up."""
        await self.http.aclose()


@pytest.fixture
async def stream(tmp_path: Path) -> AsyncIterator[Stream]:
    """Run a service that knows a transmitter, and an application that is told of everything."""
    rp = RecordingRp()
    async with Transmitter() as transmitter:
        source = {
            "name": "ssf",
            "format": "set",
            "issuer": ISSUER,
            "jwks_uri": transmitter.uri,
            "expected_aud": AUDIENCE,
            "audience": "subscribers",
        }
        application = an_application("shop", rp.uri())
        with Service(tmp_path, [application], sources=[source]) as service:
            await to_thread.run_sync(service.start)
            async with aclosing(Stream(service, transmitter, rp)) as stream:
                yield stream
            service.stop()
    rp.close()


def about(sub: str) -> dict[str, Any]:
    """Return the claims of an event about a user, of which there is no other."""
    subject = {"format": "iss_sub", "iss": ISSUER, "sub": sub}
    return a_set(REVOKED, jti=unique("set"), sub_id=subject)


async def test_a_pushed_event_becomes_a_logout(stream: Stream) -> None:
    """Section 2.2: 202 with an empty body, once it is on disk; and the application is told."""
    sub = unique("user")

    answer = await stream.push(about(sub))

    assert (answer.status_code, answer.content) == (202, b"")
    assert await stream.told(sub)


async def test_a_repeat_is_accepted_and_tells_nobody_twice(stream: Stream) -> None:
    """Section 2: a token that came before is answered as the first was, and does nothing more."""
    sub, other = unique("user"), unique("user")
    claims = about(sub)

    told = [(await stream.push(claims)).status_code for _ in range(3)]
    await stream.push(about(other))
    await stream.told(other)

    assert told == [202, 202, 202]
    assert len(stream.rp.about(sub)) == 1


async def test_a_stream_can_be_verified(stream: Stream) -> None:
    """Shared Signals Framework 1.0 section 8.1.4: a verification event is accepted."""
    claims = a_set(f"{SSF}verification", {"state": "x"}, sub_id={"format": "opaque", "id": "s"})

    assert (await stream.push(claims)).status_code == 202
    assert stream.service.metric('dispatcher_events_passed_over_total{reason="test"') == 1


async def test_every_refusal_is_an_error_of_the_registry(stream: Stream) -> None:
    """Section 2.3: 400 with err and description, in the words of the registry (section 7.1)."""
    stranger = signed(about("x"), a_key())
    refused = {
        "invalid_request": await stream.post(b"no token"),
        "authentication_failed": await stream.post(stranger.encode()),
        "invalid_issuer": await stream.push({**about("x"), "iss": "https://other.example"}),
        "invalid_audience": await stream.push({**about("x"), "aud": "other"}),
    }

    assert {answer.status_code for answer in refused.values()} == {400}
    assert {answer.headers["content-type"] for answer in refused.values()} == {"application/json"}
    assert {answer.headers["content-language"] for answer in refused.values()} == {"en"}
    assert {name: answer.json()["err"] for name, answer in refused.items()} == {
        name: name for name in refused
    }


async def test_an_outage_of_the_issuer_is_no_refusal(stream: Stream) -> None:
    """Section 2.3: what is no fault of the token is another status, after which it comes again."""
    stream.transmitter.script = answers(500)

    answer = await stream.push(about("x"))

    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
    assert stream.service.metric('dispatcher_webhooks_refused_total{code="issuer_unavailable"') == 1
