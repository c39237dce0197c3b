"""Kafka as every service uses it: producers that lose nothing, consumers that know where they are."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError

from services.shared.runtime.kafka.topics import CONNECT_RETRY_SECONDS, load_topics
from services.shared.runtime.process.errors import Unavailable
from services.shared.runtime.process.settings import Settings

BATCH_BYTES_MAX = 1 << 20  # one partition's batch: large enough to compress well, small enough to interleave partitions
REQUEST_BYTES_MAX = 16 << 20  # as max.message.bytes of the event topics: one day sheet or record can never exceed it
# Measured on batches of crossings, in microseconds and bytes a record: zstd 0.48 and 49, snappy 0.24 and 83, lz4 2.24 and 69
# (aiokafka has lz4 at level 9, and no setting for it). The broker keeps batches as they come: its log is that much smaller.
COMPRESSION = "zstd"
LINGER_MS = 5  # waiting this long fills batches; nobody notices five milliseconds
REQUEST_MS_MAX = 30_000  # an unanswered request is given up after this and tried again
STOP_SECONDS_MAX = 4.0  # of the eight that a service has to drain in: for what was sent and is not flushed yet
ANSWER_MS_MAX = 2_000  # a probe that takes longer counts as no answer
FETCH_BYTES_MAX = 50 << 20  # of one fetch over all partitions
FETCH_PARTITION_BYTES_MAX = 4 << 20  # of one partition: at 12 partitions a worker holds 48 MiB of fetched records

log = logging.getLogger("tolqyn.kafka")


def producer(settings: Settings, client_id: str) -> AIOKafkaProducer:
    """An idempotent producer that waits for all in-sync replicas. Not started."""
    return AIOKafkaProducer(
        bootstrap_servers=settings.broker(),
        client_id=client_id,
        acks="all",
        enable_idempotence=True,
        compression_type=COMPRESSION,
        linger_ms=LINGER_MS,
        max_batch_size=BATCH_BYTES_MAX,
        max_request_size=REQUEST_BYTES_MAX,
        request_timeout_ms=REQUEST_MS_MAX,
    )


def consumer(settings: Settings, client_id: str, **options: Any) -> AIOKafkaConsumer:
    """A consumer that never commits by itself and never jumps: an offset out of range is an error. Not started."""
    usual = {
        "client_id": client_id,
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "fetch_max_bytes": FETCH_BYTES_MAX,
        "max_partition_fetch_bytes": FETCH_PARTITION_BYTES_MAX,
        "request_timeout_ms": REQUEST_MS_MAX,
        "isolation_level": "read_committed",
    }
    return AIOKafkaConsumer(bootstrap_servers=settings.broker(), **{**usual, **options})


async def start_patiently(client: AIOKafkaConsumer | AIOKafkaProducer, stopping: asyncio.Event | None = None) -> None:
    """Start a client; while the broker is away, try again until it is back or the service stops (then Unavailable)."""
    while True:
        try:
            await client.start()
            return
        except KafkaConnectionError as error:
            if stopping is None or stopping.is_set():
                raise Unavailable(f"no broker: {error}") from error
            await asyncio.sleep(CONNECT_RETRY_SECONDS)


class LastingProducer:
    """A producer that can be replaced by a new one when it met an error for good (a sequence broken by a refused batch, say).

    `client` is the one to use now. One that was replaced delivers what it still can, and closes in the background.
    """

    def __init__(self, settings: Settings, client_id: str, stopping: asyncio.Event) -> None:
        self._settings, self._client_id, self._stopping = settings, client_id, stopping
        self._closing: set[asyncio.Task[None]] = set()
        self.client: Any = None

    async def start(self) -> None:
        """Connect; waits for a broker that is away. Unavailable if the service stops meanwhile."""
        self.client = producer(self._settings, self._client_id)
        await start_patiently(self.client, self._stopping)

    async def replace(self) -> None:
        """Go on with a new client. Unavailable if the service stops before it is connected: the old one stays."""
        fresh = producer(self._settings, self._client_id)
        await start_patiently(fresh, self._stopping)
        closing = asyncio.ensure_future(self.client.stop())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        self.client = fresh

    async def stop(self) -> None:
        """Flush and close, within `STOP_SECONDS_MAX`."""
        if self.client is None:
            return
        closing = asyncio.ensure_future(self.client.stop())
        await asyncio.wait({closing, *self._closing}, timeout=STOP_SECONDS_MAX)
        if not closing.done():
            log.warning("%s: the broker did not take everything before the end", self._client_id)
            closing.cancel()


@asynccontextmanager
async def reading(settings: Settings, topic: str, partitions: list[int] | None = None) -> AsyncIterator[AIOKafkaConsumer]:
    """A started consumer assigned to partitions (default: all) of a contract topic, at their beginning."""
    client = consumer(settings, f"tolqyn-read-{topic}")
    await start_patiently(client)
    try:
        name = settings.topic(topic)
        if partitions is None:
            partitions = list(range(load_topics()[topic].partitions))
        tps = [TopicPartition(name, p) for p in partitions]
        client.assign(tps)
        await client.seek_to_beginning(*tps)
        yield client
    finally:
        await client.stop()


async def each_to_end(settings: Settings, topic: str, partition: int, take: Callable[[ConsumerRecord], None]) -> None:
    """Give `take` all records of one partition up to the end that it had when called. None is kept here: a compacted topic
    holds much more than its newest values until the broker comes to compacting it."""
    async with reading(settings, topic, [partition]) as client:
        tp = TopicPartition(settings.topic(topic), partition)
        end = (await client.end_offsets([tp]))[tp]
        while await client.position(tp) < end:
            for batch in (await client.getmany(tp, timeout_ms=1000)).values():
                for record in batch:
                    take(record)


async def read_to_end(settings: Settings, topic: str, partition: int = 0) -> list[ConsumerRecord]:
    """All these records at once. For small topics."""
    records: list[ConsumerRecord] = []
    await each_to_end(settings, topic, partition, records.append)
    return records


async def end_offsets(settings: Settings, topics: list[str]) -> dict[str, list[int]]:
    """End offset per partition of contract topics: what is in the log now."""
    client = consumer(settings, "tolqyn-ends")
    await start_patiently(client)
    try:
        ends: dict[str, list[int]] = {}
        for topic in topics:
            name = settings.topic(topic)
            tps = [TopicPartition(name, p) for p in range(load_topics()[topic].partitions)]
            found = await client.end_offsets(tps)
            ends[topic] = [found[tp] for tp in tps]
        return ends
    finally:
        await client.stop()


async def answers(bootstrap_servers: str) -> str:
    """Ask a broker for its metadata. Returns "" if it answers, else why not, in a few words."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, client_id="tolqyn-probe", request_timeout_ms=ANSWER_MS_MAX)
    try:
        await admin.start()
        await admin.describe_cluster()
    except (KafkaError, OSError) as error:
        return f"no answer at {bootstrap_servers} ({type(error).__name__})"
    finally:
        await admin.close()
    return ""
