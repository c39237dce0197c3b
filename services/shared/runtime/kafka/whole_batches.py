"""Whole record batches out of aiokafka's fetcher, as they came, without its Python object per record.

aiokafka parses batches in Cython and then wraps every record in Python, which costs more than all of tally's own work. This module
puts itself between: where the fetcher keeps what it fetched, `PartitionRecords` is replaced by `_WholeBatches`, which yields one
`WholeBatch` per batch, to be opened by `batch_columns`. Positions, pauses, rebalances and aborted transactions stay aiokafka's own.

That place is private, so it is used only with the version that the tests ran against; with any other, `install` says so and leaves
the consumer as it is (records one by one: slower, never wrong).
"""

import logging
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import aiokafka
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.protocol.fetch import FetchRequest

from services.shared.runtime.kafka.batch_columns import COUNT_AT, WholeBatch

AIOKAFKA_TESTED = "0.14.0"
_LENGTH_AT, _LOG_OVERHEAD = 8, 12  # a batch begins with its base offset and its length

log = logging.getLogger("tolqyn.kafka")


def install(consumer: AIOKafkaConsumer) -> bool:
    """Make a started consumer that has fetched nothing yet give whole batches from `getmany`.

    False, and nothing done, if this aiokafka is not the tested one.
    """
    if aiokafka.__version__ != AIOKAFKA_TESTED:
        log.warning("aiokafka %s, tested with %s: reading records one by one", aiokafka.__version__, AIOKAFKA_TESTED)
        return False
    fetcher = consumer._fetcher
    assert not fetcher._records, "install before the first fetch"
    fetcher._client = _Responses(fetcher._client)
    fetcher._records = _Fetched(fetcher._client)
    return True


class _Fetched(OrderedDict[Any, Any]):
    """What the fetcher has fetched, by partition; results are turned to whole batches as they come in."""

    def __init__(self, responses: "_Responses") -> None:
        super().__init__()
        self._responses = responses

    def __setitem__(self, tp: Any, result: Any) -> None:
        if isinstance(result, FetchResult):
            result._partition_records = _WholeBatches(
                result._partition_records, self._responses.record_sets.pop((tp.topic, tp.partition))
            )
        super().__setitem__(tp, result)


class _Responses:
    """Stands in for the fetcher's client: keeps the record sets of the last response, which the fetcher takes up at once."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.record_sets: dict[tuple[str, int], bytes] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def send(self, node: int, request: Any) -> Any:
        response = await self._client.send(node, request)
        if isinstance(request, FetchRequest):
            self.record_sets = {(topic, number): data[-1] for topic, parts in response.topics for number, *data in parts}
        return response


class _WholeBatches:
    """Stands in for aiokafka's PartitionRecords: iterates over batches, and knows the offset to fetch next."""

    def __init__(self, records: Any, record_set: bytes) -> None:
        # Its own iterator, which nobody will come to the end of, and itself refer to each other: they would keep what was fetched
        # until Python looks for cycles, which after GC_YOUNG_OBJECTS is after hundreds of megabytes.
        records._records_iterator = None
        self._inner = records
        self._batches = _unpacked(records, memoryview(record_set))

    @property
    def next_fetch_offset(self) -> int:
        offset: int = self._inner.next_fetch_offset
        return offset

    def __iter__(self) -> Iterator[WholeBatch]:
        return self._batches


def _unpacked(inner: Any, record_set: memoryview) -> Iterator[WholeBatch]:
    """The batches of a PartitionRecords, whose next offset goes along. No method: a generator that holds its holder is a cycle."""
    at = 0
    while inner._records.has_next():
        batch = inner._records.next_batch()
        begin, at = at, at + _LOG_OVERHEAD + int.from_bytes(record_set[at + _LENGTH_AT : at + _LOG_OVERHEAD])
        start = inner.next_fetch_offset
        inner.next_fetch_offset = batch.next_offset
        if not _is_void(inner, batch):
            yield WholeBatch(batch, record_set[begin + COUNT_AT : at], start)


def _is_void(inner: Any, batch: Any) -> bool:
    """Whether the batch holds no records to count: a control batch, or one of an aborted transaction."""
    if batch.producer_id is not None:
        inner._consume_aborted_up_to(batch.base_offset)
        if batch.is_control_batch and inner._contains_abort_marker(batch):
            inner._aborted_producers.discard(batch.producer_id)
        if batch.is_transactional and batch.producer_id in inner._aborted_producers:
            return True
    return bool(batch.is_control_batch)
