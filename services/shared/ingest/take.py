"""Taking one file: verified as a whole, then sent chunk by chunk, each of its records counted once whatever ends in between.

Before a chunk is sent, its rejects are on the disk; after the broker has acknowledged all of it, the progress is. Whoever takes the
file up again after a crash sends at most one chunk again, whole and in its order: what then stands is what would have stood.
"""

import asyncio
import contextlib
import hashlib
import logging
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import orjson

from services.shared.ingest.calendar_rules import latest
from services.shared.ingest.columns import Columns
from services.shared.ingest.edge import Edge, number_fields
from services.shared.ingest.files import Chunk, chunks_of
from services.shared.ingest.inbox_folder import stamp
from services.shared.ingest.manifest import FileRefused, Manifest
from services.shared.ingest.outbox import Outbox, Progress
from services.shared.ingest.submission import (
    REJECTION_SCHEMA,
    REJECTIONS_TOPIC,
    SUBMISSION_ID_BYTES,
    Prepared,
    Total,
    prepare,
    rejection,
)
from services.shared.runtime.kafka.producer import EventProducer
from services.shared.runtime.process import metrics
from services.shared.runtime.process.errors import Failure, Unavailable

HASHED_BYTES = 16 << 20  # between two looks at the stop signal: a hundredth of a second
WAIT_SECONDS_MIN = 0.2  # the first wait for a log that does not take everything; doubled each time
WAIT_SECONDS_MAX = 10.0  # a service is back within seconds of its broker
DISK_SECONDS = 10.0  # between tries to write to an outbox that is full: somebody has to make room

T = TypeVar("T")

log = logging.getLogger("tolqyn.inbox")


class InboxFile(NamedTuple):
    """A file as it lies in the inbox, open, with its manifest. `agency` and `name` as their folders and files are called."""

    agency: str
    name: str
    file: BinaryIO
    manifest: Manifest


class Taker:
    """Takes the files of one feed, one at a time. `ready` says whether the broker can be relied on just now."""

    def __init__(
        self, edge: Edge, producer: EventProducer, partitions: int, ready: Callable[[], bool], stopping: asyncio.Event
    ) -> None:
        self._feed, self._columns, self._numbers = edge.feed, Columns(edge), number_fields(edge.feed)
        self._producer, self._partitions, self._ready, self._stopping = producer, partitions, ready, stopping

    async def take(self, inbox_file: InboxFile, outbox: Outbox) -> None:
        """Take a file, from where it was left; in the end its receipt is there.

        Raises FileRefused, and Unavailable if the service stops or the file cannot be read now.
        """
        progress = await self.patiently(partial(outbox.progress, inbox_file.name))
        if progress is not None and progress.sha256 != inbox_file.manifest.sha256:
            raise FileRefused(
                f"under this name a file with the sha256 {progress.sha256} was taken up to record {progress.total.received}: "
                "put that one back, or give this one another name"
            )
        try:
            before = await self._verify(inbox_file)
            if progress is None:
                progress = Progress(secrets.token_hex(SUBMISSION_ID_BYTES), inbox_file.manifest.sha256, _now_ms())
                await self.patiently(partial(outbox.reject, inbox_file.name, 0, b""))
                await self.patiently(partial(outbox.save, inbox_file.name, progress))
            else:
                log.info("goes on with %a of %a at record %d", inbox_file.name, inbox_file.agency, progress.total.received)
            await self._send_rest(inbox_file, before, progress, outbox)
        except Unavailable:
            raise
        except Failure as error:
            raise FileRefused(str(error)) from None
        await self._note(inbox_file.agency, progress)
        await self.patiently(partial(outbox.finish, inbox_file.name, progress, receipt(progress, inbox_file.manifest.file)))

    async def _verify(self, inbox_file: InboxFile) -> str:
        """Compare the whole file with its manifest; returns how it lay there. Raises FileRefused."""
        file, manifest = inbox_file.file, inbox_file.manifest
        before, digest = stamp(os.fstat(file.fileno())), hashlib.sha256()
        file.seek(0)
        while read := await asyncio.to_thread(_hash_piece, file, digest):
            self._read(read)
        _unchanged(file, before)
        if digest.hexdigest() != manifest.sha256:
            raise FileRefused(f"the file's sha256 is {digest.hexdigest()}, not the manifest's")
        file.seek(0)
        found, chunks = 0, chunks_of(file, Path(manifest.file), self._numbers)
        while chunk := await asyncio.to_thread(next, chunks, None):
            found += len(chunk.records)
            self._read(0)
        _unchanged(file, before)
        if found != manifest.records:
            raise FileRefused(f"the file has {found} records, the manifest says {manifest.records}")
        return before

    def _read(self, size: int) -> None:
        """Count what was read; Unavailable if the service stops."""
        metrics.INBOX_READ_BYTES.labels(self._feed.name).inc(size)
        if self._stopping.is_set():
            raise Unavailable("the service stops")

    async def _send_rest(self, inbox_file: InboxFile, before: str, progress: Progress, outbox: Outbox) -> None:
        file, total = inbox_file.file, progress.total
        file.seek(0)
        chunks, position = chunks_of(file, Path(inbox_file.manifest.file), self._numbers, total.received), 0
        while chunk := await asyncio.to_thread(next, chunks, None):
            prepared = await asyncio.to_thread(self._prepare, inbox_file.agency, chunk, progress)
            _unchanged(file, before)
            lines = b"".join(_lines(chunk, prepared))
            await self.patiently(partial(outbox.reject, inbox_file.name, progress.rejects_bytes, lines))
            await self._send(prepared.events)
            self._count(chunk, prepared, progress)
            progress.rejects_bytes += len(lines)
            await self.patiently(partial(outbox.save, inbox_file.name, progress))
            self._read(chunk.position - position)
            position = chunk.position
        if total.received != inbox_file.manifest.records:
            raise FileRefused("the file changed while it was read")

    def _prepare(self, agency: str, chunk: Chunk, progress: Progress) -> Prepared:
        """A chunk's events: they follow from the file and its moment of receipt."""
        return prepare(self._columns, agency, chunk.records, self._partitions, latest(progress.received_ms))

    async def _send(self, events: Sequence[Sequence[tuple[bytes, bytes]]]) -> None:
        """Returns once the broker has acknowledged all of it, however long that takes."""
        wait = WAIT_SECONDS_MIN
        while any(events):
            while not self._ready():
                await self.pause(WAIT_SECONDS_MIN)
            taken = await self._producer.send(self._feed.topic, events, self._feed.schema_header)
            events = [some[n:] for some, n in zip(events, taken, strict=True)]
            wait = WAIT_SECONDS_MIN if any(taken) else min(2 * wait, WAIT_SECONDS_MAX)
            left = sum(map(len, events))
            if left:
                metrics.INGEST_RECORDS.labels(self._feed.name, "retry").inc(left)
                await self.pause(wait)

    def _count(self, chunk: Chunk, prepared: Prepared, progress: Progress) -> None:
        feed, total = self._feed.name, progress.total
        for index, refusal in sorted(prepared.refusals.items()):
            total.refuse({"index": chunk.first + index}, refusal.code.value, refusal.pointer, refusal.detail)
        codes = Counter(refusal.code.value for refusal in prepared.refusals.values())
        progress.codes = dict(sorted((codes + Counter(progress.codes)).items()))
        accepted = len(chunk.records) - len(prepared.refusals)
        total.received += len(chunk.records)
        total.accepted += accepted
        metrics.INGEST_RECORDS.labels(feed, "accepted").inc(accepted)
        metrics.INGEST_RECORDS.labels(feed, "rejected").inc(len(prepared.refusals))
        for code, count in codes.items():
            metrics.INGEST_REJECTIONS.labels(feed, code).inc(count)

    async def _note(self, agency: str, progress: Progress) -> None:
        """Tell operators who had how many records refused for what, as after a submission over HTTP."""
        if progress.codes:
            feed, received = self._feed.name, progress.total.received
            note = rejection(progress.submission, agency, feed, received, progress.codes, progress.received_ms)
            event = (f"{agency}/{feed}".encode(), orjson.dumps(note))
            await self._producer.send(REJECTIONS_TOPIC, [[event]], REJECTION_SCHEMA)

    async def patiently(self, do: Callable[[], T]) -> T:
        """Do something on the outbox's disk; while the disk does not let us, wait. Unavailable if the service stops meanwhile."""
        while True:
            try:
                return await asyncio.to_thread(do)
            except OSError as error:
                log.warning("the outbox cannot be used: %s; waiting", error.strerror or error)
                metrics.INBOX_FAILURES.labels(self._feed.name).inc()
            await self.pause(DISK_SECONDS)

    async def pause(self, seconds: float) -> None:
        """Wait. Raises Unavailable as soon as the service stops."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), seconds)
        if self._stopping.is_set():
            raise Unavailable("the service stops")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _hash_piece(file: BinaryIO, digest: "hashlib._Hash") -> int:
    """Hash the next bytes; how many they were."""
    try:
        piece = file.read(HASHED_BYTES)
    except OSError as error:
        raise Unavailable(f"the file cannot be read: {error.strerror}") from None
    digest.update(piece)
    return len(piece)


def _unchanged(file: BinaryIO, before: str) -> None:
    if stamp(os.fstat(file.fileno())) != before:
        raise FileRefused("the file changed while it was read")


def _lines(chunk: Chunk, prepared: Prepared) -> Iterator[bytes]:
    """The rejects of a chunk, a line of JSON each."""
    for index, refusal in sorted(prepared.refusals.items()):
        yield orjson.dumps({"index": chunk.first + index, "code": refusal.code.value, "pointer": refusal.pointer}) + b"\n"


def receipt(progress: Progress, file: str) -> dict[str, Any]:
    """The receipt of a file: what an answer over HTTP says, summed, and which file that was."""
    return {"submission": progress.submission, "file": file, "sha256": progress.sha256} | vars(progress.total)


def refused(reason: str, seen: str, progress: Progress | None) -> dict[str, Any]:
    """The receipt of a file that is refused: nothing of it was taken, or no more than `progress` says."""
    total = Total() if progress is None else progress.total
    submission = secrets.token_hex(SUBMISSION_ID_BYTES) if progress is None else progress.submission
    return {"submission": submission, "refused": reason, "seen": seen} | vars(total)
