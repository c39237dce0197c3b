"""Records that cannot be counted, set aside whole, with the reason and the place they came from.

The key is the place (`<topic>/<partition>/<offset>`): setting the same record aside again after a crash is the same letter.
One that is too large for a letter (its producer had packed it small enough for the log) is set aside without its key, headers and
value, and the header `left-out` says how many bytes those are: the log has them.
"""

import asyncio
from typing import NamedTuple

from aiokafka import AIOKafkaProducer

from services.shared.runtime import metrics
from services.shared.runtime.kafka import REQUEST_BYTES_MAX, producer, read_to_end, start_patiently
from services.shared.runtime.settings import Settings
from services.shared.statistics.records import Headers, Records

TOPIC = "dead-letters.v1"
OPEN_MAX = 10_000  # letters that wait for their acknowledgement: some megabytes; a flush costs milliseconds
REDRIVEN = b"redriven"  # the reason of a record that closes the letter with the same key
# What a letter may hold of its record: the producer's limit, less what the letter adds. Ingest lets a thousandth of it in.
RECORD_BYTES_MAX = REQUEST_BYTES_MAX - (64 << 10)


class DeadLetters:
    """Writes dead letters of one feed. What was sent is safe only after `flush`."""

    def __init__(self, settings: Settings, feed: str) -> None:
        self._topic, self._feed = settings.topic(TOPIC), feed
        self._producer: AIOKafkaProducer = producer(settings, f"tolqyn-dead-letters-{feed}")
        self._acks: list[asyncio.Future[object]] = []

    async def start(self, stopping: asyncio.Event) -> None:
        await start_patiently(self._producer, stopping)

    async def stop(self) -> None:
        await self._producer.stop()

    async def send(self, origin: str, records: Records, dead: list[tuple[int, str]]) -> None:
        """Set aside the records at these places of a batch. `origin`: `<topic>/<partition>`."""
        for place, reason in dead:
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
            key = f"{origin}/{records.offsets[place]}".encode()
            self._acks.append(await self._producer.send(self._topic, value, key, partition=0, headers=headers))
            metrics.DEAD_LETTERS.labels(self._feed, reason).inc()
            if len(self._acks) >= OPEN_MAX:
                await self.flush()

    async def flush(self) -> None:
        """Wait until the broker has all that was sent."""
        await asyncio.gather(*self._acks)
        # Only what is done goes: several partitions flush at the same time, and each must wait for its own letters.
        self._acks = [ack for ack in self._acks if not ack.done()]


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


async def redrive(settings: Settings, letters: list[Letter]) -> None:
    """Append the records to the logs they came from, then close the letters. What is still bad comes back as a new letter.

    Letters without their record stay as they are: no ingest service would have let such a record in.
    """
    client = producer(settings, "tolqyn-redrive")
    await client.start()
    try:
        for letter in letters:
            if letter.left_out:
                continue
            await client.send_and_wait(
                letter.origin_topic, letter.value or None, letter.key or None, letter.origin_partition, headers=list(letter.headers)
            )
            place = f"{letter.origin_topic}/{letter.origin_partition}/{letter.origin_offset}".encode()
            headers = [("schema", b"dead-letters/1"), ("reason", REDRIVEN)]
            await client.send_and_wait(settings.topic(TOPIC), b"", place, 0, headers=headers)
    finally:
        await client.stop()
