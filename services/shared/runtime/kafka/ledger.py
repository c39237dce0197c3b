"""Ledgers on Kafka: compacted partitions that hold a set of absolute values which changes as a whole.

`LedgerOwner` writes the ledger partitions that this process owns, and keeps them right: it tails them, and what somebody else
(a zombie, a writer that died half-way) left there it writes over. `LedgerFollower` reads whole sets. The rules are in
`services.shared.statistics.exchange.ledger_set`; here is only the input and output.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from services.shared.runtime.kafka.clients import consumer, each_to_end, producer, start_patiently
from services.shared.runtime.kafka.topics import require
from services.shared.runtime.process import metrics
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.exchange.ledger_set import (
    MARK_KEY,
    MARK_KIND,
    Changes,
    Cut,
    EntrySet,
    LedgerReader,
    Mark,
    is_behind,
)

POLL_MS = 200  # how long a reader waits for news before it looks whether it shall stop
SCRUB_SECONDS = 600.0  # a foreign tombstone can be compacted away before the tail sees it: the whole ledger is read this often
# A set that does not become whole lacks a tombstone that was compacted away before the follower came to it: it is read from the
# beginning after this long, which is longer than a writer that was killed in the middle of a cut needs to come back.
REREAD_SECONDS = 60.0
# Who works on cuts rests after each as long as it took: what comes meanwhile is one cut, and a stage takes half a core at most. Not
# longer: where others want the machine too, a cut takes a second by the clock, and three more of rest would show in what is live.
REST = 1.0
REST_SECONDS_MAX = 5.0  # a process that was suspended, or a broker that was away, makes a cut seem to take minutes

log = logging.getLogger("tolqyn.ledger")


def rest_after(took: float) -> float:
    """How many seconds to rest after a cut that took so many."""
    return min(REST * took, REST_SECONDS_MAX)


class Position(NamedTuple):
    """Where a set stands: what its mark says apart from the set itself."""

    cut: Cut
    log_time: int
    identity: dict[str, str]
    publication: int | None = None


def _kind(record: ConsumerRecord) -> bytes | None:
    return next((value for name, value in record.headers if name == "kind"), None)


class _OwnPartition:
    """What the owner knows of one partition: the set as it must be, and where it stands."""

    def __init__(self) -> None:
        self.entries = EntrySet()
        self.position: Position | None = None
        self.mark = b""  # as it was written last
        self.suspects: set[str] = set()  # keys that somebody who was ahead of us wrote: ours are written again with the next cut
        self.tail_offset = 0  # up to where the ledger has been read back
        self.scrubbed = time.monotonic()
        self.lock = asyncio.Lock()  # entries and their mark go out together: no repair in between


class LedgerOwner:
    """The writer of the ledger partitions that this process owns. `own` and `release` partitions as they come and go."""

    def __init__(self, settings: Settings, topic: str, fold: int) -> None:
        self._settings, self._topic, self._fold = settings, topic, fold
        self._name = settings.topic(topic)
        schema = topic.rpartition(".v")
        self._writer = secrets.token_hex(8).encode()  # tells our own entries from foreign ones when we read them back
        self._entry_headers = [("schema", f"{schema[0]}/{schema[2]}".encode()), ("writer", self._writer)]
        self._mark_headers = [*self._entry_headers, ("kind", MARK_KIND)]
        self._producer: AIOKafkaProducer = producer(settings, f"tolqyn-ledger-{topic}")
        self._tail: AIOKafkaConsumer = consumer(settings, f"tolqyn-tail-{topic}")
        self._owned: dict[int, _OwnPartition] = {}

    async def start(self, stopping: asyncio.Event) -> None:
        await start_patiently(self._producer, stopping)
        await start_patiently(self._tail, stopping)

    async def stop(self) -> None:
        self._owned.clear()
        await self._producer.stop()
        await self._tail.stop()

    async def own(self, partition: int, wanted: dict[str, bytes], position: Position) -> Mark | None:
        """Take a partition over: make the ledger hold exactly `wanted`, and mark it. Entries that are right already stay.

        If the ledger is marked ahead of `position`, nothing is written and that mark is returned: somebody who lost their state, or
        a log that is not the one that was folded, must not take figures back. Else None.
        """
        tp = TopicPartition(self._name, partition)
        end = (await self._tail.end_offsets([tp]))[tp]
        held, mark = await self._read(partition)
        if mark is not None and mark.fold == self._fold and is_behind(position.cut, mark.cut):
            return mark
        mine = self._owned[partition] = _OwnPartition()
        mine.entries = held
        mine.tail_offset = end
        await self.write(partition, held.differences(wanted), position)
        self._follow_owned()
        return None

    async def _read(self, partition: int) -> tuple[EntrySet, Mark | None]:
        """What the ledger holds, whoever wrote it, and its last mark."""
        held, mark = EntrySet(), b""

        def take(record: ConsumerRecord) -> None:
            nonlocal mark
            if _kind(record) != MARK_KIND:
                held.put(record.key.decode(), record.value)
            elif record.value is not None:
                mark = record.value

        await each_to_end(self._settings, self._topic, partition, take)
        return held, Mark.from_bytes(mark) if mark else None

    def release(self, partitions: list[int]) -> None:
        """Stop writing these partitions, at once. Those that are not ours are no matter."""
        ours = self._owned.keys() & set(partitions)
        for partition in ours:
            del self._owned[partition]
        if ours:  # a worker asks this with every batch, and a new assignment throws away what the tail has fetched
            self._follow_owned()

    def _follow_owned(self) -> None:
        if self._owned:  # an assignment starts anew: every partition must be told where to go on
            self._tail.assign([TopicPartition(self._name, p) for p in self._owned])
            for partition, mine in self._owned.items():
                self._tail.seek(TopicPartition(self._name, partition), mine.tail_offset)

    async def write(self, partition: int, changes: Changes, position: Position) -> None:
        """Write what changed, and when all is acknowledged the mark. Values that stand there already are not written again."""
        mine = self._owned.get(partition)
        if mine is None:
            return  # lost in the meantime: its new owner writes
        async with mine.lock:
            if self._owned.get(partition) is not mine:
                return  # lost while we waited for a repair to end
            entries = mine.entries
            news = {k: v for k, v in changes.items() if entries.values.get(k) != v}
            for key, value in news.items():
                entries.put(key, value)
            mine.position = position
            again, mine.suspects = {key: entries.values.get(key) for key in mine.suspects}, set()
            await self._send(partition, {**again, **news})
            await self._mark(partition, mine)

    async def _send(self, partition: int, changes: Changes) -> None:
        acks = [
            await self._producer.send(self._name, value, key.encode(), partition=partition, headers=self._entry_headers)
            for key, value in changes.items()
        ]
        await asyncio.gather(*acks)
        metrics.LEDGER_ENTRIES.labels(self._topic).inc(len(changes))

    async def _mark(self, partition: int, mine: _OwnPartition) -> None:
        position, entries = mine.position, mine.entries
        assert position is not None
        mark = Mark(
            position.cut,
            position.log_time,
            self._fold,
            len(entries.values),
            entries.digest(),
            position.identity,
            position.publication,
        )
        mine.mark = mark.to_bytes()
        await self._producer.send_and_wait(
            self._name, mine.mark, MARK_KEY.encode(), partition=partition, headers=self._mark_headers
        )
        metrics.LEDGER_MARKS.labels(self._topic).inc()

    async def keep_repaired(self, stopping: asyncio.Event) -> None:
        """Tail the owned partitions and write over what is foreign, until the service stops."""
        while not stopping.is_set():
            if not self._owned:
                await asyncio.sleep(POLL_MS / 1000)
                continue
            for tp, records in (await self._tail.getmany(timeout_ms=POLL_MS)).items():
                if tp.partition in self._owned:
                    self._owned[tp.partition].tail_offset = records[-1].offset + 1
                await self._repair(tp.partition, [r for r in records if ("writer", self._writer) not in r.headers])
            for partition, mine in list(self._owned.items()):
                if time.monotonic() - mine.scrubbed > SCRUB_SECONDS:
                    await self._scrub(partition, mine)

    async def _repair(self, partition: int, foreign: list[ConsumerRecord]) -> None:
        mine = self._owned.get(partition)
        if mine is None or not foreign:
            return
        async with mine.lock:
            assert mine.position is not None
            marks = [r.value for r in foreign if _kind(r) == MARK_KIND and r.value != mine.mark]
            written = {r.key.decode(): r.value for r in foreign if _kind(r) != MARK_KIND}
            wrong = {key for key, value in written.items() if mine.entries.values.get(key) != value}
            if not wrong and not marks:
                return  # another writer of the same fold says the same: two who correct each other would never stop
            if any(is_behind(mine.position.cut, Mark.from_bytes(mark).cut) for mark in marks if mark is not None):
                mine.suspects |= wrong  # somebody is ahead of us: let them, until our own next cut
                return
            log.warning("repairing %d foreign entries in %s/%d", len(wrong), self._topic, partition)
            metrics.LEDGER_REPAIRS.labels(self._topic).inc(len(wrong))
            await self._send(partition, {key: mine.entries.values.get(key) for key in wrong})
            await self._mark(partition, mine)

    async def _scrub(self, partition: int, mine: _OwnPartition) -> None:
        async with mine.lock:
            mine.scrubbed = time.monotonic()
            held, _ = await self._read(partition)
            changes = held.differences(mine.entries.values)
            if changes and partition in self._owned:
                metrics.LEDGER_REPAIRS.labels(self._topic).inc(len(changes))
                await self._send(partition, changes)
                await self._mark(partition, mine)


class Adoption(NamedTuple):
    """A set that became whole: the changes since the set adopted before it (all entries the first time)."""

    topic: str
    partition: int
    mark: Mark
    changes: Changes


class LedgerFollower:
    """Reads ledgers (all partitions of some topics) from the beginning, and hands on whole sets."""

    def __init__(self, settings: Settings, topics: list[str], fold: int) -> None:
        self._settings, self._topics, self._fold = settings, topics, fold
        self._consumer: AIOKafkaConsumer = consumer(settings, "tolqyn-follow-" + "-".join(topics))
        self._readers: dict[TopicPartition, LedgerReader] = {}
        self._plain = {settings.topic(topic): topic for topic in topics}
        self._open_since: dict[TopicPartition, float] = {}  # monotonic time; of partitions that hold what was not adopted yet

    async def start(self, stopping: asyncio.Event) -> None:
        """Connect and go to the beginning of every partition."""
        counts = await require(self._settings, self._topics, stopping)
        await start_patiently(self._consumer, stopping)
        for topic, count in counts.items():
            for partition in range(count):
                self._readers[TopicPartition(self._settings.topic(topic), partition)] = LedgerReader(self._fold)
        self._consumer.assign(list(self._readers))
        await self._consumer.seek_to_beginning(*self._readers)

    async def stop(self) -> None:
        await self._consumer.stop()

    async def adoptions(self, stopping: asyncio.Event) -> AsyncIterator[list[Adoption]]:
        """Sets as they become whole, in order. The first answer comes when every partition has been read to its end."""
        ends = await self._consumer.end_offsets(list(self._readers))
        behind = {tp for tp, end in ends.items() if end > 0}
        held_back: dict[TopicPartition, Adoption] = {}  # before the end is reached, only the newest set of each partition matters
        while not stopping.is_set():
            batches = await self._consumer.getmany(timeout_ms=POLL_MS)
            adoptions = [a for tp, records in batches.items() for a in self._read(tp, records)]
            for tp in list(behind):
                if await self._consumer.position(tp) >= ends[tp]:
                    behind.discard(tp)
            if behind or held_back:
                for new in adoptions:
                    tp = TopicPartition(self._settings.topic(new.topic), new.partition)
                    old = held_back.get(tp)
                    held_back[tp] = new if old is None else new._replace(changes={**old.changes, **new.changes})
                adoptions = [] if behind else list(held_back.values())
            if adoptions:
                held_back = {}
                yield adoptions
            await self._reread_what_stays_open()

    async def _reread_what_stays_open(self) -> None:
        now = time.monotonic()
        for tp, reader in self._readers.items():
            if reader.settled:
                self._open_since.pop(tp, None)
            elif now - self._open_since.setdefault(tp, now) > REREAD_SECONDS and await self._is_at_end(tp):
                log.warning("reading %s/%d from its beginning: its set does not become whole", self._plain[tp.topic], tp.partition)
                self._open_since[tp] = now
                reader.start_anew()
                await self._consumer.seek_to_beginning(tp)

    async def _is_at_end(self, tp: TopicPartition) -> bool:
        end = self._consumer.highwater(tp)
        return end is not None and await self._consumer.position(tp) >= end

    def _read(self, tp: TopicPartition, records: list[ConsumerRecord]) -> Iterator[Adoption]:
        reader, topic = self._readers[tp], self._plain[tp.topic]
        for record in records:
            changes = reader.read(record.key.decode(), record.value, _kind(record))
            if changes is not None:
                assert reader.adopted is not None
                metrics.LEDGER_ADOPTIONS.labels(topic).inc()
                yield Adoption(topic, tp.partition, reader.adopted, changes)
        metrics.LEDGER_PENDING.labels(topic, str(tp.partition)).set(reader.pending_entries)
