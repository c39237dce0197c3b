"""Event topics filled with crossings, through the product's own producer, in submissions as large as `tolqyn send` makes them.

`python -m bench.topic COUNT` fills one on a broker of its own, prints the rate, and is gone.
"""

import asyncio
import gc
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from zlib import crc32

from bench.broker import running_broker
from bench.events import Lines, Shape, submissions
from services.shared.runtime.kafka.producer import EventProducer
from services.shared.runtime.kafka.topics import ensure_topics, load_topics
from services.shared.runtime.process.errors import Failure
from services.shared.runtime.process.settings import Settings

FEED = "border-crossings"
TOPIC = f"events.{FEED}.v1"
SCHEMA = f"{FEED}/1".encode()
SENDERS = 4  # submissions under way at once


def named(settings: Settings, prefix: str) -> Settings:
    """The same broker, other topics."""
    return replace(settings, prefix=prefix)


def fill(settings: Settings, count: int, shape: Shape | None = None) -> None:
    """Create the contract's topics under the settings' prefix and append the first `count` events."""
    gc.disable()  # millions of short-lived objects without cycles: the collector would take half of the time
    try:
        asyncio.run(append(settings, submissions(count, shape)))
    finally:
        gc.enable()


async def append(settings: Settings, parts: Iterable[Lines]) -> None:
    """Create the contract's topics if they are not there, and append these events. Failure if the broker does not take all."""
    await ensure_topics(settings)
    producer = EventProducer(settings, "bench", asyncio.Event())
    await producer.start()
    try:
        open_sends: set[asyncio.Task[None]] = set()
        for part in parts:
            events = await asyncio.to_thread(by_partition, part)
            open_sends.add(asyncio.create_task(_send(producer, events)))
            if len(open_sends) >= SENDERS:
                done, open_sends = await asyncio.wait(open_sends, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        await asyncio.gather(*open_sends)
    finally:
        await producer.stop()


async def _send(producer: EventProducer, events: list[list[tuple[bytes, bytes]]]) -> None:
    acknowledged = await producer.send(TOPIC, events, SCHEMA)
    if acknowledged != [len(part) for part in events]:
        raise Failure("the broker did not take all events")


def by_partition(part: Lines) -> list[list[tuple[bytes, bytes]]]:
    """Keys and values by partition, as ingest spreads them."""
    partitions = load_topics()[TOPIC].partitions
    events: list[list[tuple[bytes, bytes]]] = [[] for _ in range(partitions)]
    for key, value in zip(part.keys, part.values, strict=True):
        events[crc32(key) % partitions].append((key, value))
    return events


def main() -> None:
    count = int(sys.argv[1])
    with running_broker() as settings:
        started = time.monotonic()
        fill(settings, count)
        print(f"{count / (time.monotonic() - started):,.0f} records/s")


if __name__ == "__main__":
    main()
