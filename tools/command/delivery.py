"""Delivering chunks over HTTP: each record counted once, whatever has to be sent again."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from services.shared.ingest.files import Chunk
from services.shared.ingest.http import PATH
from services.shared.ingest.refusal import Refusal
from services.shared.ingest.submission import Total
from services.shared.runtime.process.errors import Refused, Unavailable

WAIT_SECONDS_MIN = 0.2  # the first wait; doubled each time
WAIT_SECONDS_MAX = 10.0  # a service is back within seconds of its broker
GIVE_UP_SECONDS = 600.0  # without any progress: longer than a restart of everything, shorter than a night
CONNECT_SECONDS_MAX = 5.0
ANSWER_SECONDS_MAX = 120.0  # a submission waits up to 20 s for the log, and longer for a record repeated thousands of times
_BAD_LUCK = (429, 500, 502, 503, 504)


class Delivery:
    """To one service, with one key. `place` stands in the receipt's items, beside the index."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = url.rstrip("/") + PATH, key
        self.total = Total()

    async def deliver(
        self, chunks: Iterator[Chunk], place: dict[str, Any], done: Callable[[Chunk], None], waiting: Callable[[str], None]
    ) -> None:
        """Deliver a file's chunks, one after the other, so that its records reach the log in its order.

        The next chunk is read meanwhile. Raises Refused if the service refuses submissions as such, Unavailable after
        `GIVE_UP_SECONDS` without progress; `total` is right in both cases, with what was not delivered of a chunk as `retry`.
        `done(chunk)` is called after each chunk, `waiting(reason)` before each wait.
        """
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS_MAX, sock_read=ANSWER_SECONDS_MAX)
        headers = {"Authorization": f"Bearer {self._key}"}
        async with aiohttp.ClientSession(timeout=limits, headers=headers) as session:
            chunk = await asyncio.to_thread(next, chunks, None)
            while chunk is not None:
                following = asyncio.ensure_future(asyncio.to_thread(next, chunks, None))
                try:
                    await self._chunk(session, chunk, place, waiting)
                finally:
                    after = await following
                done(chunk)
                chunk = after

    async def _chunk(
        self, session: aiohttp.ClientSession, chunk: Chunk, place: dict[str, Any], waiting: Callable[[str], None]
    ) -> None:
        total, left = self.total, []
        total.received += len(chunk.records)
        for i, record in enumerate(chunk.records):
            if isinstance(record, Refusal):
                total.refuse(place | {"index": chunk.first + i}, *record)
            else:
                left.append(i)
        wait, since = WAIT_SECONDS_MIN, time.monotonic()
        try:
            while left:
                answer = await self._submit(session, chunk, left)
                if isinstance(answer, dict):
                    before, left = len(left), self._take(answer, chunk, left, place)
                    if not left:
                        break
                    answer = _Away("the log does not take everything just now")
                    if len(left) < before:
                        wait, since = WAIT_SECONDS_MIN, time.monotonic()
                if time.monotonic() - since > GIVE_UP_SECONDS:
                    raise Unavailable(f"{self._url}: {answer.reason}, for {GIVE_UP_SECONDS:.0f} s; send the file again later")
                waiting(answer.reason)
                await asyncio.sleep(max(wait, answer.retry_after_seconds))
                wait = min(wait * 2, WAIT_SECONDS_MAX)
        finally:
            total.retry += len(left)

    def _take(self, receipt: dict[str, Any], chunk: Chunk, sent: list[int], place: dict[str, Any]) -> list[int]:
        """Count a receipt; returns the places in the chunk that are to be sent again."""
        again = []
        for item in receipt["items"]:
            i = sent[item["index"]]
            if item["status"] == "retry":
                again.append(i)
            else:
                self.total.refuse(place | {"index": chunk.first + i}, item["code"], item["pointer"], item["detail"])
        self.total.accepted += receipt["accepted"]
        return again

    async def _submit(self, session: aiohttp.ClientSession, chunk: Chunk, left: list[int]) -> "dict[str, Any] | _Away":
        headers = {"Content-Type": chunk.media_type}
        try:
            async with session.post(self._url, data=chunk.body(left), headers=headers) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            return _Away(f"no answer ({type(error).__name__})")
        if response.status == 207:
            receipt: dict[str, Any] = orjson.loads(body)
            assert receipt["received"] == len(left), "both sides count the same records"
            return receipt
        if response.status in _BAD_LUCK:
            return _Away(f"answers {response.status}", _seconds(response.headers.get("Retry-After", "")))
        raise Refused(f"{self._url} answers {response.status}: {_detail(body)}")


@dataclass
class _Away:
    """Nothing was taken, by bad luck."""

    reason: str
    retry_after_seconds: float = 0.0


def _seconds(text: str) -> float:
    return min(float(text), WAIT_SECONDS_MAX) if text.isdigit() else 0.0


def _detail(body: bytes) -> str:
    try:
        return str(orjson.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return "not a Tolqyn service?"
