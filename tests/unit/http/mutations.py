"""Well-formed requests, and what may happen to them on the way: cuts, insertions, swapped framing. All from one `random.Random`."""

import gzip
import json
import random
from collections.abc import Callable

from tests.unit.http.serving import HEADER_MARK, PATH_MARK, PERSON_MARK, QUERY_MARK, RECORD, SECRET_KEY

METHODS = ("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PRI", "get", "P\0ST", "FETCH", "M-SEARCH")
INSERTED = (
    b"\0",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b":",
    b"\xff",
    b"\x80\x81",
    b"\xd0\x96",
    b"%",
    b"%zz",
    b"#",
    b"?",
    b"\\",
    b"[",
    b"]",
    b"@",
    b"//",
    b"\x16\x03\x01\x02",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"0\r\n\r\n",
    b"chunked",
    b"\x1f\x8b",
    b"\x7f",
)
HEADERS = (
    b"Content-Length: 5",
    b"Content-Length: -1",
    b"Content-Length: +5",
    b"Content-Length: 5, 5",
    b"Content-Length: 99999999999999999999",
    b"Content-Length:",
    b"Content-Length: 0x10",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding : chunked",
    b"Host: y",
    b"Host: [::1",
    b"Host: \xff\xfe",
    b"Host: a b",
    b"Connection: close",
    b"Connection: upgrade\r\nUpgrade: websocket",
    b"Connection: upgrade\r\nUpgrade: h2c",
    b"Expect: 100-continue",
    b"Expect: " + HEADER_MARK.encode(),
    b"Content-Encoding: gzip",
    b"Content-Encoding: zstd",
    b"Content-Encoding: " + HEADER_MARK.encode(),
    b"Content-Type: " + HEADER_MARK.encode(),
    b"Content-Type: application/json; charset=\xff",
    b"Cookie: " + HEADER_MARK.encode() + b"=1",
    b"Sec-WebSocket-Key1: " + HEADER_MARK.encode(),
    b"If-None-Match: " + HEADER_MARK.encode(),
    b"Accept: text/html",
    b"X-Forwarded-Host: " + HEADER_MARK.encode(),
    b"Range: bytes=" + HEADER_MARK.encode(),
    b"Trailer: X",
    b": empty",
    HEADER_MARK.encode(),
    b"X-Note: a\r\n " + HEADER_MARK.encode(),
    b"X-Note: \xff" + HEADER_MARK.encode(),
    b"TE: trailers",
)
LONG = (100, 1_000, 8_150, 8_190, 8_193, 20_000, 70_000)  # either side of the limits, and more than a read


def _record(dice: random.Random) -> bytes:
    record = dict(RECORD)
    if dice.random() < 0.4:
        name = dice.choice([*record, "employer", "unknown"])
        value = dice.choice(
            [None, 7, [PERSON_MARK], PERSON_MARK, PERSON_MARK * 20, {PERSON_MARK: 1}, "Ж" + PERSON_MARK, "\ud800", ""]
        )
        record[name] = value
    return json.dumps(record, ensure_ascii=dice.random() < 0.7).encode("utf-8", "surrogatepass")


def _body(dice: random.Random) -> tuple[bytes, str]:
    records = [_record(dice) for _ in range(dice.choice((1, 1, 1, 3)))]
    kind = dice.randrange(4)
    if kind == 0:
        return b"[" + b",".join(records) + b"]", "application/json"
    if kind == 1:
        return ",".join(RECORD).encode() + b"\r\n" + ",".join(str(value) for value in RECORD.values()).encode(), "text/csv"
    return b"\n".join(records), "application/x-ndjson"


def _target(dice: random.Random) -> str:
    path = dice.choice(
        ("/v1/records",) * 7
        + ("/metrics", "/health/live", f"/{PATH_MARK}", f"/v1/records/{PATH_MARK}", "*", "//", f"http://{PATH_MARK}/v1/records")
    )
    return path + dice.choice(("", "", f"?items={QUERY_MARK}", "?items=all", f"?{QUERY_MARK}=%ff", f"#{QUERY_MARK}"))


def well_formed(dice: random.Random) -> bytes:
    """A request that is as it should be, in one of many ways, with a mark wherever a sender has something to say."""
    body, media_type = _body(dice)
    head = [
        f"{dice.choice(('POST',) * 8 + METHODS[:4])} {_target(dice)} HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {SECRET_KEY}",
        f"X-Note: {HEADER_MARK}",
        f"Content-Type: {media_type}",
    ]
    if dice.random() < 0.15:
        head.append("Content-Encoding: gzip")
        body = gzip.compress(body)
        if dice.random() < 0.5:
            place = dice.randrange(len(body))
            body = body[:place] + PERSON_MARK.encode() + body[place + dice.randrange(4) :]
    if dice.random() < 0.4:
        head.append("Transfer-Encoding: chunked")
        body = _chunked(dice, body)
    else:
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def _chunked(dice: random.Random, body: bytes) -> bytes:
    size = dice.randrange(1, len(body) + 1)
    chunks = [*[body[at : at + size] for at in range(0, len(body), size)][:50], b""]
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)


def _cut(dice: random.Random, request: bytes) -> bytes:
    return request[: dice.randrange(len(request))]


def _cut_out(dice: random.Random, request: bytes) -> bytes:
    at = dice.randrange(len(request))
    return request[:at] + request[at + dice.choice((1, 2, 10, 60)) :]


def _insert(dice: random.Random, request: bytes) -> bytes:
    at = dice.randrange(len(request))
    return request[:at] + dice.choice(INSERTED) + request[at:]


def _byte(dice: random.Random, request: bytes) -> bytes:
    at = dice.randrange(len(request))
    return request[:at] + bytes([dice.randrange(256)]) + request[at + 1 :]


def _header(dice: random.Random, request: bytes) -> bytes:
    head, separator, body = request.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    lines.insert(dice.randrange(1, len(lines) + 1), dice.choice(HEADERS))
    return b"\r\n".join(lines) + separator + body


def _repeat_header(dice: random.Random, request: bytes) -> bytes:
    head, separator, body = request.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    lines.insert(dice.randrange(1, len(lines) + 1), dice.choice(lines))
    return b"\r\n".join(lines) + separator + body


def _blank_before_colon(dice: random.Random, request: bytes) -> bytes:
    name = dice.choice((b"Authorization", b"Content-Length", b"Transfer-Encoding", b"Host", b"X-Note"))
    return request.replace(name + b":", name + dice.choice((b" ", b"\t", b"\0", b"\xa0")) + b":", 1)


def _framing(dice: random.Random, request: bytes) -> bytes:
    if b"Transfer-Encoding: chunked" in request:
        return request.replace(b"Transfer-Encoding: chunked", b"Content-Length: %d" % dice.choice((0, 5, 100, 10_000)), 1)
    head, separator, body = request.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    return b"\r\n".join([*lines, b"Transfer-Encoding: chunked"]) + separator + body


def _length(dice: random.Random, request: bytes) -> bytes:
    _, _, body = request.partition(b"\r\n\r\n")
    wrong = len(body) + dice.choice((-1, 1, -20, 20, -200, 10_000, 1 << 25, 1 << 70))
    return request.replace(b"Content-Length: %d" % len(body), b"Content-Length: %d" % wrong, 1)


def _chunk_size(dice: random.Random, request: bytes) -> bytes:
    head, separator, body = request.partition(b"\r\n\r\n")
    _, line, rest = body.partition(b"\r\n")
    size = dice.choice(
        (b"0", b"1", b"zz", b"-5", b"ffffffffffffffffffff", b"5;ext=" + PERSON_MARK.encode(), b" 5", b"5 ", b"", b"0x5")
    )
    return head + separator + size + line + rest


def _line_ends(dice: random.Random, request: bytes) -> bytes:
    return request.replace(b"\r\n", dice.choice((b"\n", b"\r", b"\n\r", b"\r\r\n")), dice.choice((1, 2, 5, -1)))


def _long(dice: random.Random, request: bytes) -> bytes:
    filler = (dice.choice((PATH_MARK, HEADER_MARK, "a", "%20")) * dice.choice(LONG)).encode()[: dice.choice(LONG)]
    where = dice.choice((b"/v1/records", b"Bearer ", b"X-Note: ", b"X-Note", b"HTTP/1", b"POST"))
    return request.replace(where, where + filler, 1)


def _many_headers(dice: random.Random, request: bytes) -> bytes:
    return request.replace(b"X-Note: ", b"X-Note: a\r\n" * dice.choice((100, 125, 300)) + b"X-Note: ", 1)


def _method(dice: random.Random, request: bytes) -> bytes:
    return request.replace(b"POST", dice.choice(METHODS).encode("latin-1"), 1)


def _version(dice: random.Random, request: bytes) -> bytes:
    return request.replace(
        b" HTTP/1.1", dice.choice((b"", b" HTTP/1.0", b" HTTP/0.9", b" HTTP/2.0", b" HTTP/11", b" http/1.1", b" ICE/1.0")), 1
    )


def _high(dice: random.Random, request: bytes) -> bytes:
    at = dice.randrange(len(request))
    return request[:at] + dice.randbytes(dice.choice((1, 8, 200))) + request[at:]


def _no_head(_: random.Random, request: bytes) -> bytes:
    return request.partition(b"\r\n\r\n")[2]


MUTATIONS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _cut,
    _cut_out,
    _insert,
    _byte,
    _header,
    _repeat_header,
    _blank_before_colon,
    _framing,
    _length,
    _chunk_size,
    _line_ends,
    _long,
    _many_headers,
    _method,
    _version,
    _high,
    _no_head,
)


def mutated(dice: random.Random) -> bytes:
    """A request with none to three things wrong with it."""
    request = well_formed(dice)
    for _ in range(dice.choice((0, 0, 1, 1, 1, 1, 2, 3))):
        request = dice.choice(MUTATIONS)(dice, request) or b"\r"
    return request


def pieces(dice: random.Random, sent: bytes) -> list[bytes]:
    """How it travels: at once as a rule, else in a few pieces."""
    if dice.random() < 0.8 or len(sent) < 4:
        return [sent]
    cuts = sorted(dice.sample(range(1, len(sent)), min(dice.choice((1, 2, 4)), len(sent) - 1)))
    return [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
