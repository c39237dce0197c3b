"""Records that cannot be counted, set aside whole, with the reason and the place they came from.

The key is the place (`<topic>/<partition>/<offset>`): setting the same record aside again after a crash is the same letter.
One that is too large for a letter (its producer had packed it small enough for the log) is set aside without its key, headers and
value, and the header `left-out` says how many bytes those are: the log has them.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from aiokafka.errors import (
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    KafkaError,
    KafkaTimeoutError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
    UnknownProducerId,
)

from services.shared.runtime.kafka.clients import REQUEST_BYTES_MAX, LastingProducer, read_to_end
from services.shared.runtime.process import metrics
from services.shared.runtime.process.errors import Unavailable
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.exchange.records import Headers, Records

TOPIC = "dead-letters.v1"
OPEN_MAX = 10_000  # letters that wait for their acknowledgement: some megabytes; a flush costs milliseconds
OPEN_BYTES_MAX = 2 * REQUEST_BYTES_MAX  # of theirs: they are kept until then, to be sent again
ANSWER_SECONDS = 10.0  # a letter takes milliseconds: of one that takes longer, operators hear this often
AGAIN_SECONDS = 1.0  # before letters that were given up are sent again
REDRIVEN = b"redriven"  # the reason of a record that closes the letter with the same key
# What a letter may hold of its record: the producer's limit, less what the letter adds. Ingest lets a thousandth of it in.
RECORD_BYTES_MAX = REQUEST_BYTES_MAX - (64 << 10)

# Beside what aiokafka calls retriable: no room for a letter in half a minute, or a producer whose sequence the broker refuses.
BAD_LUCK = (
    KafkaTimeoutError,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
    UnknownProducerId,
)

log = logging.getLogger("tolqyn.dead_letters")


class _Open:
    """A letter that the broker is not known to have yet, who was given it, and the answer that is waited for."""

    client: Any
    answer: asyncio.Future[Any]

    def __init__(self, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        self.key, self.value, self.headers = key, value, headers
        self.size = len(key) + len(value) + sum(len(name) + len(text or b"") for name, text in headers)  # bytes

    @property
    def error(self) -> BaseException | None:
        """Why it was given up; None if it was not, or not yet."""
        return self.answer.exception() if self.answer.done() else None


class DeadLetters:
    """Writes dead letters of one feed. What was sent is safe only after `flush`.

    `show` is told when letters wait for long, with the reason: the service is not ready then.
    """

    def __init__(self, settings: Settings, feed: str, show: Callable[[str], None]) -> None:
        self._settings, self._topic, self._feed, self._show = settings, settings.topic(TOPIC), feed, show
        self._open: list[_Open] = []
        self._open_bytes = 0
        self._flushing = asyncio.Lock()

    async def start(self, stopping: asyncio.Event) -> None:
        self._stopping = stopping
        self._producer = LastingProducer(self._settings, f"tolqyn-dead-letters-{self._feed}", stopping)
        await self._producer.start()

    async def stop(self) -> None:
        await self._producer.stop()

    async def send(self, origin: str, records: Records, dead: list[tuple[int, str]]) -> None:
        """Set aside the records at these places of a batch. `origin`: `<topic>/<partition>`. Raises what `flush` raises."""
        for place, reason in dead:
            letter = _letter(origin, records, place, reason)
            await self._post(letter)
            self._open.append(letter)
            self._open_bytes += letter.size
            metrics.DEAD_LETTERS.labels(self._feed, reason).inc()
            if letter.error or len(self._open) >= OPEN_MAX or self._open_bytes >= OPEN_BYTES_MAX:
                await self.flush()

    async def _post(self, letter: _Open) -> None:
        """Hand a letter to the producer, which answers later."""
        letter.client = client = self._producer.client
        try:
            letter.answer = await client.send(self._topic, letter.value, letter.key, partition=0, headers=letter.headers)
        except KafkaError as error:
            letter.answer = asyncio.get_running_loop().create_future()
            letter.answer.set_exception(error)

    async def flush(self) -> None:
        """Wait until the broker has all that was sent. What a producer gives up is sent again, for as long as the service runs.

        Raises Unavailable if the service stops while letters have been given up, and a KafkaError that waiting would not mend.
        """
        async with self._flushing:  # partitions flush at the same time, and each must wait for its own letters
            letters = list(self._open)
            while letters:
                await self._answered(letters)
                letters = [letter for letter in letters if letter.error]
                if letters:
                    await self._send_again(letters)
            self._open = [letter for letter in self._open if letter.error or not letter.answer.done()]
            self._open_bytes = sum(letter.size for letter in self._open)

    async def _answered(self, letters: list[_Open]) -> None:
        answers = [letter.answer for letter in letters]
        while (await asyncio.wait(answers, timeout=ANSWER_SECONDS))[1]:
            self._tell("no answer")

    async def _send_again(self, letters: list[_Open]) -> None:
        """A letter that was given up may be in the log all the same; its key is its place, so twice is once."""
        for letter in letters:
            error = letter.error
            assert error is not None
            if not (isinstance(error, BAD_LUCK) or getattr(error, "retriable", False)):
                raise error
        self._tell(type(error).__name__)
        if self._stopping.is_set():
            raise Unavailable(f"{self._feed}: dead letters are not acknowledged")
        await asyncio.sleep(AGAIN_SECONDS)
        # A batch that was given up leaves a gap in the producer's sequence: the broker takes nothing more of it.
        if any(letter.client is self._producer.client for letter in letters):
            await self._producer.replace()
        for letter in letters:
            await self._post(letter)

    def _tell(self, reason: str) -> None:
        log.warning("%s: dead letters are not acknowledged (%s): nothing is handed on until they are", self._feed, reason)
        self._show(f"dead letters are not acknowledged: {reason}")


def _letter(origin: str, records: Records, place: int, reason: str) -> _Open:
    topic, _, partition = origin.rpartition("/")
    headers = [
        ("schema", b"dead-letters/1"),
        ("reason", reason.encode()),
        ("origin-topic", topic.encode()),
        ("origin-partition", partition.encode()),
        ("origin-offset", str(records.offsets[place]).encode()),
    ]
    # Value null would be read as a tombstone: a record without a value is set aside as an empty one.
    value, origin_key = records.values[place] or b"", records.keys[place] or b""
    size = len(value) + len(origin_key) + sum(len(name) + len(text or b"") for name, text in records.headers[place])
    if size > RECORD_BYTES_MAX:
        value = b""
        headers.append(("left-out", str(size).encode()))
    else:
        headers.append(("origin-key", origin_key))
        headers += [(f"origin-header-{name}", text) for name, text in records.headers[place]]
    return _Open(f"{origin}/{records.offsets[place]}".encode(), value, headers)


class Letter(NamedTuple):
    """A record that was set aside and not redriven since."""

    origin_topic: str
    origin_partition: int
    origin_offset: int
    reason: str
    set_aside_ms: int
    key: bytes
    value: bytes
    headers: Headers
    left_out: int  # bytes of the record that are only in the log; 0: the letter has all of it


async def open_letters(settings: Settings) -> list[Letter]:
    """All dead letters that nobody has redriven, oldest first; one per place, however often it was set aside."""
    letters: dict[bytes, Letter] = {}
    for record in await read_to_end(settings, TOPIC):
        headers = dict(record.headers)
        if headers["reason"] == REDRIVEN:
            letters.pop(record.key, None)
            continue
        prefix = "origin-header-"
        letters[record.key] = Letter(
            headers["origin-topic"].decode(),
            int(headers["origin-partition"]),
            int(headers["origin-offset"]),
            headers["reason"].decode(),
            record.timestamp,
            headers.get("origin-key", b""),
            record.value,
            tuple((name.removeprefix(prefix), value) for name, value in record.headers if name.startswith(prefix)),
            int(headers.get("left-out", b"0")),
        )
    return list(letters.values())
