"""aiohttp's server, so that nothing of a request gets into an answer or a log, however malformed it is.

The hook is one method of `AppRunner`, which gives our subclass of aiohttp's `RequestHandler` to every connection. There, the parser
is wrapped: its errors quote the request, so they are replaced where they arise. What goes wrong later is answered and logged here
as well. A test holds the pinned version to what this module relies on.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.web_protocol import RequestHandler

from services.shared.runtime.http.malformed import (
    BROKEN,
    CUT_OFF,
    FIELD_BYTES_MAX,
    HEADERS_MAX,
    TARGET_BYTES_MAX,
    VERSION,
    BrokenBody,
    Malformed,
    malformed,
    why_broken,
)
from services.shared.runtime.http.problem import MEDIA_TYPE, Problem, body
from services.shared.runtime.http.traces import places
from services.shared.runtime.process import metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from aiohttp.http import RawRequestMessage
    from aiohttp.streams import StreamReader
    from aiohttp.web_request import BaseRequest

    Handler = Callable[[BaseRequest], Awaitable[web.StreamResponse]]

# Of what is sent after an answer, so that its sender gets to read it: a socket that is closed with unread bytes is reset, and what
# it said lost.
DRAINED_BYTES_MAX = 64 << 20  # as of a submission that is refused
DRAIN_SECONDS_MAX = 5.0  # the sender has the answer by now and is expected to close; a proxy does so at once

_VERSIONS = (HttpVersion10, HttpVersion11)  # the compiled parser reads a line without a version as HTTP/0.9, the other any number
_SENTENCES = {
    HTTPStatus.NOT_FOUND: "there is nothing at this address",
    HTTPStatus.METHOD_NOT_ALLOWED: "this address does not take this method; the header Allow has those that it takes",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the body is larger than this address takes",
    HTTPStatus.EXPECTATION_FAILED: "the only expectation that can be met is 100-continue",
    HTTPStatus.INTERNAL_SERVER_ERROR: "a fault of this service: what was sent may be right; the service's log has the place",
    HTTPStatus.GATEWAY_TIMEOUT: "the answer took too long",
}

log = logging.getLogger("tolqyn.http")


def problem_response(problem: Problem) -> web.Response:
    """A problem as an answer."""
    response = web.Response(status=problem.status, body=body(problem.status, problem.detail), content_type=MEDIA_TYPE)
    if problem.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(problem.retry_after_seconds)
    return response


def _of_status(status: int) -> web.Response:
    return problem_response(Problem(status, _SENTENCES.get(HTTPStatus(status), HTTPStatus(status).phrase)))


async def _read_to_end(content: StreamReader) -> bool:
    """Throw away what is left of a body whose request has its answer, within limits; whether the next request can follow."""
    left = DRAINED_BYTES_MAX
    try:
        async with asyncio.timeout(DRAIN_SECONDS_MAX):
            while not content.is_eof() and left >= 0:
                left -= len(await content.readany())
    except (TimeoutError, *BROKEN):
        return False
    return left >= 0


class _Parser:
    """aiohttp's parser, compiled or not. Its only errors are `Malformed`; after the first it reads nothing more."""

    def __init__(self, parser: Any) -> None:
        self._parser = parser
        self._open: StreamReader | None = None  # the newest body
        self.failed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def feed_data(self, data: bytes) -> tuple[Sequence[tuple[RawRequestMessage, StreamReader]], bool, bytes]:
        """Messages with their bodies, whether the connection is upgraded, and what follows the upgrade. Raises Malformed.

        What is wrong in the middle of a body that has a handler is that handler's to answer: reading on it raises
        BrokenBody.
        """
        if self.failed:
            return (), False, b""
        error: Malformed | None = None
        try:
            messages, upgraded, tail = self._parser.feed_data(data)
        except Exception as quoting:  # noqa: BLE001 - whatever a parser stumbles over, it was sent
            error = malformed(quoting)
        if error is None and any(message.version not in _VERSIONS for message, _ in messages):
            error = Malformed(400, VERSION)
        if error is None:
            if messages:
                self._open = messages[-1][1]
            return messages, upgraded, tail
        if self.fail_body(error.message):
            return (), False, b""
        raise error

    def fail_body(self, detail: str = CUT_OFF) -> bool:
        """Nothing more will be read. Whether there is a body that its handler will now find cut off."""
        self.failed = True
        if self._open is None or self._open.is_eof():
            return False
        self._open.set_exception(BrokenBody(detail))
        self._open.feed_eof()  # nobody needs to wait for the rest
        return True


class _Connection(RequestHandler):
    """One connection. After a malformed request it answers what came before, then that, and closes."""

    __slots__ = ("_drained_bytes", "_ended", "_guarded")

    def __init__(self, manager: web.Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._guarded = _Parser(self._parser)
        self._parser: Any = self._guarded
        self._drained_bytes = 0
        self._ended = asyncio.Event()  # the sender has closed its side, or sends without end

    def data_received(self, data: bytes) -> None:
        if self._guarded.failed:
            self._drained_bytes += len(data)
            if self._drained_bytes > DRAINED_BYTES_MAX:
                self._ended.set()
            return
        super().data_received(data)
        self._close_after_the_last()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's protocols may say so
        """Whether to keep the connection: a sender may close its side and still wait for an answer."""
        self._ended.set()
        idle = self._waiter is not None and not self._waiter.done()
        if idle or self._request_count == 0:
            return False
        self._guarded.fail_body()
        self._close_after_the_last()
        return True

    def _close_after_the_last(self) -> None:
        """If nothing more is read and nothing waits: close when the request that is being answered has been."""
        if self._guarded.failed and not self._messages:
            self.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._ended.set()
        self._guarded.fail_body()  # aiohttp tells a handler, but not who reads on for the next request
        super().connection_lost(exc)

    async def start(self) -> None:
        try:
            await super().start()
        except Exception as error:  # noqa: BLE001 - a task that nobody awaits: it would leave the connection open
            log.error("a bug in the server: %s", places(error))
            self.force_close()

    async def _handle_request(
        self,
        request: BaseRequest,
        start_time: float | None,
        request_handler: Handler,
    ) -> tuple[web.StreamResponse, bool]:
        response, lost = await super()._handle_request(request, start_time, request_handler)
        if lost:
            return response, lost
        another = response.keep_alive and await _read_to_end(request.content) and not self._is_last(request)
        if not another:
            response.force_close()
            self._guarded.fail_body()
            await self._close_in_order()
        return response, lost

    def _is_last(self, request: BaseRequest) -> bool:
        """Whether the connection ends with this answer. What follows a wish for another protocol could be anything."""
        return (self._guarded.failed and not self._messages) or request.method == "CONNECT" or "Upgrade" in request.headers

    async def _close_in_order(self) -> None:
        """Say that nothing more comes, then read on until the sender has closed as well, within limits."""
        if self.transport is None or self._ended.is_set():
            return
        if not self.transport.is_reading():
            self.transport.resume_reading()
        self.transport.write_eof()
        try:
            async with asyncio.timeout(DRAIN_SECONDS_MAX):
                await self._ended.wait()
        except TimeoutError:
            return

    async def finish_response(
        self, request: BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if isinstance(resp, web.HTTPException) and resp.status >= HTTPStatus.BAD_REQUEST:
            allowed = resp.headers.get("Allow")
            resp = _of_status(resp.status)
            if allowed is not None:
                resp.headers["Allow"] = allowed
        elif not isinstance(resp, web.StreamResponse):
            log.error("a bug: a handler answered with %s", type(resp).__name__)
            resp = _of_status(500)
        if self._is_last(request):
            resp.force_close()
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The answer for what a parser or a handler raised; closes the connection."""
        if isinstance(exc, Malformed):
            response = problem_response(Problem(exc.code, exc.message))
        elif isinstance(exc, BROKEN):
            response = problem_response(Problem(400, why_broken(exc)))
        else:
            log.error("a bug while a request was answered: %s", places(exc) if exc is not None else f"status {status}")
            response = _of_status(status)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun: it can only be broken off")
        if response.status != HTTPStatus.INTERNAL_SERVER_ERROR:
            metrics.HTTP_MALFORMED.labels(str(response.status)).inc()
        response.force_close()
        return response

    def log_exception(self, *args: Any, **options: Any) -> None:
        """What aiohttp would log with a message and a traceback."""
        error = options.get("exc_info")
        log.error("a bug in the server: %s", places(error) if isinstance(error, BaseException) else "no exception")

    def log_debug(self, *args: Any, **options: Any) -> None:
        """Nothing: there is no debugging with what was sent."""


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """Runs an application behind connections that repeat nothing."""

    def __init__(self, application: web.Application, **options: Any) -> None:
        # No access log: it would name what agencies send. Metrics count requests.
        # Bodies stay packed: ingest unpacks them within its limits, the framework would without any.
        super().__init__(
            application,
            handle_signals=False,
            access_log=None,
            auto_decompress=False,
            max_line_size=TARGET_BYTES_MAX,
            max_field_size=FIELD_BYTES_MAX,
            max_headers=HEADERS_MAX,
            **options,
        )

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,
            **made._kwargs,
        )
