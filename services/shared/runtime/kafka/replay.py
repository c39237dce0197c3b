"""One partition of the log once more, from its beginning to an offset: for those who check or explain, not for those who count."""

import asyncio
from collections.abc import AsyncIterator

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.shared.runtime.kafka import whole_batches
from services.shared.runtime.kafka.clients import consumer, start_patiently
from services.shared.runtime.kafka.event_log import columns, opened
from services.shared.runtime.process.errors import Failure
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.exchange.records import Records

POLL_MS = 500  # waiting for the next fetch; a slow broker only means another turn
SILENT_POLLS_MAX = 60  # half a minute without a record that is known to be there: the broker is gone


async def replay(settings: Settings, topic: str, partition: int, end: int | None = None) -> AsyncIterator[Records]:
    """Batches in log order, of the records before offset `end` (None: the end that the log has now).

    Raises Failure if the log does not reach from its beginning to `end` any more, or if the broker falls silent.
    """
    client: AIOKafkaConsumer = consumer(settings, f"tolqyn-replay-{topic}")
    await start_patiently(client)
    try:
        whole = whole_batches.install(client)
        tp = TopicPartition(settings.topic(topic), partition)
        first, last = (await client.beginning_offsets([tp]))[tp], (await client.end_offsets([tp]))[tp]
        end = last if end is None else end
        if end and first > 0:
            raise Failure(f"{tp.topic}/{partition} starts at offset {first}: the log has lost its beginning")
        if last < end:
            raise Failure(f"{tp.topic}/{partition} ends at offset {last}, the figures stand at {end}: the log is another one")
        client.assign([tp])
        client.seek(tp, first)
        silent = 0
        while await client.position(tp) < end:
            for items in (await client.getmany(tp, timeout_ms=POLL_MS)).values():
                silent = -1
                records = await asyncio.to_thread(opened, items) if whole else columns(items)
                part = _before(records.as_lists(), end) if records is not None else None
                if part is not None:
                    yield part
            silent += 1
            if silent > SILENT_POLLS_MAX:
                raise Failure(f"{tp.topic}/{partition}: the broker gives no records from offset {await client.position(tp)} on")
    finally:
        await client.stop()


def _before(records: Records, end: int) -> Records | None:
    """The records of a batch that lie before an offset; None if there are none."""
    if records.offsets[-1] < end:
        return records
    keep = sum(offset < end for offset in records.offsets)
    if not keep:
        return None
    offsets, timestamps, keys, values, headers = records
    return Records(offsets[:keep], timestamps[:keep], keys[:keep], values[:keep], headers[:keep])
