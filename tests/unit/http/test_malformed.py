"""What a service answers and logs when a request is no HTTP, or a handler fails: raw bytes, over a socket, to a whole process."""

import inspect
import json
import re
import socket
import time
from collections.abc import Iterator

import aiohttp
import pytest
from aiohttp import web_protocol

from services.shared.runtime.http import malformed as words
from services.shared.runtime.http.server import DRAIN_SECONDS_MAX, Runner
from tests.unit.http.serving import (
    HEADER_MARK,
    KEY_MARK,
    PATH_MARK,
    PERSON_MARK,
    QUERY_MARK,
    RECORD,
    Answer,
    Served,
    answers,
    check_problem,
    check_silence,
    served,
    submission,
)
from tools.stack.embedded.ports import LOOPBACK

BODY = json.dumps(RECORD).encode()
CHUNKED = submission(b"", path="/v1/records").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
CYRILLIC = json.dumps(RECORD | {"person": "Ж" * 20 + PERSON_MARK * 2}, ensure_ascii=False)
GET = f"GET /{PATH_MARK}?q={QUERY_MARK} HTTP/1.1\r\nHost: x\r\nX-Note: {HEADER_MARK}\r\n\r\n".encode()
ANSWER_SECONDS_MAX = 9.0  # far above what any answer here takes, below what a body may take


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("service")) as found:
        yield found


@pytest.fixture(scope="module")
def slower(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service with the parser that is not compiled: more lenient here, stricter there."""
    with served(tmp_path_factory.mktemp("slower"), AIOHTTP_NO_EXTENSIONS="1") as found:
        yield found


def said(service: Served, *pieces: bytes, close: bool = False, pause: float = 0.02) -> list[Answer]:
    """Send pieces, one after the other; what the service said until it closed the connection, or for `close` until we had said that
    nothing more comes."""
    with socket.create_connection((LOOPBACK, service.port), timeout=ANSWER_SECONDS_MAX) as connection:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause if len(pieces) > 1 else 0)
        if close:
            connection.shutdown(socket.SHUT_WR)
        raw = b""
        while part := connection.recv(1 << 16):
            raw += part
    check_silence(raw.decode("latin-1"))
    found = answers(raw)
    for answer in found:
        if answer.status >= 400:
            check_problem(answer)
    check_silence(service.log.read_text())
    check_silence(service.metrics())
    return found


def refused(service: Served, *pieces: bytes, close: bool = False) -> tuple[int, str]:
    """Status and detail of the one answer."""
    found = said(service, *pieces, close=close)
    assert len(found) == 1, found
    return found[0].status, check_problem(found[0])["detail"]


MALFORMED: dict[str, tuple[bytes, *tuple[str, ...]]] = {
    "a blank before the colon": (submission().replace(b"Authorization:", b"Authorization :"), words.HEADER),
    "a tab before the colon": (submission().replace(b"Authorization:", b"Authorization\t:"), words.HEADER),
    "LF only": (submission().replace(b"\r\n", b"\n"), words.HEADER, words.VERSION),
    "LF only in headers": (submission().replace(b"\r\n", b"\n").replace(b"HTTP/1.1\n", b"HTTP/1.1\r\n"), words.HEADER),
    "CR only": (submission().replace(b"\r\n", b"\r") + b"\n\r\n", words.HEADER, words.VERSION, words.REQUEST_LINE),
    "a header without a colon": (GET.replace(b"X-Note:", b"X-Note"), words.HEADER),
    "a folded header": (GET.replace(b"X-Note: ", b"X-Note: a\r\n "), words.HEADER),
    "NUL in a header": (GET.replace(b"X-Note: ", b"X-Note: a\0"), words.HEADER),
    "NUL in the address": (GET.replace(b"?q=", b"?\0="), words.TARGET),
    "a blank in the address": (GET.replace(b"?q=", b"? q="), words.VERSION),
    "no host": (GET.replace(b"Host", b"Toast"), words.HOST, words.ELSE),
    "two hosts": (GET.replace(b"Host: x", b"Host: x\r\nHost: " + HEADER_MARK.encode()), words.REPEATED),
    "two lengths": (submission(headers=f"Content-Length: {len(BODY)}\r\n"), words.REPEATED, words.LENGTH, words.ELSE),
    "a length that is no number": (submission().replace(b"Content-Length: ", b"Content-Length: x"), words.LENGTH, words.HEADER),
    "a negative length": (submission().replace(b"Content-Length: ", b"Content-Length: -"), words.LENGTH, words.HEADER),
    "a length beyond 64 bits": (submission().replace(b"Content-Length: ", b"Content-Length: " + b"9" * 30), words.LENGTH),
    "chunked with a length": (submission(headers="Transfer-Encoding: chunked\r\n"), words.FRAMING),
    "another coding": (CHUNKED.replace(b": chunked", b": " + HEADER_MARK.encode()), words.FRAMING, words.ELSE),
    "a chunk size that is no number": (CHUNKED + b"zz\r\n" + BODY + b"\r\n0\r\n\r\n", words.CHUNK),
    "a chunk size that is too small": (CHUNKED + b"10\r\n" + BODY + b"\r\n0\r\n\r\n", words.CHUNK),
    "no HTTP at all": (PERSON_MARK.encode() + b"\r\n\r\n", words.REQUEST_LINE),
    "a body without a head": (BODY + b"\r\n\r\n", words.REQUEST_LINE),
    "an unknown method": (b"FETCHED" + GET[3:], words.REQUEST_LINE),
    "a lower-case method": (b"get" + GET[3:], words.REQUEST_LINE),
    "no version": (f"GET /{PATH_MARK}\r\nHost: x\r\n\r\n".encode(), words.VERSION, words.REQUEST_LINE),
    "a version of its own": (GET.replace(b"HTTP/1.1", b"HTTP/9.9"), words.VERSION),
    "a word for a version": (GET.replace(b"HTTP/1.1", PATH_MARK.encode()), words.VERSION),
    "HTTP/2's preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HEADER_MARK.encode(), words.HTTP_2, words.VERSION),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + HEADER_MARK.encode() + b"\r\n", words.TLS, words.REQUEST_LINE),
    "an address without a host": (GET.replace(b"GET /", b"GET http:///"), words.TARGET),
    "an address with a broken host": (GET.replace(b"GET /", f"GET http://[{HEADER_MARK}/".encode()), words.TARGET),
    "the websocket of long ago": (GET.replace(b"X-Note", b"Sec-WebSocket-Key1"), words.HEADER),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_not_http_is_a_400_that_names_the_rule_and_repeats_nothing(service: Served, name: str) -> None:
    request, *details = MALFORMED[name]
    status, detail = refused(service, request)
    assert (status, detail in details) == (400, True), detail
    half = len(request) * 2 // 3
    status, detail = refused(service, request[:half], request[half:])
    assert (status, detail in details) == (400, True), detail


@pytest.mark.parametrize("name", MALFORMED)
def test_nor_does_the_parser_that_is_not_compiled_repeat_anything(slower: Served, name: str) -> None:
    request = MALFORMED[name][0]
    said(slower, request, close=True)
    said(slower, request[: len(request) // 2], request[len(request) // 2 :], close=True)
    assert said(slower, GET, close=True)[0].status == 404


def test_a_length_counted_in_characters_is_named_as_such(service: Served) -> None:
    request = submission(CYRILLIC.encode(), length=len(CYRILLIC))
    *_, last = said(service, request)
    assert (last.status, check_problem(last)["detail"]) == (400, words.REQUEST_LINE)
    surplus = len(CYRILLIC.encode()) - len(CYRILLIC)
    with socket.create_connection((LOOPBACK, service.port), timeout=ANSWER_SECONDS_MAX) as connection:
        connection.sendall(request[:-surplus])
        raw = connection.recv(1 << 16)
        connection.sendall(request[-surplus:])
        while part := connection.recv(1 << 16):
            raw += part
    check_silence(raw.decode())
    taken, last = answers(raw)
    assert (taken.status, json.loads(taken.body)["accepted"]) == (207, 0)
    assert (last.status, check_problem(last)["detail"]) == (400, words.REQUEST_LINE)


CUT_SHORT = [CHUNKED + b"%x\r\n" % len(BODY) + BODY[:50], submission()[:-10], CHUNKED]


@pytest.mark.parametrize("sent", CUT_SHORT, ids=["chunk", "length", "none"])
def test_a_body_that_is_cut_short_is_a_400_that_its_sender_can_read(service: Served, sent: bytes) -> None:
    assert refused(service, sent, close=True) == (400, words.CUT_OFF)


@pytest.mark.parametrize("path", ["/health/live", f"/{PATH_MARK}"])
def test_a_broken_body_that_no_handler_reads_ends_the_connection_after_the_answer(service: Served, path: str) -> None:
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    found = said(service, head, b"nonsense " + PERSON_MARK.encode() + b"\r\n", GET)
    assert [answer.status for answer in found] == [200 if path.startswith("/health") else 404]


def test_nothing_is_read_after_a_body_that_the_parser_not_compiled_gave_up(slower: Served) -> None:
    for _ in range(5):
        (answer,) = said(slower, CHUNKED, b"1" * 9_000 + b"\r\n", GET)
        assert answer.status == 400


def test_what_came_before_a_malformed_request_is_answered_first(service: Served) -> None:
    found = said(service, submission(), submission(), GET.replace(b"X-Note:", b"X-Note :"), submission())
    assert [answer.status for answer in found] == [207, 207, 400]


@pytest.mark.parametrize(
    ("request_bytes", "status", "rule"),
    [
        (GET.replace(b"?q=", b"?q=" + b"a" * 8_190), 414, "8190 bytes"),
        (GET.replace(b"?q=", b"?q=" + b"a" * 300_000), 414, "8190 bytes"),
        (GET.replace(b"X-Note: ", b"X-Note: " + b"a" * 8_192), 431, "8192 bytes"),
        (GET.replace(b"X-Note", b"X-Note" + b"a" * 8_192), 431, "8192 bytes"),
        (GET.replace(b"X-Note", b"X-Note: a\r\n" * 130 + b"X-Note"), 431, "128 headers"),
    ],
    ids=["address", "long address", "value", "name", "count"],
)
def test_what_is_too_long_is_414_or_431_with_the_limit(service: Served, request_bytes: bytes, status: int, rule: str) -> None:
    found = refused(service, request_bytes)
    assert found[0] == status
    assert rule in found[1]


def test_a_request_line_that_never_ends_is_414(service: Served) -> None:
    assert refused(service, b"GET /" + PATH_MARK.encode() * 2_000)[0] == 414


def test_an_address_below_the_limit_is_read(service: Served) -> None:
    assert refused(service, GET.replace(b"?q=", b"?q=" + b"a" * 8_000), close=True)[0] == 404


@pytest.mark.parametrize("path", ["/metrics", "/health/live", "/health/ready", "/v1/records"])
def test_a_method_that_an_address_does_not_take_is_405_with_those_that_it_takes(service: Served, path: str) -> None:
    head = f"PATCH {path} HTTP/1.1\r\nHost: x\r\nX-Note: {HEADER_MARK}\r\nContent-Length: {len(BODY)}\r\n\r\n"
    (answer,) = said(service, head.encode() + BODY, close=True)
    assert answer.status == 405
    assert answer.headers["allow"] == ("POST" if path == "/v1/records" else "GET,HEAD")


def test_an_unknown_address_is_404(service: Served) -> None:
    assert refused(service, GET, close=True) == (404, "there is nothing at this address")
    assert refused(service, b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", close=True)[0] == 404
    for target in (HEADER_MARK, f"{HEADER_MARK}:443", f"/{HEADER_MARK}"):
        assert refused(service, f"CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n{HEADER_MARK}".encode())[0] in (400, 404)


@pytest.mark.parametrize("value", [HEADER_MARK, f"100-continue, {HEADER_MARK}", "100-continuе", "ÿ" + HEADER_MARK])
def test_an_expectation_that_cannot_be_met_is_417(service: Served, value: str) -> None:
    assert refused(service, submission(headers=f"Expect: {value}\r\n"), close=True)[0] == 417


def test_a_sender_that_waits_for_100_gets_it(service: Served) -> None:
    head, separator, body = submission(headers="Expect: 100-continue\r\n").partition(b"\r\n\r\n")
    assert [answer.status for answer in said(service, head + separator, body, close=True)] == [207]


@pytest.mark.parametrize("protocol", ["websocket", "h2c", "tcp", HEADER_MARK])
def test_an_upgrade_is_not_made_and_what_follows_is_not_read(service: Served, protocol: str) -> None:
    request = GET.replace(b"X-Note:", f"Connection: Upgrade\r\nUpgrade: {protocol}\r\nX-Note:".encode())
    for pieces in ((request + b"\x81\x85" + BODY,), (request, b"\x81\x85" + BODY), (request,)):
        (answer,) = said(service, *pieces)
        assert (answer.status, answer.headers["connection"]) == (404, "close")


FAULTS = {"raising": 500, "chained": 500, "no-response": 500, "own-words": 409, "returned": 410, "slow": 504}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_a_problem_without_the_exception_s_words(service: Served, fault: str) -> None:
    path = f"/{fault}/{PATH_MARK}"
    for accept in ("*/*", "text/html"):
        request = submission(path=path, headers=f"X-Note: {HEADER_MARK}\r\nAccept: {accept}\r\n")
        (answer,) = said(service, request, close=True)
        assert answer.status == FAULTS[fault]
        assert PATH_MARK not in str(answer.headers)
    if fault in ("raising", "chained"):
        last = [line for line in service.log.read_text().splitlines() if "a bug" in line][-1]
        assert re.search(rf"(ValueError|KeyError) at .*serving\.py:\d+ _{fault}", json.loads(last)["message"])


def test_an_answer_that_has_begun_is_broken_off_and_logged_without_words(service: Served) -> None:
    before = service.log.read_text().count("_begun")
    with socket.create_connection((LOOPBACK, service.port), timeout=ANSWER_SECONDS_MAX) as connection:
        connection.sendall(submission(path=f"/begun/{PATH_MARK}"))
        raw = b""
        while part := connection.recv(1 << 16):
            raw += part
    assert not raw.endswith(b"0\r\n\r\n")
    check_silence(raw.decode() + service.log.read_text())
    assert service.log.read_text().count("_begun") == before + 1


def test_what_nobody_awaits_is_logged_without_words(service: Served) -> None:
    assert [answer.status for answer in said(service, submission(path=f"/forgotten/{PATH_MARK}"), close=True)] == [200]
    limit = time.monotonic() + ANSWER_SECONDS_MAX
    while "Task exception was never retrieved" not in service.log.read_text():
        assert time.monotonic() < limit, "waited for the loop to log a task's exception"
        assert said(service, GET, close=True)
    log = service.log.read_text()
    check_silence(log)
    assert "called_back" in log


def test_what_a_library_logs_and_what_a_finalizer_raises_is_logged_without_words(service: Served) -> None:
    assert [answer.status for answer in said(service, submission(path=f"/library/{PATH_MARK}"), close=True)] == [200]
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    (library,) = [line for line in lines if line["logger"] == "aiohttp.internal"]
    assert library["message"] == "Exception in %s"
    assert re.fullmatch(r"ValueError at .*serving\.py:\d+ _library", library["traceback"])
    assert any("ValueError at" in line["message"] and "__del__" in line["message"] for line in lines)


def test_every_line_that_a_service_writes_is_json(service: Served) -> None:
    assert [json.loads(line)["level"] for line in service.log.read_text().splitlines() if not line.startswith("{")] == []


def test_the_answer_is_readable_though_its_sender_is_not_done(service: Served) -> None:
    with socket.create_connection((LOOPBACK, service.port), timeout=ANSWER_SECONDS_MAX) as connection:
        connection.sendall(submission(length=1 << 30).replace(b"Authorization:", b"Authorization :"))
        for _ in range(200):
            connection.sendall(PERSON_MARK.encode() * 10_000)
        raw = connection.recv(1 << 16)
        check_silence(raw.decode())
        assert answers(raw)[0].status == 400
        assert connection.recv(1) == b"", "the service said that nothing more comes"


def _send_until(connection: socket.socket, limit: float) -> None:
    while time.monotonic() < limit:
        connection.sendall(b"x")
        time.sleep(0.1)


def test_a_sender_that_neither_reads_nor_closes_is_let_go(service: Served) -> None:
    with socket.create_connection((LOOPBACK, service.port), timeout=ANSWER_SECONDS_MAX) as connection:
        connection.sendall(b"\r\nnonsense\r\n\r\n")
        limit = time.monotonic() + DRAIN_SECONDS_MAX + 10
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            _send_until(connection, limit)


def test_malformed_requests_are_counted_by_status(service: Served) -> None:
    def count() -> float:
        found = re.search(r'^tolqyn_http_malformed_total\{status="400"\} (\S+)$', service.metrics(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    before = count()
    refused(service, b"nonsense\r\n\r\n")
    assert count() == before + 1


HOOKS = (
    "data_received",
    "eof_received",
    "connection_lost",
    "start",
    "close",
    "_handle_request",
    "finish_response",
    "handle_error",
    "log_exception",
    "log_debug",
)


async def test_the_pinned_aiohttp_has_what_the_server_relies_on() -> None:
    runner = Runner(aiohttp.web.Application())
    await runner.setup()
    assert runner.server is not None
    connection = runner.server()
    assert type(connection).__mro__[1] is web_protocol.RequestHandler
    assert type(connection).__name__ == "_Connection"
    own, theirs = type(connection), web_protocol.RequestHandler
    for name in HOOKS:
        ours, its = (inspect.signature(getattr(kind, name)).parameters.values() for kind in (own, theirs))
        named = [parameter.name for parameter in its if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)]
        assert [parameter.name for parameter in ours][: len(named)] == named, f"aiohttp's RequestHandler calls {name} otherwise now"
    for name in ("_parser", "_messages", "_waiter", "_request_count"):
        assert hasattr(connection, name), f"aiohttp's RequestHandler has no {name} any more"
    await runner.cleanup()


def test_the_key_is_a_working_one(service: Served) -> None:
    (answer,) = said(service, submission(), close=True)
    assert (answer.status, json.loads(answer.body)["accepted"]) == (207, 1)
    assert KEY_MARK in submission().decode()
