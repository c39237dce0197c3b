"""`POST /v1/records`: contract section 2 over HTTP."""

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus

import orjson
from aiohttp import web

from schemas.feeds import Feed
from services.shared.ingest.bodies import MEDIA_TYPES, records
from services.shared.ingest.calendar_rules import latest
from services.shared.ingest.columns import Columns
from services.shared.ingest.edge import Edge, number_fields
from services.shared.ingest.submission import REJECTION_SCHEMA, REJECTIONS_TOPIC, Receipt, prepare, rejection
from services.shared.ingest.unpack import ENCODINGS, UNPACKED_BYTES_MAX, too_large, unpack
from services.shared.runtime.http.malformed import BROKEN, CUT_OFF, why_broken
from services.shared.runtime.http.problem import Problem
from services.shared.runtime.http.server import problem_response
from services.shared.runtime.kafka.producer import EventProducer
from services.shared.runtime.process import metrics
from services.shared.runtime.process.api_keys import ApiKey, ApiKeys

PATH = "/v1/records"
IN_FLIGHT_BYTES_MAX = 64 << 20  # four full submissions at once, or a dozen of small records: a gigabyte with what becomes of them
SUBMISSION_BYTES_MIN = 64 << 10  # what a submission counts as however small it is: so at most a thousand are open at once
DRAINED_BYTES_MAX = 64 << 20  # of a body that is refused, so that its sender can read why (contract)
BODY_SECONDS_MAX = 120.0  # 16 MiB over a line of one megabit
DRAIN_SECONDS_MAX = 30.0  # for the rest of a body that nobody wants
BUSY_RETRY_SECONDS = 1  # a full submission takes a fifth of a second
AWAY_RETRY_SECONDS = 2  # a broker or service restarts in a few seconds


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class RecordsEndpoint:
    """The one route of an ingest service. `ready` says whether the broker can be relied on just now."""

    def __init__(self, edge: Edge, keys: ApiKeys, producer: EventProducer, partitions: int, ready: Callable[[], bool]) -> None:
        self._keys, self._producer, self._partitions, self._ready = keys, producer, partitions, ready
        self._columns = Columns(edge)
        self._feed: Feed = edge.feed
        self._numbers = number_fields(edge.feed)
        self._reading_bytes = 0  # reserved for bodies that are being read and checked
        self._open = 0
        self._idle = asyncio.Event()
        self._idle.set()
        metrics.INGEST_IN_FLIGHT_BYTES.labels(self._feed.name).set_function(lambda: float(self._in_flight_bytes))

    def add_to(self, application: web.Application) -> None:
        """Add the route."""
        application.router.add_route("*", PATH, self.answer)

    async def idle(self) -> None:
        """Wait until no submission is being worked on."""
        await self._idle.wait()

    @property
    def _in_flight_bytes(self) -> int:
        return self._reading_bytes + self._producer.in_flight_bytes

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one request, whatever it is."""
        started = time.perf_counter()
        self._open += 1
        self._idle.clear()
        try:
            response = await self._submission(request)
        except Problem as problem:
            response = await _problem_response(request, problem)
        finally:
            self._open -= 1
            if self._open == 0:
                self._idle.set()
        metrics.INGEST_REQUESTS.labels(self._feed.name, str(response.status)).inc()
        metrics.INGEST_REQUEST_SECONDS.labels(self._feed.name).observe(time.perf_counter() - started)
        return response

    async def _submission(self, request: web.Request) -> web.Response:
        if request.method != "POST":
            raise Problem(405, f"{PATH} takes POST")
        key = self._authorised(request)
        media_type, encoding = _media_type(request), _encoding(request)
        if not self._ready():
            raise Problem(
                503,
                "the service takes nothing just now: the log is away, or its clock and the service's differ",
                AWAY_RETRY_SECONDS,
            )
        length = request.content_length
        # Packed or of unknown length: it may become as large as any.
        reserved = UNPACKED_BYTES_MAX if encoding or length is None else min(max(length, SUBMISSION_BYTES_MIN), UNPACKED_BYTES_MAX)
        if self._in_flight_bytes + reserved > IN_FLIGHT_BYTES_MAX:
            raise Problem(429, "too much is waiting for the log's acknowledgement", BUSY_RETRY_SECONDS)
        self._reading_bytes += reserved
        try:
            body = unpack(await _read(request), encoding)
            unpacked = max(len(body), SUBMISSION_BYTES_MIN)
            self._reading_bytes += unpacked - reserved
            reserved = unpacked
            received_ms = _now_ms()
            found = records(body, media_type, self._numbers)
            prepared = prepare(self._columns, key.agency, found, self._partitions, latest(received_ms))
            acknowledged = await self._producer.send(self._feed.topic, prepared.events, self._feed.schema_header)
        finally:
            self._reading_bytes -= reserved
        receipt = Receipt.of(prepared, acknowledged)
        await self._note(key, receipt, received_ms)
        return web.Response(status=207, body=receipt.body(request.query.get("items") == "all"), content_type="application/json")

    def _authorised(self, request: web.Request) -> ApiKey:
        scheme, _, sent = request.headers.get("Authorization", "").partition(" ")
        key = self._keys.find(sent.strip()) if scheme.lower() == "bearer" else None
        if key is None:
            raise Problem(401, "a working API key is needed: Authorization: Bearer <key>")
        if key.feed != self._feed.name:
            raise Problem(403, "this key is for another feed")
        return key

    async def _note(self, key: ApiKey, receipt: Receipt, received_ms: int) -> None:
        """Count the outcome, and write who had how many records refused for what; never a value."""
        feed, prepared = self._feed.name, receipt.prepared
        for status, count in (
            ("accepted", receipt.accepted),
            ("rejected", len(prepared.refusals)),
            ("retry", len(receipt.retry)),
        ):
            metrics.INGEST_RECORDS.labels(feed, status).inc(count)
        codes = receipt.codes()
        for code, count in codes.items():
            metrics.INGEST_REJECTIONS.labels(feed, code).inc(count)
        if codes:
            note = rejection(prepared.id, key.agency, feed, prepared.received, codes, received_ms) | {"key_id": key.id}
            event = (f"{key.agency}/{feed}".encode(), orjson.dumps(note))
            # A summary for operators: the sender has each refusal in the answer, so losing one changes no outcome.
            await self._producer.send(REJECTIONS_TOPIC, [[event]], REJECTION_SCHEMA)


def _media_type(request: web.Request) -> str:
    sent = request.content_type if "Content-Type" in request.headers else ""
    if sent not in MEDIA_TYPES or (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
        raise Problem(415, f"the body must be one of {', '.join(MEDIA_TYPES)}, in UTF-8")
    return sent


def _encoding(request: web.Request) -> str:
    sent = request.headers.get("Content-Encoding", "").strip().lower()
    if sent in ("", "identity"):
        return ""
    if sent not in ENCODINGS:
        raise Problem(415, "the content encoding must be gzip or zstd, or none")
    return sent


async def _read(request: web.Request) -> bytes:
    """The body as it was sent. Problem 413 over the limit, 408 if it does not come, 400 if it breaks off."""
    if (request.content_length or 0) > UNPACKED_BYTES_MAX:
        raise too_large()
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            async for part in request.content.iter_any():
                size += len(part)
                if size > UNPACKED_BYTES_MAX:
                    raise too_large()
                parts.append(part)
    except TimeoutError:
        raise Problem(408, f"the body did not come within {BODY_SECONDS_MAX:.0f} s") from None
    except BROKEN as broken:
        raise Problem(400, why_broken(broken)) from None
    except ConnectionError:
        raise Problem(400, CUT_OFF) from None  # nobody will read it
    return b"".join(parts)


async def _problem_response(request: web.Request, problem: Problem) -> web.Response:
    """The answer to a refused submission, after what follows of its body, so that the sender gets to read it."""
    drained = await _drain(request)
    response = problem_response(problem)
    if problem.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="tolqyn"'
    if problem.status == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = "POST"
    if not drained or problem.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        response.force_close()
    return response


async def _drain(request: web.Request) -> bool:
    """Read on to the body's end and throw it away, within limits; whether the end was reached."""
    left = DRAINED_BYTES_MAX
    try:
        async with asyncio.timeout(DRAIN_SECONDS_MAX):
            async for part in request.content.iter_any():
                left -= len(part)
                if left < 0:
                    return False
    except (TimeoutError, *BROKEN, ConnectionError):
        return False
    return True
