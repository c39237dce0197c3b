"""Producing events: whole batches per partition, and an honest count of what the broker has acknowledged.

The idempotent producer never gives a batch up by itself, so a batch that was not acknowledged in time may still reach the log.
That is why such records are reported as `retry` (resending is always safe), and why their bytes stay counted until it is settled.
A producer that met an error for good (a sequence broken by a refused batch, say) is replaced by a new one.

Every acknowledgement carries the broker's append time: it is compared with the service's own clock. Before the first one, and while
the two are too far apart, nothing is sent that would show it: then a probe does, an empty record on `stack.v1` that nobody reads.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from aiokafka.errors import KafkaError, KafkaTimeoutError, UnknownTopicOrPartitionError

from services.shared.runtime.kafka import clients as kafka
from services.shared.runtime.kafka.stack_identity import TOPIC as PROBE_TOPIC
from services.shared.runtime.process.clock_skew import ClockSkew
from services.shared.runtime.process.errors import ConfigurationError, Unavailable
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.exchange.log_time import STAMP

ACK_SECONDS_MAX = 20.0  # a broker that restarts is back within ten; senders wait longer than this before they give up on an answer
PROBE_SECONDS = 2.0  # how soon a lost broker is noticed without traffic, and how soon its return
PROBE_SCHEMA = b"stack/1"
LOG_APPEND_TIME = 1  # how the protocol says whose clock a timestamp is of
PROBE_SECONDS_MAX = 5.0  # a broker that takes longer to name its topics is as good as away

AWAY = "the broker does not answer"
APART = "this service's clock and the log's are too far apart"

log = logging.getLogger("tolqyn.producer")

Events = Sequence[tuple[bytes, bytes]]


class EventProducer:
    """One service's way to the log. `start`, then `watch` in the background, `send` at will, `stop`. `clock`: Unix seconds."""

    def __init__(self, settings: Settings, client_id: str, stopping: asyncio.Event, clock: Callable[[], float] = time.time) -> None:
        self._settings, self._client_id, self._stopping, self._clock = settings, client_id, stopping, clock
        self.skew = ClockSkew()
        self._producer = kafka.LastingProducer(settings, client_id, stopping)
        self._broken = asyncio.Event()
        self.in_flight_bytes = 0  # handed to the client, neither acknowledged nor refused yet

    async def start(self) -> None:
        """Connect; waits for a broker that is away. Unavailable if the service stops meanwhile."""
        await self._producer.start()

    async def check_partitions(self, topic: str, expected: int) -> None:
        """ConfigurationError unless a contract topic exists with this many partitions: keys would land elsewhere."""
        name = self._settings.topic(topic)
        try:
            found = len(await self._producer.client.partitions_for(name))
        except UnknownTopicOrPartitionError:
            raise ConfigurationError(f"topic {name} does not exist: run the stack's set-up first") from None
        if found != expected:
            raise ConfigurationError(f"topic {name} has {found} partitions, the contract says {expected}")

    async def send(self, topic: str, events: Sequence[Events], schema: bytes) -> list[int]:
        """Produce keys and values, `events[p]` to partition p of a contract topic, each list in its order. All carry this
        service's time as it is now.

        Returns per partition how many of its events, from the first on, are acknowledged by all in-sync replicas. The others are
        not known to be stored. Takes at most `ACK_SECONDS_MAX`.
        """
        name = self._settings.topic(topic)
        headers = [("schema", schema), (STAMP, b"%d" % int(self._clock() * 1000))]
        lanes = (self._lane(name, partition, some, headers) for partition, some in enumerate(events))
        return await asyncio.gather(*lanes)

    async def _lane(self, name: str, partition: int, events: Events, headers: list[tuple[str, bytes]]) -> int:
        client, acknowledged = self._producer.client, 0
        sent: list[tuple[asyncio.Future[Any], int, float]] = []
        try:
            async with asyncio.timeout(ACK_SECONDS_MAX):
                for batch in _batches(client, events, headers):
                    at = self._clock()
                    future = await client.send_batch(batch, name, partition=partition)
                    self._count(future, batch.size())
                    sent.append((future, batch.record_count(), at))
                for future, records, at in sent:
                    stored = await asyncio.shield(future)
                    acknowledged += records
                    if stored.timestamp_type == LOG_APPEND_TIME:
                        self.skew.note(stored.timestamp / 1000, at, self._clock())
        except (TimeoutError, KafkaTimeoutError):
            log.warning("partition %d of %s: not acknowledged within %.0f s", partition, name, ACK_SECONDS_MAX)
        except KafkaError as error:
            log.warning("partition %d of %s: %s; starting a new producer", partition, name, type(error).__name__)
            if client is self._producer.client:
                self._broken.set()
        return acknowledged

    def _count(self, future: "asyncio.Future[Any]", size: int) -> None:
        self.in_flight_bytes += size

        def settled(done: "asyncio.Future[Any]") -> None:
            self.in_flight_bytes -= size
            if not done.cancelled():
                done.exception()  # looked at: whoever waited has seen it, and nobody may be waiting any more

        future.add_done_callback(settled)

    async def watch(self, tell: Callable[[str], None]) -> None:
        """Until the service stops: replace a broken producer, and `tell` what keeps the log from being relied on ("": nothing).

        Raises ConfigurationError if the broker does not stamp what it appends.
        """
        while not self._stopping.is_set():
            if self._broken.is_set():
                tell(AWAY)
                await self._replace()
            tell(await self._state())
            waits = [asyncio.ensure_future(event.wait()) for event in (self._stopping, self._broken)]
            await asyncio.wait(waits, timeout=PROBE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()

    async def _state(self) -> str:
        if not await self._answers():
            return AWAY
        if (self.skew.seconds is None or self.skew.apart) and not await self._probe():
            return AWAY
        return APART if self.skew.apart else ""

    async def _probe(self) -> bool:
        """Have the broker stamp a record that counts nowhere; whether it did."""
        probe = (f"clock/{self._client_id}".encode(), b"")
        stored = await self.send(PROBE_TOPIC, [[probe]], PROBE_SCHEMA) == [1]
        if stored and self.skew.seconds is None:
            raise ConfigurationError(f"topic {self._settings.topic(PROBE_TOPIC)} must have message.timestamp.type=LogAppendTime")
        return stored

    async def _answers(self) -> bool:
        try:
            return bool(await asyncio.wait_for(self._producer.client.client.force_metadata_update(), PROBE_SECONDS_MAX))
        except (TimeoutError, KafkaError):
            return False

    async def _replace(self) -> None:
        try:
            await self._producer.replace()
        except Unavailable:
            return  # the service stops
        self._broken.clear()

    async def stop(self) -> None:
        """Flush and close, within `kafka.STOP_SECONDS_MAX`. What is not flushed by then was never called accepted."""
        await self._producer.stop()


def _batches(client: Any, events: Events, headers: list[tuple[str, bytes]]) -> Iterator[Any]:
    """Batches as the client wants them, full but for the last."""
    batch = client.create_batch()
    append = batch.append
    for key, value in events:
        if append(key=key, value=value, timestamp=None, headers=headers) is None:
            yield batch
            batch = client.create_batch()
            append = batch.append
            first = append(key=key, value=value, timestamp=None, headers=headers)
            assert first is not None  # an event is far smaller than a batch
    if events:
        batch.close()
        yield batch
