"""Stand-ins for aiokafka's producer and consumer on the memory broker, of the shapes that the engine uses."""

import asyncio
from collections import defaultdict, deque
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError, KafkaTimeoutError, NoOffsetForPartitionError

from services.shared.runtime.process.settings import Settings
from tests.chaos.simulated.broker import Broker, Headers, Record
from tests.chaos.simulated.loop import CURRENT, OUTSIDE, Process

SEND_SECONDS_MAX = 0.15  # from `send` to the append, and from there to the acknowledgement
FETCH_SECONDS_MAX = 0.1
FETCH_RECORDS_MAX = 12
STOP_SECONDS_MAX = 5.0  # a stop flushes, but not for ever

NOWHERE = -1  # the position of a partition that was assigned and not sought

Item = tuple[bytes | None, bytes | None, Headers, asyncio.Future[None]]


def _process() -> Process:
    process = CURRENT.get()
    assert process is not None, "clients belong to processes"
    return process


class Producer:
    """Idempotent: per partition in order and once. A batch is under way when its process dies, or never left it."""

    def __init__(self, broker: Broker, luck: "Luck") -> None:
        self._broker, self._luck, self._process = broker, luck, _process()
        self._queues: dict[tuple[str, int], deque[Item]] = defaultdict(deque)
        self._busy: set[tuple[str, int]] = set()
        self._broken: set[tuple[str, int]] = set()

    async def start(self) -> None:
        await asyncio.sleep(0)

    async def stop(self) -> None:
        deadline = self._broker.loop.now + STOP_SECONDS_MAX
        while any(self._queues.values()) and self._broker.loop.now < deadline:
            await asyncio.sleep(SEND_SECONDS_MAX)

    async def send(self, topic: str, value: bytes | None, key: bytes | None, partition: int, headers: Any) -> asyncio.Future[None]:
        if self._broker.rng.random() < 0.1:
            await asyncio.sleep(self._broker.rng.random() * SEND_SECONDS_MAX)  # the buffer was full
        future: asyncio.Future[None] = self._broker.loop.create_future()
        self._queues[topic, partition].append((key, value, tuple(headers), future))
        self._dispatch((topic, partition))
        return future

    async def send_and_wait(self, topic: str, value: bytes | None, key: bytes | None, partition: int, headers: Any) -> None:
        await (await self.send(topic, value, key, partition, headers))

    def _dispatch(self, where: tuple[str, int]) -> None:
        if where not in self._busy and self._queues[where]:
            self._busy.add(where)
            delay = self._broker.rng.random() * SEND_SECONDS_MAX
            self._broker.loop.call_later(delay, self._leave, where, context=self._process.context.copy())

    def _leave(self, where: tuple[str, int]) -> None:
        """In the process: a batch goes out. What has gone out arrives even if the process dies now."""
        queue = self._queues[where]
        batch = [queue.popleft() for _ in range(self._broker.rng.randrange(1, len(queue) + 1))]
        delay = self._broker.rng.random() * SEND_SECONDS_MAX
        if self._luck.strikes("send_delayed"):
            delay *= 20
        self._broker.loop.call_later(delay, self._arrive, where, batch, context=OUTSIDE)

    def _arrive(self, where: tuple[str, int], batch: list[Item]) -> None:
        rng, loop = self._broker.rng, self._broker.loop
        lost_ack = where in self._broken or self._luck.strikes("ack_lost")
        written = not lost_ack or (where not in self._broken and rng.random() < 0.5)
        if lost_ack:
            self._broken.add(where)  # after a batch that was given up the sequence has a gap: nothing more is taken
        if written and self._process.epoch == self._broker.epoch:
            for key, value, headers, _ in batch:
                self._broker.append(*where, key, value, headers)
        # One acknowledgement for the whole batch, in the process again.
        delay = rng.random() * SEND_SECONDS_MAX
        loop.call_later(delay, self._acknowledge, where, batch, lost_ack, context=self._process.context.copy())

    def _acknowledge(self, where: tuple[str, int], batch: list[Item], lost: bool) -> None:
        for *_, future in batch:
            if not future.done():
                if lost:
                    future.set_exception(KafkaTimeoutError("no acknowledgement"))
                    future.exception()  # it may be that nobody waits for this one any more
                else:
                    future.set_result(None)
        self._busy.discard(where)
        self._dispatch(where)


class Consumer:
    """Assigned or in a group; auto_offset_reset "earliest" in groups, as the engine has it."""

    def __init__(self, broker: Broker, luck: "Luck", group_id: str | None) -> None:
        self._broker, self._luck, self.process = broker, luck, _process()
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._high: dict[TopicPartition, int] = {}
        self._group = broker.group(group_id) if group_id else None
        self._listener: Any = None
        self.topic = ""
        self._given_back = False
        self.cut_off = False  # the group does not reach it: a zombie

    async def start(self) -> None:
        await asyncio.sleep(0)

    async def stop(self) -> None:
        if self._group is not None:
            self._group.leave(self)
        self._positions = {}

    def subscribe(self, topics: list[str], listener: Any) -> None:
        assert self._group is not None
        (self.topic,), self._listener = topics, listener
        self._group.join(self)

    async def revoke(self, _: tuple[int, ...]) -> None:
        await self._pause_a_little()
        if self._positions and not self._given_back:
            self._given_back = True
            await self._listener.on_partitions_revoked(list(self._positions))

    async def grant(self, partitions: tuple[int, ...]) -> None:
        await self.revoke(())  # nobody joins again without giving back first, however late it hears of it
        self._given_back = False
        self._positions = {TopicPartition(self.topic, number): 0 for number in partitions}
        self._paused, self._high = set(), {}
        # As in aiokafka: the callback runs up to its first await before anybody can fetch.
        await self._listener.on_partitions_assigned(list(self._positions))

    async def _pause_a_little(self) -> None:
        if self._broker.rng.random() < 0.5:
            return
        await asyncio.sleep(self._broker.rng.random() * FETCH_SECONDS_MAX)

    def assign(self, tps: list[TopicPartition]) -> None:
        self._positions = dict.fromkeys(tps, NOWHERE)  # an assignment starts anew, and there is no committed offset to go on from
        self._paused = set()

    def seek(self, tp: TopicPartition, offset: int) -> None:
        if offset < 0:
            raise ValueError("Offset must be a positive integer")
        if tp not in self._positions:
            raise IllegalStateError(f"No current assignment for partition {tp}")
        self._positions[tp] = offset

    async def seek_to_beginning(self, *tps: TopicPartition) -> None:
        await asyncio.sleep(0)
        for tp in tps:
            if tp in self._positions:
                self._positions[tp] = 0

    def pause(self, tp: TopicPartition) -> None:
        self._paused.add(tp)

    def resume(self, tp: TopicPartition) -> None:
        self._paused.discard(tp)

    async def position(self, tp: TopicPartition) -> int:
        await asyncio.sleep(0)
        return self._positions[tp]

    async def end_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        await self._pause_a_little()
        return {tp: self._broker.topics[tp.topic][tp.partition].end for tp in tps}

    async def beginning_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        await self._pause_a_little()
        return dict.fromkeys(tps, 0)

    def assignment(self) -> set[TopicPartition]:
        return set(self._positions)

    def highwater(self, tp: TopicPartition) -> int | None:
        if tp not in self._positions:
            raise IllegalStateError(f"No current assignment for partition {tp}")
        return self._high.get(tp)

    async def getmany(
        self, *tps: TopicPartition, timeout_ms: int, max_records: int | None = None
    ) -> dict[TopicPartition, list[Record]]:
        loop, rng = self._broker.loop, self._broker.rng
        await self._pause_a_little()
        deadline = loop.now + timeout_ms / 1000
        while True:
            found: dict[TopicPartition, list[Record]] = {}
            for tp in list(tps or self._positions):
                records = [] if tp in self._paused else self._fetch(tp, min(rng.randrange(1, FETCH_RECORDS_MAX), max_records or 99))
                if records:
                    found[tp] = records
            if found or loop.now >= deadline:
                return found
            waiter = loop.create_future()
            for topic in {tp.topic for tp in tps or self._positions}:
                self._broker.waiters[topic].append(waiter)
            timer = loop.call_later(deadline - loop.now, _wake, waiter)
            await waiter
            timer.cancel()
            if self._luck.strikes("fetch_delayed"):
                await asyncio.sleep(rng.random() * 2)

    def _fetch(self, tp: TopicPartition, count: int) -> list[Record]:
        at = self._positions.get(tp)
        if at is None:
            return []
        if at == NOWHERE:
            raise NoOffsetForPartitionError(tp)
        log = self._broker.topics[tp.topic][tp.partition]
        self._high[tp] = log.end
        if at >= log.end:
            return []
        records = [r for r in log.records if r.offset >= at][:count]
        if records:
            self._positions[tp] = records[-1].offset + 1
        return records

    async def getone(self) -> Record:
        while True:
            for records in (await self.getmany(timeout_ms=1000, max_records=1)).values():
                return records[0]


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class Luck:
    """Bad luck of the network and the disk, with a probability by kind. `over`: there is none any more."""

    def __init__(self, broker: Broker, odds: dict[str, float]) -> None:
        self._broker, self._odds, self.over = broker, odds, False

    def strikes(self, kind: str) -> bool:
        return not self.over and self._broker.rng.random() < self._odds[kind]


class Factories:
    """In place of services.shared.runtime.kafka.clients's `producer` and `consumer`, and of topics' `require`."""

    def __init__(self, broker: Broker, luck: Luck) -> None:
        self._broker, self._luck = broker, luck

    def producer(self, settings: Settings, client_id: str) -> Producer:
        return Producer(self._broker, self._luck)

    def consumer(self, settings: Settings, client_id: str, **options: Any) -> Consumer:
        return Consumer(self._broker, self._luck, options.get("group_id"))

    async def require(self, settings: Settings, names: list[str], stopping: asyncio.Event) -> dict[str, int]:
        await asyncio.sleep(0)
        return {name: self._broker.counts[name] for name in names}
