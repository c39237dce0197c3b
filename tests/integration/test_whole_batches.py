"""Whole batches hold exactly what aiokafka gives record by record."""

import asyncio
import gc
import weakref
from types import SimpleNamespace
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from services.shared.runtime.kafka import whole_batches
from services.shared.runtime.kafka.event_log import columns as one_by_one
from services.shared.runtime.kafka.event_log import opened
from services.shared.statistics.exchange.records import Records

WAIT_SECONDS_MAX = 30


async def filled_topic(broker: str, name: str) -> None:
    """A topic with plain, compressed, keyless, valueless, header-bearing, aborted and committed records."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1)])
    await admin.close()
    for compression in (None, "zstd", "lz4", "gzip"):
        producer = AIOKafkaProducer(bootstrap_servers=broker, compression_type=compression, linger_ms=20)
        await producer.start()
        sent = [await producer.send(name, b"v%d" % i, key=b"k%d" % i, headers=[("schema", b"x/1")]) for i in range(500)]
        sent += [await producer.send(name, None, key=b"none"), await producer.send(name, b"no key")]
        await asyncio.gather(*sent)
        await producer.stop()
    producer = AIOKafkaProducer(bootstrap_servers=broker, transactional_id=f"{name}-t")
    await producer.start()
    for outcome in ("abort", "commit", "abort"):
        await producer.begin_transaction()
        for i in range(20):
            await producer.send_and_wait(name, f"{outcome}{i}".encode())
        await (producer.abort_transaction() if outcome == "abort" else producer.commit_transaction())
    await producer.stop()


async def read(broker: str, name: str, start: int, whole: bool) -> Records:
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, isolation_level="read_committed", auto_offset_reset="none")
    await consumer.start()
    if whole:
        assert whole_batches.install(consumer)
    tp = TopicPartition(name, 0)
    consumer.assign([tp])
    consumer.seek(tp, start)
    end = (await consumer.end_offsets([tp]))[tp]
    columns: list[list[Any]] = [[] for _ in Records._fields]
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while await consumer.position(tp) < end:
            for items in (await consumer.getmany(timeout_ms=200, max_records=3 if whole else 100)).values():
                batch = opened(items) if whole else one_by_one(items)
                for column, more in zip(columns, batch or (), strict=batch is not None):
                    column.extend(more)
    await consumer.stop()
    return Records(*columns)


async def test_whole_batches_equal_records_one_by_one_from_any_offset(broker: str, topic_prefix: str) -> None:
    name = f"{topic_prefix}batches"
    await filled_topic(broker, name)
    one_by_one = await read(broker, name, 0, whole=False)
    assert len(one_by_one.offsets) == 4 * 502 + 20
    assert await read(broker, name, 0, whole=True) == one_by_one
    for start in (1, 7, 501, 2009, 2032):
        assert await read(broker, name, start, whole=True) == await read(broker, name, start, whole=False)


async def test_what_was_read_is_freed_without_a_search_for_cycles(broker: str, topic_prefix: str) -> None:
    """A search for cycles is rare, so that it costs nothing: whatever waits for it is as much as was fetched in minutes."""
    name = f"{topic_prefix}freed"
    await filled_topic(broker, name)
    gc.collect()
    gc.disable()
    try:
        assert await read(broker, name, 0, whole=True)
        fetched = [one for one in gc.get_objects() if isinstance(one, (PartitionRecords, FetchResult))]
    finally:
        gc.enable()
    assert not fetched


def test_what_is_thrown_away_half_read_is_freed_too() -> None:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 14)
    builder.append(0, 0, b"key", b"value", [])
    record_set = bytes(builder.build()) * 2
    records = PartitionRecords(None, MemoryRecords(record_set), None, 0, None, None, False, None)
    batches = whole_batches._WholeBatches(records, record_set)
    gc.disable()
    try:
        assert next(iter(batches)).many == 1
        gone = weakref.ref(records)
        del records, batches
        assert gone() is None
    finally:
        gc.enable()


def test_another_version_of_aiokafka_is_left_alone(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("aiokafka.__version__", "99")
    fetched: dict[str, str] = {}
    consumer = SimpleNamespace(_fetcher=SimpleNamespace(_records=fetched, _client=None))
    assert not whole_batches.install(consumer)
    assert consumer._fetcher._records is fetched
