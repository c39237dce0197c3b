"""A broker in memory: append-only partitions with append times, compaction, and groups that share partitions out."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.chaos.simulated.loop import OUTSIDE, SeededLoop

Headers = tuple[tuple[str, bytes], ...]
EPOCH_MS = 1_751_300_000_000  # 2025-06-30: the runs cross a quarter's end
CLOCK_JUMP_MS_MAX = 3 * 86_400_000
REBALANCE_SECONDS_MAX = 1.0
CALLBACK_LOOKS_SECONDS = 0.05  # how often it is looked whether a member that gives partitions back is still alive


class Record(NamedTuple):
    """As aiokafka gives it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Partition:
    """One partition's log. `records` may have gaps where it is compacted."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.end = 0

    def compact(self, rng: random.Random) -> None:
        """Below a random point only the newest record of a key stays, its tombstone not for ever; the last record stays always."""
        if not self.records:
            return
        newest = {record.key: record.offset for record in self.records}
        clean, drop, last = rng.randrange(self.end + 1), rng.random() < 0.5, self.records[-1].offset
        self.records = [
            r
            for r in self.records
            if r.offset >= clean or r.offset == last or (newest[r.key] == r.offset and not (drop and r.value is None))
        ]


class Broker:
    """Topics and groups. `partitions`: counts by topic; `compacted`: topics that may be compacted at any time."""

    def __init__(self, loop: SeededLoop, partitions: dict[str, int], compacted: list[str]) -> None:
        self.loop, self.rng, self.counts, self.compacted = loop, loop.rng, partitions, compacted
        self.clock_ms = EPOCH_MS
        self.groups: dict[str, Group] = {}
        self.waiters: dict[str, list[asyncio.Future[None]]] = defaultdict(list)  # by topic
        self.on_append: Callable[[Record], None] = lambda _: None
        self.epoch = 0  # which generation of topics this is
        self.wipe()

    def wipe(self) -> None:
        """All topics are deleted and created anew."""
        self.epoch += 1
        self.topics = {topic: [Partition() for _ in range(count)] for topic, count in self.counts.items()}

    @property
    def now_ms(self) -> int:
        return self.clock_ms + int(self.loop.now * 1000)

    def jump_clock(self) -> None:
        self.clock_ms += self.rng.randrange(-CLOCK_JUMP_MS_MAX, CLOCK_JUMP_MS_MAX)

    def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        log = self.topics[topic][partition]
        record = Record(topic, partition, log.end, self.now_ms, key, value, headers)
        log.records.append(record)
        log.end += 1
        self.on_append(record)
        for waiter in self.waiters.pop(topic, ()):
            if not waiter.done():
                waiter.set_result(None)

    def compact(self) -> None:
        for topic in self.compacted:
            for log in self.topics[topic]:
                log.compact(self.rng)

    def group(self, name: str) -> "Group":
        return self.groups.setdefault(name, Group(self))


class Group:
    """A consumer group: eager rebalances, in which a member that does not hear of them keeps what it had."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.members: list[Any] = []
        self._again = False
        self._task: asyncio.Task[None] | None = None

    def join(self, member: Any) -> None:
        self.members.append(member)
        self.rebalance()

    def leave(self, member: Any) -> None:
        """It left, or its session ended."""
        if member in self.members:
            self.members.remove(member)
            self.rebalance()

    def rebalance(self) -> None:
        self._again = True
        if self._task is None or self._task.done():
            self._task = self.broker.loop.create_task(self._settle(), context=OUTSIDE)

    async def _settle(self) -> None:
        rng = self.broker.rng
        while self._again:
            self._again = False
            await asyncio.sleep(rng.random() * REBALANCE_SECONDS_MAX)
            reached = [m for m in self.members if not m.process.dead and not m.process.paused and not m.cut_off]
            await self._tell(reached, "revoke", [()] * len(reached))
            await asyncio.sleep(rng.random() * REBALANCE_SECONDS_MAX)
            takers = [m for m in reached if not m.process.dead and m in self.members]
            if not takers:
                continue
            topic = takers[0].topic
            numbers = list(range(self.broker.counts[topic]))
            rng.shuffle(numbers)
            rng.shuffle(takers)
            shares = [tuple(numbers[i :: len(takers)]) for i in range(len(takers))]
            await self._tell(takers, "grant", shares)

    async def _tell(self, members: list[Any], what: str, arguments: list[tuple[int, ...]]) -> None:
        calls = [
            self.broker.loop.create_task(getattr(m, what)(argument), context=m.process.context.copy())
            for m, argument in zip(members, arguments, strict=True)
        ]
        while any(not call.done() and not m.process.dead and not m.process.paused for call, m in zip(calls, members, strict=True)):
            await asyncio.sleep(CALLBACK_LOOKS_SECONDS)
