"""An event topic as tally reads it: partitions shared out among the workers of a group, records in batches of columns.

Kafka's group says only who folds which partition; offsets are never committed there. Where a partition stands is saved with its
counts, or not at all.
"""

import asyncio
from collections.abc import Callable, Iterable

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from services.shared.runtime.kafka import batch_columns, whole_batches
from services.shared.runtime.kafka.batch_columns import WholeBatch
from services.shared.runtime.kafka.clients import consumer, reading, start_patiently
from services.shared.runtime.kafka.topics import require
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.exchange.records import Records, joined

POLL_MS = 100  # waiting for records; then the worker looks whether a cut is due
POLL_BATCHES_MAX = (
    64  # of one poll: at most a megabyte each, so a worker holds 64 MB of records and folds for a quarter of a second
)
POLL_RECORDS_MAX = 100_000  # the same where records come one by one
SESSION_MS = 10_000  # a worker that is silent this long loses its partitions
POLL_GAP_MS_MAX = 60_000  # loading 20 million index rows takes a few seconds; a minute between two polls is never reached in order

Listener = Callable[[list[int]], None]
Fetched = Records | WholeBatch  # records that came one by one, or a batch that is not opened yet


class EventLog(ConsumerRebalanceListener):  # type: ignore[misc]
    """One feed's events. `assigned` and `revoked` are told of partitions as they come and go, in the middle of anything: they only
    take note. A partition that came is not read before `seek` has said from where.
    """

    def __init__(self, settings: Settings, topic: str, group: str, instance: str, assigned: Listener, revoked: Listener) -> None:
        self._settings, self._topic, self._name = settings, topic, settings.topic(topic)
        self._assigned, self._revoked = assigned, revoked
        self._whole = False
        self._consumer: AIOKafkaConsumer = consumer(
            settings,
            f"tolqyn-{group}",
            group_id=settings.prefix + group,
            # Only until `seek` says better: the group holds no offsets, and a fetch may start before the partition is paused.
            auto_offset_reset="earliest",
            # A restarted worker of the same name gets its partitions back at once, without waiting for its old session to end.
            group_instance_id=instance or None,
            session_timeout_ms=SESSION_MS,
            max_poll_interval_ms=POLL_GAP_MS_MAX,
            rebalance_timeout_ms=SESSION_MS,
        )

    async def start(self, stopping: asyncio.Event) -> None:
        """Join the group. ConfigurationError if the topic has not the partitions that the contract says."""
        await require(self._settings, [self._topic], stopping)
        await start_patiently(self._consumer, stopping)
        self._whole = whole_batches.install(self._consumer)
        self._consumer.subscribe([self._name], listener=self)

    async def stop(self) -> None:
        await self._consumer.stop()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        tps = list(assigned)
        for tp in tps:
            self._consumer.pause(tp)
        self._assigned(sorted(tp.partition for tp in tps))

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._revoked(sorted(tp.partition for tp in revoked))

    def seek(self, partition: int, offset: int) -> None:
        """Read this partition from `offset` on."""
        tp = TopicPartition(self._name, partition)
        self._consumer.seek(tp, offset)
        self._consumer.resume(tp)

    async def bounds(self, partition: int) -> tuple[int, int]:
        """(first offset that the log still has, end)."""
        tp = TopicPartition(self._name, partition)
        first, end = await self._consumer.beginning_offsets([tp]), await self._consumer.end_offsets([tp])
        return first[tp], end[tp]

    async def record_at(self, partition: int, offset: int) -> Records | None:
        """The record at exactly this offset, or None if the log has none there."""
        async with reading(self._settings, self._topic, [partition]) as client:
            tp = TopicPartition(self._name, partition)
            end = (await client.end_offsets([tp]))[tp]
            if offset >= end:
                return None
            client.seek(tp, offset)
            record = await client.getone()
            return columns([record]) if record.offset == offset else None

    async def poll(self) -> dict[int, list[Fetched]]:
        """What was fetched, by partition, within limits; to be `opened`."""
        items_max = POLL_BATCHES_MAX if self._whole else POLL_RECORDS_MAX
        batches = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=items_max)
        return {tp.partition: items if self._whole else [columns(items)] for tp, items in batches.items() if items}

    def lag(self, partition: int, offset: int) -> int | None:
        """Records from `offset` to the end of the log, as far as is known; None before the first fetch, or when just taken away."""
        tp = TopicPartition(self._name, partition)
        high = self._consumer.highwater(tp) if tp in self._consumer.assignment() else None
        return None if high is None else max(0, high - offset)


def opened(fetched: list[Fetched]) -> Records | None:
    """The records of one partition's fetches, in log order; None if there are none. Raises CorruptRecordException. Blocking."""
    parts = [one for one in fetched if isinstance(one, Records)]
    whole = batch_columns.opened([one for one in fetched if isinstance(one, WholeBatch)])
    assert not parts or whole is None, "a consumer gives records in one of the two ways"
    return joined(parts) if parts else whole


def columns(records: list) -> Records:  # type: ignore[type-arg]
    """Columns of records that came one by one."""
    return Records(
        [r.offset for r in records],
        [r.timestamp for r in records],
        [r.key for r in records],
        [r.value for r in records],
        [r.headers for r in records],
    )
