"""The answer to one POST, as it arrives: bytes in, a status out, no I/O.

The status is decided as soon as the header block is complete; the body is read for people, up to a
cap, and changes nothing. llhttp does the parsing; what it is lenient about (HTTP/0.9, HTTP/2.0,
RTSP, a switch of protocols, any three digits as a status) is refused here.
"""

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from dispatcher.domain.deliveries import EXCERPT_BYTES

HEAD_BYTES = BODY_BYTES = 16 * 1024
"""The most that is read of all header blocks together (1xx and final), and of the body."""

_PREFIX = b"HTTP/"
_VERSIONS = {"1.0", "1.1"}
_RETRY_AFTER = b"retry-after"
_CONTINUE, _SWITCHING, _OK, _BEYOND = 100, 101, 200, 600


class Answer:
    """One answer, read by ``feed`` as far as it is wanted.

    ``status`` is 0 until the final header block is complete; ``fault`` says why this is not HTTP;
    ``started`` is True from the first byte on; ``reusable`` is True where the answer has ended, and
    has ended cleanly, so that its connection can carry another.
    """

    __slots__ = (
        "_body", "_ended", "_parser", "_prefix", "_room",
        "excerpt", "fault", "retry_after", "reusable", "started", "status",
    )  # fmt: skip

    def __init__(self) -> None:
        self.status = 0
        self.fault = ""
        self.retry_after = b""
        self.excerpt = b""
        self.started = False
        self.reusable = False
        self._prefix = b""
        self._body = 0
        self._ended = False
        self._room = HEAD_BYTES
        self._parser = HttpResponseParser(self)
        # RFC 9112 section 2.2 lets us take a bare LF; a 103 that says "close" is not the last word.
        self._parser.set_dangerous_leniencies(
            lenient_optional_cr_before_lf=True, lenient_keep_alive=True
        )

    def feed(self, data: bytes) -> bool:
        """Take in what arrived; return whether nothing more is wanted."""
        self.started = True
        if len(self._prefix) < len(_PREFIX):
            self._check_prefix(data)
        while data and not self._ended:
            window, data = data[: self._room], data[self._room :]
            self._room -= len(window)
            self._parse(window)
        if data:
            self.reusable = False
        return self._ended

    def _check_prefix(self, data: bytes) -> None:
        self._prefix += data[: len(_PREFIX) - len(self._prefix)]
        if not _PREFIX.startswith(self._prefix):
            self._end("the answer is not HTTP")

    def _parse(self, window: bytes) -> None:
        try:
            self._parser.feed_data(window)
        except (HttpParserError, HttpParserUpgrade) as error:
            self.reusable = False
            self._end(f"the answer is not HTTP: {error}")
        if self._room == 0:
            self._end(f"header block over {HEAD_BYTES} bytes")

    def _end(self, fault: str) -> None:
        """Want no more; *fault* is one only where there is no status yet."""
        if not self._ended and not self.status:
            self.fault = fault
        self._ended = True

    # What follows is called by the parser.

    def on_message_begin(self) -> None:
        """Forget a 1xx; what comes after the end is none of ours, and spoils the connection."""
        if self._ended:
            self.reusable = False
        else:
            self.retry_after = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note the one field that matters, unless it is a trailer."""
        if len(name) == len(_RETRY_AFTER) and name.lower() == _RETRY_AFTER and not self.status:
            self.retry_after = value

    def on_headers_complete(self) -> None:
        """Decide: this is the only place where a status comes from."""
        status = self._parser.get_status_code()
        if self._ended:
            return
        if self._parser.get_http_version() not in _VERSIONS:
            self._end("another version than HTTP/1.0 or HTTP/1.1")
        elif status == _SWITCHING or not _CONTINUE <= status < _BEYOND:
            self._end(f"status {status} is no answer to a POST")
        elif status >= _OK:
            self.status = status
            self._room = BODY_BYTES

    def on_body(self, body: bytes) -> None:
        """Keep the beginning, for people to read."""
        if len(self.excerpt) < EXCERPT_BYTES:
            self.excerpt += body[: EXCERPT_BYTES - len(self.excerpt)]
        self._body += len(body)
        if self._body > BODY_BYTES:
            self._end("")

    def on_message_complete(self) -> None:
        """End here, unless this was a 1xx."""
        if self.status and not self._ended:
            self.reusable = self._parser.should_keep_alive()
            self._ended = True
