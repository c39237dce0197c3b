"""From an error of aiohttp's parser to a problem. The parser's messages quote the request, so none of them is passed on."""

from aiohttp import http_exceptions
from aiohttp.http_exceptions import (
    BadHttpMessage,
    BadHttpMethod,
    BadStatusLine,
    HttpProcessingError,
    InvalidHeader,
    InvalidURLError,
    LineTooLong,
)
from aiohttp.web import RequestPayloadError

# Two limits that differ, since the parser's error for a line that is too long says only the limit.
TARGET_BYTES_MAX = 8_190  # a path and a query; RFC 9112 recommends at least 8,000
FIELD_BYTES_MAX = 8_192  # one header, name and value: an API key has sixty
HEADERS_MAX = 128  # browsers and proxies send twenty

REQUEST_LINE = (
    "where a request must begin there is no line METHOD target HTTP/1.1; after a body this means that its Content-Length is too "
    "small: it counts bytes, not characters"
)
TARGET = "the address in the request line must be a path, or http:// with a host and a path, in ASCII without blanks"
VERSION = "the request line must end in HTTP/1.1 or HTTP/1.0 and CRLF"
HTTP_2 = "this server speaks HTTP/1.1, not HTTP/2"
TLS = "this port speaks HTTP, not HTTPS: TLS ends at the proxy before it"
HEADER = (
    "a header must be Name: value in a line of its own that ends in CRLF, without a blank before the colon and without control "
    "characters"
)
HOST = "an HTTP/1.1 request has a Host header"
REPEATED = "a header that can have one value only, such as Host, Content-Type, Content-Length, comes once"
LENGTH = "Content-Length must be one number of bytes in decimal digits"
FRAMING = "a body has either a Content-Length or Transfer-Encoding: chunked as its last coding, not both"
CHUNK = "a chunk must be its number of bytes in hexadecimal digits, CRLF, that many bytes, CRLF; the last one has size 0"
CUT_OFF = "the body ended before what its Content-Length or its last chunk says"
ELSE = "this is not a request as RFC 9112 (HTTP/1.1) has it"

# What the compiled parser calls its errors, before it quotes; and the messages of both parsers that quote nothing.
_REASONS = {
    "Bad line ending, expected CRLF": HEADER,
    "Chunk size overflow": CHUNK,
    "Content-Length can't be present with Transfer-Encoding": FRAMING,
    "Content-Length overflow": LENGTH,
    "Data after `Connection: close`": "nothing may follow a request that says Connection: close",
    "Expected CRLF": HEADER,
    "Expected CRLF after version": VERSION,
    "Expected HTTP/, RTSP/ or ICE/": VERSION,
    "Expected HTTP/2 Connection Preface": HTTP_2,
    "Expected LF after CR": HEADER,
    "Expected LF after chunk data": CHUNK,
    "Expected LF after chunk size": CHUNK,
    "Expected LF after headers": HEADER,
    "Expected dot": VERSION,
    "Expected space after method": REQUEST_LINE,
    "Invalid EOF state": CUT_OFF,
    "Invalid HTTP version": VERSION,
    "Invalid `Transfer-Encoding` header value": FRAMING,
    "Invalid char in url fragment start": TARGET,
    "Invalid char in url path": TARGET,
    "Invalid char in url query": TARGET,
    "Invalid character in Content-Length": LENGTH,
    "Invalid character in chunk size": CHUNK,
    "Invalid characters in url": TARGET,
    "Invalid header field char": HEADER,
    "Invalid header token": HEADER,
    "Invalid header value char": HEADER,
    "Invalid major version": VERSION,
    "Invalid method encountered": REQUEST_LINE,
    "Invalid method for HTTP/x.x request": REQUEST_LINE,
    "Invalid minor version": VERSION,
    "Missing 'Host' header in request.": HOST,
    "Missing expected CR after chunk data": CHUNK,
    "Missing expected CR after chunk size": CHUNK,
    "Missing expected CR after header value": HEADER,
    "Missing expected LF after header value": HEADER,
    "Pause on PRI/Upgrade": HTTP_2,
    "Request has invalid `Transfer-Encoding`": FRAMING,
    "Transfer-Encoding can't be present with Content-Length": FRAMING,
    "Unexpected char in url schema": TARGET,
    "Unexpected char in url server": TARGET,
    "Unexpected space after start line": HEADER,
    "Unexpected start char in url": TARGET,
    "Unexpected whitespace after header value": HEADER,
}
TOO_MANY = "Too many headers received"
SECURE = "Received HTTPS traffic on an HTTP port"

# In this order: BadHttpMethod is a BadStatusLine.
_TYPES: tuple[tuple[type[Exception], str], ...] = (
    (InvalidURLError, TARGET),
    (BadHttpMethod, REQUEST_LINE),
    (BadStatusLine, VERSION),
    (InvalidHeader, HEADER),
    (http_exceptions.TransferEncodingError, CHUNK),
    (http_exceptions.ContentLengthError, CUT_OFF),
)


class Malformed(HttpProcessingError):
    """What aiohttp is told instead of its parser's error: a status and a sentence, and nothing of the request."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(code=status, message=detail)


class BrokenBody(RequestPayloadError):
    """Raised where a handler reads on a body that cannot be read further. `detail` is a sentence for its sender."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


# What reading a body may raise: the parser that is not compiled may be first with an error of its own, which quotes.
BROKEN = (RequestPayloadError, BadHttpMessage)


def why_broken(error: BaseException) -> str:
    """The sentence for a body that cannot be read further: one of BROKEN."""
    return error.detail if isinstance(error, BrokenBody) else CUT_OFF


def malformed(error: Exception) -> Malformed:
    """What to answer for an error of the parser, whatever its type."""
    if isinstance(error, LineTooLong):
        if error.args[1] == TARGET_BYTES_MAX:
            return Malformed(414, f"the address in the request line has at most {TARGET_BYTES_MAX} bytes")
        return Malformed(431, f"a header has at most {FIELD_BYTES_MAX} bytes")
    message = error.message if isinstance(error, HttpProcessingError) else ""
    if message == TOO_MANY:
        return Malformed(431, f"a request has at most {HEADERS_MAX} headers")
    if message == SECURE:
        return Malformed(400, TLS)
    if message.startswith("Duplicate '"):
        return Malformed(400, REPEATED)
    reason = message.removeprefix("Bad status line:\n  ").partition(":\n\n")[0]
    detail = _REASONS.get(reason) or next((words for kind, words in _TYPES if isinstance(error, kind)), ELSE)
    return Malformed(400, detail)
