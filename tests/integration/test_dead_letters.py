"""Letters on a real broker that takes nothing more of their producer."""

import asyncio

from services.shared.runtime.kafka.dead_letters import DeadLetters, open_letters
from services.shared.runtime.kafka.topics import ensure_topics
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.exchange.records import Records

COUNT = 50


async def test_letters_of_a_producer_whose_sequence_is_broken_are_safe_when_flush_returns(settings: Settings) -> None:
    await ensure_topics(settings)
    records = Records(list(range(COUNT)), [0] * COUNT, [b"k"] * COUNT, [b"v"] * COUNT, [()] * COUNT)
    shown: list[str] = []
    dead = DeadLetters(settings, "work-permits", shown.append)
    await dead.start(asyncio.Event())
    try:
        await dead.send("events.work-permits.v1/0", records, [(0, "version_conflict")])
        await dead.flush()
        # The broker has seen sequence 1; the client skips some, as it does after a batch that was given up.
        transactions = dead._producer.client._txn_manager
        transactions._sequence_numbers[next(iter(transactions._sequence_numbers))] += 5
        await dead.send("events.work-permits.v1/0", records, [(place, "version_conflict") for place in range(1, COUNT)])
        await dead.flush()
    finally:
        await dead.stop()
    assert shown == ["dead letters are not acknowledged: OutOfOrderSequenceNumber"]
    assert [letter.origin_offset for letter in await open_letters(settings)] == list(range(COUNT))
